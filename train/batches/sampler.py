"""The order in which training images are shown: a function of the seed and the epoch alone."""

from dataclasses import dataclass

import numpy as np

# Keeps the random numbers of different purposes apart, whatever the seed.
ORDER, AUGMENTATION, DROPOUT, DONORS = range(4)


@dataclass(frozen=True)
class Order:
    """The images of one epoch.

    Attributes:
        indices: (M,) rows of the training split.
        augmented: (M,) bool: whether the image is shown augmented.
    """

    indices: np.ndarray
    augmented: np.ndarray


def random_seed(*numbers: int) -> int:
    """Mix numbers (a run's seed, a purpose, a step) into one seed below 2**63; zeros at the end do not count."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def epoch_length(labels: np.ndarray, balance: str) -> int:
    """Images shown in one epoch."""
    return int(np.bincount(labels).max() * len(np.unique(labels))) if balance == "oversample" else len(labels)


def epoch_order(labels: np.ndarray, origins: np.ndarray, balance: str, seed: int, epoch: int) -> Order:
    """Draw the order of an epoch.

    Args:
        labels: (N,) class indices of the training split; every class occurs.
        origins: (N,) strings; "" counts as an origin too.
        balance: A recipe's `class_balance`.
        seed: The run's seed.
        epoch: From 0.

    Returns:
        The order. With "none" and "weighted-loss" every image comes once; with "balanced-sampling" N images are
        drawn with replacement, each class as often; with "oversample" every image comes once as it is, and those of
        smaller classes again, augmented, until all classes are as large as the largest; with "origin" N images are
        shown, each class of an origin as `origin_shares` says.
    """
    random = np.random.default_rng([seed, ORDER, epoch])
    if balance == "balanced-sampling":
        share = 1 / np.bincount(labels)[labels]
        indices = random.choice(len(labels), size=len(labels), p=share / share.sum())
        return Order(indices, np.ones(len(indices), dtype=bool))
    if balance == "origin":
        shown = _by_origin(labels, origins, random)
        return Order(random.permutation(shown), np.ones(len(shown), dtype=bool))
    if balance == "oversample":
        copies = _copies(labels, random)
        order = random.permutation(len(labels) + len(copies))
        return Order(np.concatenate([np.arange(len(labels)), copies])[order], order >= len(labels))
    return Order(random.permutation(len(labels)), np.ones(len(labels), dtype=bool))


def _copies(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rows of the smaller classes that are shown once more, each about as often as the others of its class."""
    counts = np.bincount(labels)
    copies = []
    for k in np.unique(labels):
        copies.append(_repeat(np.flatnonzero(labels == k), counts.max() - counts[k], random))
    return np.concatenate(copies)


def _repeat(rows: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    """Draw n of some rows, each about as often as the others."""
    rounds = [random.permutation(rows) for _ in range(-(-n // len(rows)))]
    return np.concatenate([*rounds, rows[:0]])[:n]


def origin_shares(labels: np.ndarray, origins: np.ndarray) -> dict[tuple[str, int], float]:
    """How often each class of each origin is shown with `class_balance = "origin"`.

    All classes are shown equally often, also within each origin that has all of them: then where an image comes from
    does not tell its class. An origin counts by the square root of its smallest class. With equal counts, 80 images
    beside sources of thousands would be shown dozens of times an epoch and learned by heart; in proportion to their
    number, they would hardly be seen.

    Returns:
        {(origin, class index): share of an epoch}, of those that occur. The shares add up to 1.
    """
    groups = {(str(name), int(k)) for name, k in zip(origins, labels, strict=True)}
    sizes = {(name, k): int(((origins == name) & (labels == k)).sum()) for name, k in sorted(groups)}
    weights = {(name, k): min(n for (other, _), n in sizes.items() if other == name) ** 0.5 for name, k in sizes}
    of_class = {k: sum(weight for (_, other), weight in weights.items() if other == k) for _, k in sizes}
    return {(name, k): weight / of_class[k] / len(of_class) for (name, k), weight in weights.items()}


def _by_origin(labels: np.ndarray, origins: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many rows as there are labels, in the shares of `origin_shares`; within a group each about as often."""
    shares = origin_shares(labels, origins)
    ends = np.rint(np.cumsum(list(shares.values())) * len(labels)).astype(int)
    counts = np.diff(ends, prepend=0)
    rows = [np.flatnonzero((origins == name) & (labels == k)) for name, k in shares]
    return np.concatenate([_repeat(mine, n, random) for mine, n in zip(rows, counts, strict=True)])


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weights (K,) by inverse class frequency, so that every class counts the same and the images' mean is 1."""
    counts = np.bincount(labels)
    return len(labels) / (len(counts) * counts)
