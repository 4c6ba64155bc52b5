"""Splits that can be defended: no copy and no patient of a test image outside of test, no group in two splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hub.layouts.base import Record
from space.errors import UsageError
from train.data.duplicates import Copies, group_pairs, merge_groups

# Shares of new splits are parts of at most this many folds: 0.15 is 3 of 20.
MOST_FOLDS = 20
MOST_NOT_TRAINED = 0.8


@dataclass(frozen=True)
class Fractions:
    """How much of a source goes where.

    Attributes:
        validation: Share of the validation split: of everything, or, beside an official test split, of the rest.
        test: Share of the test split where the publisher has none.
        seed: Seed of the new splits.

    Raises:
        UsageError: Less than a fifth is left to train on.
    """

    validation: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if (both := self.validation + self.test) > MOST_NOT_TRAINED:
            raise UsageError(
                f"validation and test would take {both:g} of the images (--val-fraction, --test-fraction). Leave "
                f"{1 - MOST_NOT_TRAINED:.1g} or more for training."
            )


@dataclass(frozen=True)
class SplitAssignment:
    """Which image goes into which split.

    Attributes:
        splits: "train", "validation" or "test" of each image, in the order given.
        leaks: {index: why} of train and validation images that test holds too (by copy or by patient).
        official_test: The test split is the publisher's.
        shared_keys: Loose patient keys that occur in a publisher's test split and, dropped leaks aside, elsewhere. They
            are too loose to drop an image for, but a reader should know.
    """

    splits: list[str]
    leaks: dict[int, str]
    official_test: bool
    shared_keys: int


def assign_splits(
    records: Sequence[Record], copies: Copies, fractions: Fractions, official: bool, keep_leaks: bool
) -> SplitAssignment:
    """Give every image its split.

    The publisher's test split stays as it is; where there is none, one is drawn from everything. Validation is drawn
    anew from train + validation. Images of one group (loose patient key, or copies of each other) are never separated
    by a new split.

    Args:
        records: All images.
        copies: Which of them are copies of each other.
        fractions: Sizes and seed of the new splits.
        official: Keep the publisher's splits, all of them.
        keep_leaks: Let leaks take part in the new validation split; otherwise they are left where they were, for the
            caller to drop.

    Raises:
        UsageError: There are no official splits to keep, or too few groups to draw from.
    """
    if official and any(record.split is None for record in records):
        raise UsageError("--official-splits: this source has no splits of its own. Leave the option out to make some.")
    copied = group_pairs(len(records), copies.pairs())
    has_test = any(record.split == "test" for record in records)
    leaks = find_leaks(records, copies, copied) if has_test else {}
    if official:
        splits = [record.split for record in records]
    else:
        groups = merge_groups(copied, [record.group for record in records])
        splits = _draw_splits(records, groups, fractions, has_test, set() if keep_leaks else set(leaks))
    there = [record for i, record in enumerate(records) if keep_leaks or i not in leaks]
    return SplitAssignment(splits, leaks, has_test, _shared_keys(there) if has_test else 0)


def find_leaks(records: Sequence[Record], copies: Copies, copied: Sequence[int]) -> dict[int, str]:
    """Train and validation images that test holds too.

    A copy tells that two patients are one: also the other images of a patient leak of whom test has a copy.

    Args:
        records: Images with their splits.
        copies: Which of them are copies of each other.
        copied: The group of each image that its copies make.

    Returns:
        {index: "exact copy", "near copy" or "patient"}.
    """
    in_test = [record.split == "test" for record in records]
    people = merge_groups(copied, [record.patient for record in records])
    test_groups, test_people = ({g for g, test in zip(of, in_test, strict=True) if test} for of in (copied, people))
    exact = {int(i) for pair in copies.exact for i, other in (pair, pair[::-1]) if in_test[other]}
    leaks = {}
    for i in range(len(records)):
        if in_test[i]:
            continue
        if copied[i] in test_groups:
            leaks[i] = "exact copy" if i in exact else "near copy"
        elif people[i] in test_people:
            leaks[i] = "patient"
    return leaks


def _draw_splits(
    records: Sequence[Record], groups: list[int], fractions: Fractions, has_test: bool, left_out: set[int]
) -> list[str]:
    """New splits beside the publisher's test split, if it has one; images `left_out` stay where they were."""
    labels = [record.label for record in records]
    splits = [record.split for record in records]
    published = all(splits)
    if has_test:
        pool = [i for i, split in enumerate(splits) if split != "test" and i not in left_out]
        of_rest = fractions.validation
    else:
        everything = list(range(len(records)))
        test = choose(everything, labels, groups, fractions.test, fractions.seed, "test", published)
        splits = ["test" if i in test else None for i in everything]
        pool = [i for i in everything if i not in test]
        of_rest = fractions.validation / (1 - fractions.test)
    validation = choose(pool, labels, groups, of_rest, fractions.seed, "validation", published) if pool else set()
    for i in pool:
        splits[i] = "validation" if i in validation else "train"
    return splits


