"""Fits what `space.guard` needs: where the training pictures lie, and how far off validation pictures do."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import nn

from space.gradcam import split
from space.guard import Guard, Subspace, coarse_copy, thumbnail
from train.batches import Normaliser, PixelDataset

BATCH_SIZE = 64
MOST_PICTURES = 1000  # of the training split, evenly spread: a subspace needs no more
# Dimensions of the two subspaces. Few for thumbnails, so that little but a chest fits into them; an embedding's first
# ones are taken by the classes.
THUMBNAIL_AXES, EMBEDDING_AXES = 16, 64
# The threshold: so many times the distance within which this share of validation pictures lies. X-rays of other
# hospitals lie a little further off than those of validation (97 to 99% of adult ones pass for the bundled model), and
# photographs, drawings and noise mostly further still (see tests/benchmarks/RESULTS.md).
MARGIN, WITHIN = 1.4, 0.99


def fit_guard(model: nn.Module, training: PixelDataset, validation: PixelDataset, normalise: Normaliser) -> Guard:
    """Fit a guard: subspaces on training pictures, scales and threshold on validation pictures.

    Args:
        model: The finished classifier.
        training: The training split.
        validation: The validation split.
        normalise: Pixels -> the model's input.
    """
    rows = np.unique(np.linspace(0, len(training) - 1, min(MOST_PICTURES, len(training))).astype(int))
    seen = describe(model, training.pixels[rows], normalise)
    spaces = [_subspace(vectors, axes) for vectors, axes in zip(seen, (THUMBNAIL_AXES, EMBEDDING_AXES), strict=True)]
    held_out = describe(model, validation.pixels, normalise)
    distances = np.stack([space.distances(vectors) for space, vectors in zip(spaces, held_out, strict=True)], axis=1)
    centre, scale = np.median(distances, axis=0), np.maximum(distances.std(axis=0), 1e-6)
    threshold = MARGIN * float(np.quantile(((distances - centre) / scale).sum(axis=1), WITHIN))
    return Guard(*spaces, centre, scale, threshold)


def accepted_share(guard: Guard, model: nn.Module, pixels: PixelDataset, normalise: Normaliser) -> float:
    """The share of a split's pictures that a guard lets pass."""
    return float(np.mean(guard.distances(*describe(model, pixels.pixels, normalise)) <= guard.threshold))


def describe(model: nn.Module, pixels: np.ndarray, normalise: Normaliser) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails (N, 1024) and embeddings (N, C) of pictures (N, H, W) uint8."""
    thumbnails = np.stack([thumbnail(coarse_copy(Image.fromarray(picture))) for picture in pixels])
    return thumbnails, np.concatenate(list(_embeddings(model, pixels, normalise)))


@torch.no_grad()
def _embeddings(model: nn.Module, pixels: np.ndarray, normalise: Normaliser) -> Iterator[np.ndarray]:
    features_of, _ = split(model.eval())
    for start in range(0, len(pixels), BATCH_SIZE):
        batch = torch.from_numpy(np.array(pixels[start : start + BATCH_SIZE])).unsqueeze(1)  # the cache is read-only
        yield features_of(normalise(batch)).float().mean(dim=(2, 3)).cpu().numpy()


def _subspace(vectors: np.ndarray, axes: int) -> Subspace:
    mean = vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(vectors - mean, full_matrices=False)
    return Subspace(mean, directions[: min(axes, len(vectors) - 1)])
