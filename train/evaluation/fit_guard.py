"""Fits what `space.inference.guard` needs: where the training images lie, and how far off validation images do."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import nn

from space.inference.guard import Guard, Subspace, coarse_copy, thumbnail
from train.data.dataset import evenly_spread
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.inference import BATCH_SIZE
from train.models.explained import network_of

MOST_IMAGES = 1000  # of the training split, evenly spread: a subspace needs no more
# Dimensions of the two subspaces. Few for thumbnails, so that little but a chest fits into them; an embedding's first
# ones are taken by the classes.
THUMBNAIL_AXES, EMBEDDING_AXES = 16, 64
# The threshold: so many times the distance within which this share of validation images lies. X-rays of other
# hospitals lie a little further off than those of validation (97 to 99% of adult ones pass for the bundled model), and
# photographs, drawings and noise mostly further still (see tests/benchmarks/RESULTS.md).
MARGIN, WITHIN = 1.4, 0.99


Description = tuple[np.ndarray, np.ndarray]  # thumbnails (N, 1024) and embeddings (N, C) of N images


def fit_guard(training: Description, validation: Description) -> Guard:
    """Fit a guard: subspaces on training images, scales and threshold on validation images (see `describe`)."""
    spaces = [
        _subspace(vectors, axes) for vectors, axes in zip(training, (THUMBNAIL_AXES, EMBEDDING_AXES), strict=True)
    ]
    distances = np.stack([space.distances(vectors) for space, vectors in zip(spaces, validation, strict=True)], axis=1)
    centre, scale = np.median(distances, axis=0), np.maximum(distances.std(axis=0), 1e-6)
    threshold = MARGIN * float(np.quantile(((distances - centre) / scale).sum(axis=1), WITHIN))
    return Guard(*spaces, centre, scale, threshold)


def spread_rows(split: PixelDataset) -> np.ndarray:
    """Places of up to `MOST_IMAGES` images of a split, evenly spread."""
    return evenly_spread(len(split), MOST_IMAGES)


def describe(
    model: nn.Module, split: PixelDataset, normalise: Normaliser, rows: np.ndarray | None = None
) -> Description:
    """What a guard looks at.

    Args:
        model: The finished classifier.
        split: Pixels.
        normalise: Pixels -> the model's input.
        rows: Which images; None for all, in order.
    """
    rows = np.arange(len(split)) if rows is None else rows
    thumbnails = np.stack([thumbnail(coarse_copy(Image.fromarray(image))) for image in split.pixels[rows]])
    return thumbnails, np.concatenate(list(_embeddings(model, split, normalise, rows)))


@torch.no_grad()
def _embeddings(
    model: nn.Module, pixels: PixelDataset, normalise: Normaliser, rows: np.ndarray
) -> Iterator[np.ndarray]:
    network = network_of(model.eval())
    for start in range(0, len(rows), BATCH_SIZE):
        batch = pixels.take(rows[start : start + BATCH_SIZE])
        yield network.forward_features(normalise(batch)).float().mean(dim=(2, 3)).cpu().numpy()


def _subspace(vectors: np.ndarray, axes: int) -> Subspace:
    mean = vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(vectors - mean, full_matrices=False)
    return Subspace(mean, directions[: min(axes, len(vectors) - 1)])
