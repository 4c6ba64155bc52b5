"""The order in which training images are shown: a function of the seed and the epoch alone."""

from dataclasses import dataclass

import numpy as np

# Keeps the random numbers of different purposes apart, whatever the seed.
ORDER, AUGMENTATION, DROPOUT = range(3)


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


def epoch_order(labels: np.ndarray, balance: str, seed: int, epoch: int) -> Order:
    """Draw the order of an epoch.

    Args:
        labels: (N,) class indices of the training split; every class occurs.
        balance: A recipe's `class_balance`.
        seed: The run's seed.
        epoch: From 0.

    Returns:
        The order. With "none" and "weighted-loss" every image comes once; with "balanced-sampling" N images are
        drawn with replacement, each class as often; with "oversample" every image comes once as it is, and those of
        smaller classes again, augmented, until all classes are as large as the largest.
    """
    random = np.random.default_rng([seed, ORDER, epoch])
    if balance == "balanced-sampling":
        share = 1 / np.bincount(labels)[labels]
        indices = random.choice(len(labels), size=len(labels), p=share / share.sum())
        return Order(indices, np.ones(len(indices), dtype=bool))
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
        rows, missing = np.flatnonzero(labels == k), counts.max() - counts[k]
        rounds = [random.permutation(rows) for _ in range(-(-missing // len(rows)))]
        copies.append(np.concatenate([*rounds, rows[:0]])[:missing])
    return np.concatenate(copies)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weights (K,) by inverse class frequency, so that every class counts the same and the images' mean is 1."""
    counts = np.bincount(labels)
    return len(labels) / (len(counts) * counts)
