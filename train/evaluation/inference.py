"""A model's answers to whole splits."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import datasets
import numpy as np
import torch
from PIL import Image
from scipy.special import softmax
from torch import nn

from train.data.duplicates import Fingerprint, find_copies, group_pairs, thumbnail
from train.data.origins import HOSPITAL, ORIGIN
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.bootstrap import BootstrapClusters

BATCH_SIZE = 8  # on a CPU three times as fast as 64, whose feature maps outgrow the caches
# Of a dataset: their values are reported one by one.
SUBGROUP_COLUMNS = (ORIGIN, HOSPITAL, "subtype", "view", "evidence")


@torch.no_grad()
def predict_logits(
    model: nn.Module, split: PixelDataset, normalise: Normaliser, rows: np.ndarray | None = None
) -> np.ndarray:
    """Classify the images of a split on this process, in the precision that it is called in.

    Args:
        model: The classifier; is left in evaluation mode.
        split: Pixels.
        normalise: Pixels -> the model's input.
        rows: Which images; None for all, in order.

    Returns:
        Logits (N, K) float32.
    """
    model.eval()
    rows = np.arange(len(split)) if rows is None else rows
    logits = []
    for start in range(0, len(rows), BATCH_SIZE):
        pixels = split.take(rows[start : start + BATCH_SIZE])
        logits.append(model(pixel_values=normalise(pixels)).logits.float().cpu())
    return torch.cat(logits).numpy()


@dataclass(frozen=True)
class SplitPredictions:
    """What a model answered to the images of a split.

    Attributes:
        truth: (N,) class indices.
        logits: (N, K) of the finished model.
        units: What is resampled for intervals.
        columns: {column of `SUBGROUP_COLUMNS`: N values, None where nothing is known}.
    """

    truth: np.ndarray
    logits: np.ndarray
    units: BootstrapClusters
    columns: dict[str, list[str | None]]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, K)."""
        return softmax(self.logits, axis=1)


def predict_split(
    model: nn.Module, pixels: PixelDataset, normalise: Normaliser, rows: datasets.Dataset
) -> SplitPredictions:
    """Have a finished model classify a split, in the precision of its weights.

    Args:
        model: The classifier.
        pixels: The split's pixels.
        normalise: Pixels -> the model's input.
        rows: The split itself.
    """
    logits = predict_logits(model, pixels, normalise).astype(np.float64)
    columns = {name: list(rows[name]) for name in SUBGROUP_COLUMNS if name in rows.features}
    return SplitPredictions(pixels.labels.numpy(), logits, units_of(list(rows["patient"]), pixels), columns)


def units_of(patients: list[str | None], pixels: PixelDataset) -> BootstrapClusters:
    """What is resampled: patients and, where none is named, groups of copies."""
    if all(patients):
        return BootstrapClusters.of(patients)
    pairs = find_copies(fingerprints(pixels), image_of(pixels)).pairs()
    return BootstrapClusters.of(patients, group_pairs(len(pixels), pairs))


def fingerprints(pixels: PixelDataset) -> list[Fingerprint]:
    """What `train.data.duplicates` compares, of images as the model sees them."""
    images = (Image.fromarray(array) for array in pixels.pixels)
    return [Fingerprint(sha256(image.tobytes()).digest(), image.size, thumbnail(image)) for image in images]


def image_of(pixels: PixelDataset):
    """A function that gives the i-th image."""
    return lambda index: Image.fromarray(pixels.pixels[index])
