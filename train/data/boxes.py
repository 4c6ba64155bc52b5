"""Boxes that radiologists drew around findings, as masks of the size that the model sees."""

from dataclasses import dataclass

import datasets
import numpy as np

# A dataset's column `boxes`.
BOXES = datasets.List(datasets.List(datasets.Value("float32"), length=4))
MEANING = (
    "boxes around findings: a list of [x, y, width, height], shares of the image's width and height, from its upper "
    "left corner; null where there are none"
)


@dataclass(frozen=True)
class BoxedImages:
    """The images of a split that have boxes.

    Attributes:
        rows: (M,) their places in the split.
        inside: (M, H, W) bool: what lies in one of the image's boxes.
    """

    rows: np.ndarray
    inside: np.ndarray


def boxed_images(size: tuple[int, int], split: datasets.Dataset) -> BoxedImages | None:
    """The images with boxes; None if there are none, or if a column of that name holds something else.

    Args:
        size: Height and width that the model sees, in pixels.
        split: The split, with a column `boxes` or not.
    """
    if "boxes" not in split.features:
        return None
    if split.features["boxes"] != BOXES:
        print(f"note: column boxes is {split.features['boxes']}, not a list of [x, y, width, height]: not used")
        return None
    boxes = {row: np.array(drawn) for row, drawn in enumerate(split["boxes"]) if drawn}
    if any(not ((drawn >= 0) & (drawn <= 1)).all() for drawn in boxes.values()):
        print("note: column boxes holds other numbers than shares of the image, from 0 to 1: not used")
        return None
    masks = {row: mask for row, drawn in boxes.items() if (mask := _inside(drawn, size)).any()}
    return BoxedImages(np.array(list(masks)), np.stack(list(masks.values()))) if masks else None


def _inside(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels whose centres lie in one of the boxes (B, 4)."""
    y, x = ((np.arange(side) + 0.5) / side for side in size)
    left, top, width, height = boxes.T[:, :, None]
    across = (left <= x) & (x < left + width)
    down = (top <= y) & (y < top + height)
    return (down[:, :, None] & across[:, None, :]).any(axis=0)
