"""Splits: how large they are, what is kept apart, what leaks."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from hub.dataset.splits import Fractions, SplitAssignment, assign_splits, first_folds
from hub.layouts.base import Record
from space.errors import UsageError
from train.data.duplicates import Copies

NONE = np.empty((0, 2), int)


def records(n: int, split: str | None = None, per_group: int = 1, classes: int = 2) -> list[Record]:
    """n images of alternating classes, `per_group` in a row of one loose key."""
    return [
        Record(f"{i}", f"{i}", split, f"class {i // per_group % classes}", group=f"{split} {i // per_group}")
        for i in range(n)
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "classes", "n_groups", "folds"), [(200, 2, 90, 10), (150, 4, 60, 5), (60, 3, 60, 3)])
def test_the_first_fold_is_scikit_learns(seed, n, classes, n_groups, folds):
    random = np.random.default_rng(seed)
    labels, groups = random.integers(0, classes, n), random.integers(0, n_groups, n)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    expected = [test for _, test in splitter.split(labels, labels, groups)]
    for taken in (1, 2):
        chosen = first_folds(labels.tolist(), groups.tolist(), folds, taken, seed)
        assert chosen == sorted(np.concatenate(expected[:taken]).tolist())


def assign(
    images: list[Record], copies: Copies = Copies(NONE, NONE), fractions=Fractions(), official=False, keep_leaks=False
) -> SplitAssignment:
    return assign_splits(images, copies, fractions, official, keep_leaks)


def test_without_splits_everything_is_split_80_10_10_by_group():
    images = records(400, per_group=2)
    assigned = assign(images)
    assert Counter(assigned.splits) == {"train": 320, "validation": 40, "test": 40}
    assert not assigned.official_test
    splits_of = {}
    for image, split in zip(images, assigned.splits, strict=True):
        splits_of.setdefault(image.group, set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of.values())


def test_the_same_seed_gives_the_same_splits_in_every_version():
    labels = [f"class {i * i % 7 % 3}" for i in range(60)]
    groups = [i * 31 % 23 for i in range(60)]
    assert first_folds(labels, groups, 10, 1, seed=0) == [7, 13, 20, 30, 36, 43, 53, 59]
    assert first_folds(labels, groups, 10, 2, seed=1) == [3, 9, 13, 14, 20, 26, 32, 36, 37, 43, 49, 55, 59]


@pytest.mark.parametrize("test_share", [0.05, 0.15, 0.3, 0.4])
@pytest.mark.parametrize("validation_share", [0.1, 0.25, 0.4])
def test_shares_come_out_as_asked(test_share, validation_share):
    splits = assign(records(400), fractions=Fractions(validation_share, test_share)).splits
    assert splits.count("test") == pytest.approx(400 * test_share, abs=8)
    assert splits.count("validation") == pytest.approx(400 * validation_share, abs=8)


def test_copies_are_never_separated():
    pairs = np.array([[i, i + 60] for i in range(60)])
    splits = assign(records(120), Copies(pairs[:30], pairs[30:])).splits
    assert splits[:60] == splits[60:]


@pytest.fixture
def leaky() -> tuple[list[Record], Copies]:
    """40 training and 10 test images: 0 is an exact and 1 a near copy of a test image, 2 shares its patient."""
    train, test = records(40, "train"), records(10, "test")
    train[2] = Record("2", "2", "train", "class 0", patient="Ann")
    test[9] = Record("9", "9", "test", "class 1", patient="Ann")
    return train + test, Copies(np.array([[0, 40]]), np.array([[1, 41]]))


@pytest.mark.parametrize("official", [True, False])
def test_leaks_are_found_and_take_no_part_in_new_splits(leaky, official):
    assigned = assign(*leaky, official=official)
    assert assigned.leaks == {0: "exact copy", 1: "near copy", 2: "patient"}
    assert assigned.official_test
    assert assigned.shared_keys == 0
    assert assigned.splits[40:] == ["test"] * 10
    assert assigned.splits[:3] == ["train"] * 3
    assert assigned.splits.count("validation") == (0 if official else 4)


def test_a_copy_in_test_tells_of_its_patients_other_images():
    images = [*records(20, "train"), *records(4, "test")]
    images[0], images[1] = (Record(f"{i}", f"{i}", "train", "class 0", patient="Ann") for i in range(2))
    assert assign(images, Copies(NONE, np.array([[0, 20]]))).leaks == {0: "near copy", 1: "patient"}


def test_loose_keys_are_counted_among_the_images_that_stay():
    images, copies = [*records(20, "train"), *records(4, "test")], Copies(np.array([[0, 20]]), NONE)
    for index in (0, 1, 20, 21):
        images[index] = replace(images[index], group=f"person {index % 20}")
    assert assign(images, copies).shared_keys == 1
    assert assign(images, copies, keep_leaks=True).shared_keys == 2


def test_something_is_left_to_train_on():
    with pytest.raises(UsageError, match=r"would take 0\.9 of the images"):
        Fractions(0.4, 0.5)


def test_kept_leaks_are_split_like_the_others(leaky):
    splits = {assign(*leaky, Fractions(seed=seed), keep_leaks=True).splits[0] for seed in range(30)}
    assert splits == {"train", "validation"}


def test_a_source_with_only_a_test_split_stays_one():
    assert set(assign(records(5, "test")).splits) == {"test"}


def test_small_sources_get_what_can_be_had_and_a_note(capsys):
    images = records(6)
    splits = assign(images).splits
    for split in ("train", "validation", "test"):
        assert {r.label for r, its in zip(images, splits, strict=True) if its == split} == {"class 0", "class 1"}
    assert "only 3 independent groups" in capsys.readouterr().out


def test_too_few_groups_and_missing_official_splits_are_usage_errors():
    with pytest.raises(UsageError, match=r"class 0 has only one independent group.* with --labels\.$"):
        assign(records(2))
    with pytest.raises(UsageError, match=r"with --labels, or keep the published --official-splits\.$"):
        assign([*records(20, "test"), *records(2, "train")])
    with pytest.raises(UsageError, match="no splits of its own"):
        assign(records(20), official=True)
