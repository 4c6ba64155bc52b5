"""What becomes of every image of a merge: its split, or why it is dropped."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hub.dataset.splits import Fractions, choose, find_leaks
from hub.layouts.base import Record
from train.data.duplicates import Copies, group_pairs, merge_groups

Value = TypeVar("Value")
COMPILED, CONFLICT, REPEATED = "image of a source it was compiled from", "conflicting label", "copy in another source"


@dataclass(frozen=True)
class Decisions:
    """What becomes of the images.

    Attributes:
        splits: "train", "validation" or "test" of each image; of a dropped one, where it was.
        dropped: {index: why}: "exact copy", "near copy" or "patient" (of a test image), `COMPILED`, `CONFLICT` or
            `REPEATED`.
        cut: [source]: the splits that were drawn for it, because it had none.
        moved: Validation images that went to train, where a copy or patient of theirs is.
        test_copies: Groups of copies that are in the tests of several sources.
        test_conflicts: Test images that have a copy with another label. They stay: others' labels change no test.
    """

    splits: list[str]
    dropped: dict[int, str]
    cut: list[list[str]]
    moved: int
    test_copies: int
    test_conflicts: int


def decide(
    records: Sequence[Record],
    sources: Sequence[int],
    copies: Copies,
    compiled_from: Sequence[frozenset[int]],
    fractions: Fractions,
) -> Decisions:
    """Decide what becomes of the images of several sources.

    Copies and patients link images to groups, through any number of steps: a copy tells that two patients are one.
    Groups that touch a test keep nothing outside of it. Of copies in the training sides of several sources, those of
    the source named first stay. Copies with different labels are dropped from the training sides, all of them.

    Args:
        records: All images, source by source, with their splits, common labels, and patients' keys that are never
            equal in two sources.
        sources: Number of the source of each image.
        copies: Which of them are copies of each other.
        compiled_from: [source]: the sources whose images it holds too; those are dropped from it, from test too.
        fractions: Sizes and seed of the splits that are cut.

    Raises:
        UsageError: There are too few groups to cut a split from.
    """
    copied = group_pairs(len(records), copies.pairs())
    groups = merge_groups(copied, [record.patient for record in records])
    sources_of, labels_of = _values(copied, sources), _values(copied, [record.label for record in records])
    dropped = {
        i: COMPILED for i, source in enumerate(sources) if not compiled_from[source].isdisjoint(sources_of[copied[i]])
    }
    rest = [replace(record, split=None) if i in dropped else record for i, record in enumerate(records)]
    dropped |= {i: why for i, why in find_leaks(rest, copies, copied).items() if i not in dropped}
    conflicts = [i for i, group in enumerate(copied) if len(labels_of[group]) > 1]
    in_test = [record.split == "test" for record in rest]
    dropped |= {i: CONFLICT for i in conflicts if i not in dropped and not in_test[i]}
    first: dict[int, int] = {}  # source that a group of copies stays in
    for i, group in enumerate(copied):
        if i not in dropped and not in_test[i] and sources[i] > first.setdefault(group, sources[i]):
            dropped[i] = REPEATED
    splits = [record.split for record in records]
    moved = _join_groups(splits, groups, dropped)
    cut = _cut_splits(records, sources, groups, splits, dropped, fractions)
    tests = [i for i in range(len(records)) if in_test[i]]
    shared = sum(len(of) > 1 for of in _values([copied[i] for i in tests], [sources[i] for i in tests]).values())
    return Decisions(splits, dropped, cut, moved, shared, sum(in_test[i] for i in conflicts))


def count_dropped(decisions: Decisions, of_source: Callable[[int], bool]) -> dict[str, int]:
    """{why: images} of the dropped images for which `of_source` holds."""
    return dict(sorted(Counter(why for i, why in decisions.dropped.items() if of_source(i)).items()))


def _values(groups: Sequence[int], values: Sequence[Value]) -> dict[int, set[Value]]:
    """{group: the values that its images have}."""
    of_group: dict[int, set[Value]] = {}
    for group, value in zip(groups, values, strict=True):
        of_group.setdefault(group, set()).add(value)
    return of_group


def _join_groups(splits: list[str], groups: Sequence[int], dropped: dict[int, str]) -> int:
    """Move, in `splits`, groups that are in train and in validation to train; how many images were moved."""
    in_train = {groups[i] for i, split in enumerate(splits) if split == "train" and i not in dropped}
    moving = [
        i for i, split in enumerate(splits) if split == "validation" and groups[i] in in_train and i not in dropped
    ]
    for i in moving:
        splits[i] = "train"
    return len(moving)


def _cut_splits(
    records: Sequence[Record],
    sources: Sequence[int],
    groups: Sequence[int],
    splits: list[str],
    dropped: dict[int, str],
    fractions: Fractions,
) -> list[list[str]]:
    """Draw, in `splits`, what sources lack; only from groups that no other source has an image of."""
    sources_of = _values(groups, sources)
    labels = [record.label for record in records]
    cut: list[list[str]] = [[] for _ in range(max(sources) + 1)]
    for source, new in enumerate(cut):
        had = {record.split for record, of in zip(records, sources, strict=True) if of == source}
        share_left = 1.0
        for split, share in (("test", fractions.test), ("validation", fractions.validation)):
            pool = [
                i
                for i, of in enumerate(sources)
                if of == source and splits[i] == "train" and i not in dropped and len(sources_of[groups[i]]) == 1
            ]
            if split in had or not pool:
                continue
            for i in choose(pool, labels, groups, share / share_left, fractions.seed, split):
                splits[i] = split
            share_left -= share
            new.append(split)
    return cut
