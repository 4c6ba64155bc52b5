"""95% intervals by drawing whole patients with replacement, for all resamples at once.

A resample is a row of weights: how often each image was drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
MOST_WEIGHTS = 2**23  # weights held at a time: 64 MiB


@dataclass(frozen=True)
class BootstrapClusters:
    """What is drawn as a whole when intervals are computed.

    Attributes:
        keys: (N,) one key per image; images with one key belong together.
        name: What a unit is, in words.
    """

    keys: np.ndarray
    name: str

    @classmethod
    def of(cls, patients: list[str | None], copies: list[int] | None = None) -> "BootstrapClusters":
        """Patients; where none is named, groups of copies; where these are unknown too, images.

        Args:
            patients: N patient keys.
            copies: N numbers, equal for images that are copies of each other; None if nobody looked for copies.
        """
        groups = copies or list(range(len(patients)))
        keys = [
            f"patient {patient}" if patient else f"group {group}"
            for patient, group in zip(patients, groups, strict=True)
        ]
        rest = "group of copies" if copies else "image"
        name = "patient" if all(patients) else f"patient, or {rest} where unknown" if any(patients) else rest
        return cls(np.array(keys), name)

    def of_rows(self, rows: np.ndarray) -> "BootstrapClusters":
        """The units of some images."""
        return BootstrapClusters(self.keys[rows], self.name)

    def __len__(self) -> int:
        return len(np.unique(self.keys))

    def resamples(self, seed: int = 0) -> Iterator[np.ndarray]:
        """Weights (R, N) of all `RESAMPLES` resamples, a block of R at a time."""
        names, unit_of = np.unique(self.keys, return_inverse=True)
        n_units, random = len(names), np.random.default_rng(seed)
        most, left = max(1, MOST_WEIGHTS // len(self.keys)), RESAMPLES
        while left:
            size = min(most, left)
            draws = random.multinomial(n_units, np.full(n_units, 1 / n_units), size=size)
            yield draws[:, unit_of].astype(np.float64)
            left -= size


@dataclass(frozen=True)
class PairedClusters:
    """Pairs of images, whose intervals are computed by drawing the units of the images.

    A pair counts as often as the unit of its first image was drawn, times as often as that of its second.

    Attributes:
        units: Of the images.
        first, second: (P,) rows of the images.
    """

    units: BootstrapClusters
    first: np.ndarray
    second: np.ndarray

    @property
    def name(self) -> str:
        """What a unit is, in words."""
        return self.units.name

    def __len__(self) -> int:
        return len(self.units)

    def resamples(self, seed: int = 0) -> Iterator[np.ndarray]:
        """Weights (R, P) of all `RESAMPLES` resamples, a block of R at a time."""
        for weights in self.units.resamples(seed):
            yield weights[:, self.first] * weights[:, self.second]


def percentile_interval(blocks: list[np.ndarray]) -> np.ndarray:
    """The 2.5th and 97.5th percentile of values over the resamples in which they are defined.

    Args:
        blocks: Values of the resamples, (R,) or (R, K) each, NaN where they are not defined.

    Returns:
        (2,) or (2, K); NaN where no resample defines the value.
    """
    values = np.concatenate(blocks)
    defined = ~np.isnan(values).all(axis=0)
    limits = np.full((2, *values.shape[1:]), np.nan)
    limits[:, defined] = np.nanpercentile(values[:, defined], [2.5, 97.5], axis=0)
    return limits
