"""Lung masks of a split, at the size that the model sees."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import numpy as np
from PIL import Image
from scipy.ndimage import label
from tqdm import tqdm

from space.inference.lungs import LungSegmenter
from train.common.cache_folder import cached_array
from train.data.pixel_cache import PixelDataset

# Of a mask's pixels: lung, and "do not count", where a device hides what is behind it. The rest is background.
LUNG, IGNORED = 255, 127
# Part of the key of cached masks: raise it when the masks that come out change.
MASKS_VERSION = 1
BLOCK = 256  # images masked at a time


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
    """The images with masks of the dataset's own; None if there are none.

    Args:
        pixels: The split's pixels, (N, H, W).
        split: The split, with a column `lung_mask` or not.
    """
    own = dict(own_masks(split, pixels.pixels.shape[1:]))
    if not own:
        return None
    rows, masks = np.array([*own]), np.stack([*own.values()])
    return MaskedImages(rows, np.asarray(pixels.pixels[rows]), masks == LUNG, masks != IGNORED)


def own_masks(split: datasets.Dataset, size: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """The masks in a split's column `lung_mask`, without those that show no lung.

    Args:
        split: With such a column or not.
        size: Height and width in pixels of the masks that are wanted.

    Yields:
        The image's place in the split, and its mask: (H, W) uint8.
    """
    for row, stored in enumerate(_stored_masks(split)):
        if stored is not None:
            mask = Image.open(io.BytesIO(stored["bytes"]) if stored["bytes"] else stored["path"])
            values = np.asarray(mask.convert("L").resize(size[::-1], Image.Resampling.NEAREST))
            if (values == LUNG).any():
                yield row, values


def lung_masks_of(
    split: datasets.Dataset, pixels: np.ndarray, segmenter: LungSegmenter | None = None, own: bool = True
) -> np.ndarray:
    """A lung mask for every image of a split: the dataset's own where it has one, else the segmenter's.

    They are computed once; later calls read them from disk. Of what the segmenter marks, the two largest areas are
    kept. Where a mask of the dataset's own says "ignore", the segmenter decides. Any mask may be wrong or empty: check
    that its area is plausible before relying on it.

    Args:
        split: The split, with a column `lung_mask` or not.
        pixels: Its images, (N, H, W) uint8.
        segmenter: None for the one that comes with the project.
        own: Whether the dataset's masks fit these pixels; False for a copy whose geometry was changed.

    Returns:
        (N, H, W) uint8, 255 for lung and 0 for the rest, memory-mapped.

    Raises:
        UsageError: The project's segmenter cannot be used.
    """
    segmenter = segmenter or LungSegmenter.load()
    digest = hashlib.sha256(f"{MASKS_VERSION} {segmenter.sha256} {pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels))
    for row, stored in enumerate(_stored_masks(split) if own else ()):
        if stored is not None:
            digest.update(f"{row} ".encode() + (stored["bytes"] or Path(stored["path"]).read_bytes()))
    return cached_array("lung-masks", digest.hexdigest(), partial(_write_masks, split, pixels, segmenter, own))


def _write_masks(split: datasets.Dataset, pixels: np.ndarray, segmenter: LungSegmenter, own: bool, path: Path) -> None:
    masks = np.lib.format.open_memmap(path, "w+", np.uint8, pixels.shape)
    with tqdm(total=len(pixels), desc="finding lungs", unit="img") as bar:
        for start in range(0, len(pixels), BLOCK):
            block = pixels[start : start + BLOCK]
            for place, lung in enumerate(segmenter.masks(block) >= 0.5, start):
                masks[place] = np.where(two_largest(lung), LUNG, 0)
            bar.update(len(block))
    for row, mask in own_masks(split, pixels.shape[1:]) if own else ():
        counted = mask != IGNORED
        masks[row][counted] = np.where(mask[counted] == LUNG, LUNG, 0)
    masks.flush()


def two_largest(lung: np.ndarray) -> np.ndarray:
    """The two largest connected areas of a mask, (H, W) bool: a segmenter also marks air beside the body and below."""
    areas, n = label(lung)
    if n <= 2:
        return lung
    largest = 1 + np.argsort(-np.bincount(areas.ravel())[1:], kind="stable")[:2]
    return np.isin(areas, largest)


def _stored_masks(split: datasets.Dataset) -> Iterator[dict | None]:
    """The column `lung_mask` as it is stored, without decoding; nothing if there is no such column."""
    if "lung_mask" in split.features:
        encoded = split.select_columns("lung_mask").cast_column("lung_mask", datasets.Image(decode=False))
        yield from (row["lung_mask"] for row in encoded)
