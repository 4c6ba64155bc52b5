"""How well masks agree: the Dice coefficient, with intervals."""

import numpy as np

from train.data.lung_masks import IGNORED, LUNG
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_mean
from train.segmentation.mask_sets import MaskSet
from train.segmentation.results import DiceScores


def dice(probabilities: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Twice the common area over the sum of both areas, for each image.

    Args:
        probabilities: (N, H, W); 0.5 and more is lung.
        masks: (N, H, W) uint8: `LUNG`, `IGNORED`, which does not count, or background.

    Returns:
        (N,) in [0, 1]; 1 where both are empty.
    """
    counted = masks != IGNORED
    predicted, lung = (probabilities >= 0.5) & counted, masks == LUNG
    areas = predicted.sum(axis=(1, 2)) + lung.sum(axis=(1, 2))
    return np.where(areas > 0, 2 * (predicted & lung).sum(axis=(1, 2)) / np.maximum(areas, 1), 1.0)


def score_masks(probabilities: np.ndarray, images: MaskSet) -> DiceScores:
    """Dice of the images of a split, with 95% intervals over patients.

    Args:
        probabilities: (N, SIZE, SIZE), in the order of the images.
        images: What should have come out.
    """
    values, units = dice(probabilities, images.masks), BootstrapClusters.of(images.patients)
    rows_of = {label: np.flatnonzero(np.array(images.labels) == label) for label in sorted(set(images.labels))}
    return DiceScores(
        images=len(images),
        mean=estimate_mean(values, units),
        labels={label: estimate_mean(values[rows], units.of_rows(rows)) for label, rows in rows_of.items()},
        lowest_twentieth=float(np.percentile(values, 5)),
    )
