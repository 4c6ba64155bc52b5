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


def lung_masks_of(split: datasets.Dataset, pixels: np.ndarray) -> np.ndarray:
    """The lung mask of every image of a split, at the size of its pixels.

    Args:
        split: The split, with a column `lung_mask` or not.
        pixels: (N, H, W) uint8.

    Returns:
        (N, H, W) uint8: `LUNG`, `IGNORED` or 0; all 0 where an image has no mask.
    """
    masks = np.zeros(pixels.shape, dtype=np.uint8)
    for row, mask in enumerate(split["lung_mask"] if "lung_mask" in split.features else ()):
        if mask is not None:
            masks[row] = mask.convert("L").resize(pixels.shape[:0:-1], Image.Resampling.NEAREST)
    return masks
