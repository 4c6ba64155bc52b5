"""What becomes of every image of a merge."""

import numpy as np
import pytest

from hub.dataset.splits import Fractions
from hub.layouts.base import Record
from hub.merging.decisions import COMPILED, CONFLICT, REPEATED, Decisions, count_dropped, decide
from train.data.duplicates import Copies


def image(split: str, label: str = "ill", patient: str | None = None) -> Record:
    return Record("", "", split, label, patient)


# A source that has these gets no new splits.
TESTED = [image("test"), image("validation")]


def decide_on(sources: list[list[Record]], *pairs: tuple[int, int], copies_of=None, near=(), **shares) -> Decisions:
    """Decide on some sources' images; pairs are indices over all of them."""
    records = [record for source in sources for record in source]
    numbers = [number for number, source in enumerate(sources) for _ in source]
    compiled = [frozenset(of) for of in copies_of or [()] * len(sources)]
    copies = Copies(np.array(pairs, int).reshape(-1, 2), np.array(near, int).reshape(-1, 2))
    return decide(records, numbers, copies, compiled, Fractions(**shares))


def full(n: int = 0) -> list[Record]:
    """n patients with an image of either class in train, and one of either in the other splits."""
    of_splits = [image(split, label) for split in ("validation", "test") for label in ("ill", "well")]
    return [image("train", label, f"{label} {i}") for i in range(n) for label in ("ill", "well")] + of_splits


def test_the_training_side_of_a_copy_goes_whichever_source_has_the_test():
    first, second = [image("train"), image("test")], [image("test"), image("validation")]
    decisions = decide_on([first, second], (0, 2), near=[(1, 3)])
    assert decisions.dropped == {0: "exact copy", 3: "near copy"}
    assert decisions.splits == ["train", "test", "test", "validation"]


def test_a_copy_tells_that_two_patients_are_one_through_any_number_of_steps():
    first = [image("train", patient="A"), image("train", patient="A"), image("train", patient="other"), *TESTED]
    second = [image("train", patient="B"), image("validation", patient="B"), *TESTED]
    third = [image("train", patient="C"), image("test", patient="C"), image("validation")]
    decisions = decide_on([first, second, third], (0, 5), (6, 9))
    assert decisions.dropped == dict.fromkeys([0, 1, 5, 6, 9], "patient")


def test_of_copies_in_training_sides_the_first_sources_stay():
    first = [image("validation"), image("validation"), *TESTED]
    second = [image("train"), image("train"), *TESTED]
    decisions = decide_on([first, second], (0, 1), (1, 4))
    assert decisions.dropped == {4: REPEATED}
    assert decisions.moved == 0


def test_groups_that_copies_put_into_train_and_validation_go_to_train():
    first = [image("train", patient="A"), *TESTED]
    second = [image("validation", patient="B"), image("validation", patient="B"), image("validation", patient="E")]
    decisions = decide_on([first, second], (0, 3))
    assert decisions.dropped == {3: REPEATED}
    assert decisions.splits == ["train", "test", "validation", "validation", "train", "validation"]
    assert decisions.moved == 1


def test_copies_with_other_labels_are_dropped_from_training_sides_and_kept_in_tests():
    first = [image("train", "ill"), image("test", "ill"), image("train", "well"), image("validation", "ill")]
    second = [image("validation", "well"), image("test", "well")]
    decisions = decide_on([first, second], (0, 4), (1, 5), near=[(2, 3)])
    assert decisions.dropped == dict.fromkeys([0, 2, 3, 4], CONFLICT)
    assert (decisions.test_copies, decisions.test_conflicts) == (1, 2)
    assert count_dropped(decisions, lambda i: i < 4) == {CONFLICT: 3}


def test_images_of_a_source_that_another_was_compiled_from_are_that_sources():
    first = [image("train"), image("train", patient="A"), image("train", patient="A"), image("test")]
    second = [image("test"), image("validation"), image("test", patient="B"), image("test", patient="B"), image("test")]
    decisions = decide_on([first, second], (0, 4), (3, 8), (1, 6), copies_of=[(), {0}])
    # The first source's training image 0 stays, though it was in the second's test. Patient A is B, who is tested.
    assert decisions.dropped == {4: COMPILED, 6: COMPILED, 8: COMPILED, 1: "patient", 2: "patient"}


def test_missing_splits_are_cut_by_patient_and_others_stay():
    records = [image("train", label, f"{i}") for i in range(60) for label in ("ill", "well") for _ in range(2)]
    decisions = decide_on([full(4), records], validation=0.2, test=0.3)
    assert decisions.cut == [[], ["test", "validation"]]
    own = decisions.splits[len(full(4)) :]
    assert decisions.splits[: len(full(4))] == [record.split for record in full(4)]
    assert {split: own.count(split) / len(own) for split in set(own)} == pytest.approx(
        {"train": 0.5, "validation": 0.2, "test": 0.3}, abs=0.02
    )
    of_patient = {}
    for record, split in zip(records, own, strict=True):
        of_patient.setdefault(record.patient, set()).add(split)
    assert all(len(splits) == 1 for splits in of_patient.values())
    again = decide_on([full(4), records], validation=0.2, test=0.3)
    other = decide_on([full(4), records], validation=0.2, test=0.3, seed=1)
    assert again == decisions
    assert other.splits != decisions.splits


def test_only_what_is_missing_is_cut_and_never_from_images_that_others_share():
    records = [image("train", label) for _ in range(10) for label in ("ill", "well")]
    tests = [image("test", label) for label in ("ill", "well")]
    first = full(10)
    shared = [(i, len(first) + i) for i in range(8)]
    decisions = decide_on([first, records + tests], *shared, validation=0.4)
    assert decisions.cut == [[], ["validation"]]
    assert decisions.dropped == {j: REPEATED for _, j in shared}
    own = decisions.splits[len(first) :]
    assert own[-2:] == ["test", "test"]
    assert "validation" not in own[:8]
    assert own.count("validation") == pytest.approx(12 * 0.4, abs=2)


def test_a_source_with_a_test_alone_stays_a_test():
    assert decide_on([full(2), [image("test"), image("test", "well")]]).cut == [[], []]
