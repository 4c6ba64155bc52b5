"""Splits: what is cut, what is kept apart, what leaks."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from hub.dataset.splits import Fractions, cut, first_folds
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
        found = first_folds(labels.tolist(), groups.tolist(), folds, taken, seed)
        assert found == sorted(np.concatenate(expected[:taken]).tolist())


def test_without_splits_everything_is_cut_80_10_10_by_group():
    found = cut(records(400, per_group=2), Copies(NONE, NONE), Fractions(), official=False, keep_leaks=False)
    counts = {s: [r.split for r in found.records].count(s) for s in ("train", "validation", "test")}
    assert counts == {"train": 320, "validation": 40, "test": 40}
    assert not found.official_test
    splits_of = {}
    for record in found.records:
        splits_of.setdefault(record.group, set()).add(record.split)
    assert all(len(splits) == 1 for splits in splits_of.values())


@pytest.mark.parametrize("test_share", [0.05, 0.15, 0.3, 0.4])
@pytest.mark.parametrize("validation_share", [0.1, 0.25, 0.4])
def test_shares_come_out_as_asked(test_share, validation_share):
    shares = Fractions(validation_share, test_share)
    found = [r.split for r in cut(records(400), Copies(NONE, NONE), shares, official=False, keep_leaks=False).records]
    assert found.count("test") == pytest.approx(400 * test_share, abs=8)
    assert found.count("validation") == pytest.approx(400 * validation_share, abs=8)


def test_copies_are_never_separated_by_a_cut():
    pairs = np.array([[i, i + 60] for i in range(60)])
    found = cut(records(120), Copies(pairs[:30], pairs[30:]), Fractions(), official=False, keep_leaks=False).records
    assert all(found[i].split == found[i + 60].split for i in range(60))


@pytest.fixture
def leaky() -> tuple[list[Record], Copies]:
    """40 training and 10 test images: 0 is an exact and 1 a near copy of a test image, 2 shares its patient."""
    train, test = records(40, "train"), records(10, "test")
    train[2] = Record("2", "2", "train", "class 0", patient="Ann")
    test[9] = Record("9", "9", "test", "class 1", patient="Ann")
    return train + test, Copies(np.array([[0, 40]]), np.array([[1, 41]]))


@pytest.mark.parametrize("official", [True, False])
def test_leaks_are_found_and_take_no_part_in_the_cut(leaky, official):
    found = cut(*leaky, Fractions(), official, keep_leaks=False)
    assert found.leaks == {0: "exact copy", 1: "near copy", 2: "patient"}
    assert found.official_test
    assert found.shared_keys == 0
    assert [r.split for r in found.records[40:]] == ["test"] * 10
    assert {found.records[i].split for i in (0, 1, 2)} == {"train"}
    assert sum(r.split == "validation" for r in found.records) == (0 if official else 4)


def test_kept_leaks_are_cut_like_the_others(leaky):
    splits = {
        found.records[0].split
        for seed in range(30)
        if (found := cut(*leaky, Fractions(seed=seed), official=False, keep_leaks=True))
    }
    assert splits == {"train", "validation"}


def test_a_source_with_only_a_test_split_stays_one():
    found = cut(records(5, "test"), Copies(NONE, NONE), Fractions(), official=False, keep_leaks=False)
    assert {record.split for record in found.records} == {"test"}


def test_small_sources_get_what_can_be_had_and_a_note(capsys):
    found = cut(records(6), Copies(NONE, NONE), Fractions(), official=False, keep_leaks=False).records
    for split in ("train", "validation", "test"):
        assert {r.label for r in found if r.split == split} == {"class 0", "class 1"}
    assert "3 independent groups" in capsys.readouterr().out


def test_too_few_groups_and_missing_official_splits_are_usage_errors():
    with pytest.raises(UsageError, match="class 0 has a single independent group"):
        cut(records(2), Copies(NONE, NONE), Fractions(), official=False, keep_leaks=False)
    with pytest.raises(UsageError, match="no splits of its own"):
        cut(records(20), Copies(NONE, NONE), Fractions(), official=True, keep_leaks=False)
