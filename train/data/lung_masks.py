"""Lung masks of a split, at the size that the model sees."""

from dataclasses import dataclass

import datasets
import numpy as np
from PIL import Image

from train.data.pixel_cache import PixelDataset

# Of a mask's pixels: lung, and "do not count", where a device hides what is behind it. The rest is background.
LUNG, IGNORED = 255, 127


@dataclass(frozen=True)
class MaskedImages:
    """The images of a split that have a lung mask.

    Attributes:
        rows: (M,) their places in the split.
        pixels: (M, H, W) uint8.
        lung: (M, H, W) bool.
        counted: (M, H, W) bool, False where the mask says "ignore".
    """

    rows: np.ndarray
    pixels: np.ndarray
    lung: np.ndarray
    counted: np.ndarray


def masked_images(pixels: PixelDataset, split: datasets.Dataset) -> MaskedImages | None:
    """The images with masks; None if there are none.

    Args:
        pixels: The split's pixels, (N, H, W).
        split: The split, with a column `lung_mask` or not.
    """
    if "lung_mask" not in split.features:
        return None
    size = pixels.pixels.shape[1:]
    rows, masks = [], []
    for row, mask in enumerate(split["lung_mask"]):
        if mask is None:
            continue
        values = np.asarray(mask.convert("L").resize(size[::-1], Image.Resampling.NEAREST))
        if (values == LUNG).any():
            rows.append(row)
            masks.append(values)
    if not rows:
        return None
    stacked = np.stack(masks)
    return MaskedImages(np.array(rows), np.asarray(pixels.pixels[rows]), stacked == LUNG, stacked != IGNORED)