def _shared_keys(records: Sequence[Record]) -> int:
    """Loose patient keys that occur in the publisher's test split and outside of it."""
    test, others = ({r.group for r in records if (r.split == "test") == side} - {None} for side in (True, False))
    return len(test & others)


def choose(
    pool: Sequence[int],
    labels: Sequence[str],
    groups: Sequence[int],
    share: float,
    seed: int,
    name: str,
    published: bool = False,
) -> set[int]:
    """Choose a share of the images for a new split, stratified by label, whole groups only.

    Args:
        pool: Indices of the images to choose from, at least one.
        labels, groups: Class and group of every image.
        share: The share, above 0 and below 1.
        seed: Seed of the draw.
        name: What errors call the split.
        published: Whether errors advise to keep the publisher's splits.

    Raises:
        UsageError: A class has fewer than two groups.
    """
    groups_of: dict[str, set[int]] = {}
    for i in pool:
        groups_of.setdefault(labels[i], set()).add(groups[i])
    fewest = min(groups_of, key=lambda label: len(groups_of[label]))
    n_groups = len(groups_of[fewest])
    if n_groups < 2:
        raise UsageError(
            f"too few patients for a {name} split: class {fewest} has only one independent group of images. "
            f"Drop or merge the class with --labels{', or keep the published --official-splits' if published else ''}."
        )
    most = min(MOST_FOLDS, n_groups)
    part = Fraction(share).limit_denominator(most)
    part = min(max(part, Fraction(1, most)), 1 - Fraction(1, most))
    if abs(part - share) > 0.01:
        print(
            f"note: class {fewest} has only {n_groups} independent groups of images, so the {name} split takes {part} "
            f"of them, not {share:.3g}"
        )
    taken = first_folds([labels[i] for i in pool], [groups[i] for i in pool], part.denominator, part.numerator, seed)
    return {pool[i] for i in taken}


def first_folds(labels: Sequence[str], groups: Sequence[int], n_folds: int, taken: int, seed: int) -> list[int]:
    """The first folds that scikit-learn's `StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)` makes.

    Groups are shuffled, then handed out one by one, those of the most uneven classes first: each to the fold that
    leaves the classes most evenly spread over all folds, and of equally good folds to the smallest. The folds are
    scikit-learn's own, which a test holds. They come ten times as fast: 21,165 images in ten folds take 1 s here and
    10 s there, twice per conversion.

    Args:
        labels: Class of each image.
        groups: Group of each image.
        n_folds: How many folds.
        taken: How many of them to take.
        seed: Seed of the shuffle.

    Returns:
        Indices of the images in the first `taken` folds.
    """
    classes, label_of = np.unique(labels, return_inverse=True)
    names, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (group_of, label_of), 1)
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    totals = counts.sum(0)
    in_fold = np.zeros((n_folds, len(classes)))
    folds = np.arange(n_folds)
    first = []
    for group in order:
        placed = np.repeat(in_fold[None], n_folds, axis=0)  # [i]: the folds, had fold i got the group
        placed[folds, folds] += counts[group]
        uneven = (placed / totals).std(axis=1).mean(axis=1).tolist()
        best = _best_fold(uneven, in_fold.sum(1).tolist())
        in_fold[best] += counts[group]
        if best < taken:
            first.append(group)
    return np.flatnonzero(np.isin(group_of, first)).tolist()


def _best_fold(uneven: list[float], sizes: list[float]) -> int:
    """The fold with the least uneven classes, and the smallest of those that are equal by `numpy.isclose`."""
    best = 0
    for fold in range(1, len(uneven)):
        tied = abs(uneven[fold] - uneven[best]) <= 1e-8 + 1e-5 * uneven[best]
        if uneven[fold] < uneven[best] or (tied and sizes[fold] < sizes[best]):
            best = fold
    return best
