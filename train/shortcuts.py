"""Whether a model still "works" on pictures from which what it should look at was removed."""

import numpy as np
from scipy.special import softmax
from torch import nn

from train.batches import Normaliser, PixelDataset
from train.bootstrap import bootstrap
from train.inference import predict_logits
from train.lungs import MaskedPictures
from train.metrics import Units, auroc, entries

# Shares of the picture's side: how far the box around the lungs is widened, and how wide the outer frame is.
BOX_MARGIN, FRAME = 0.05, 0.1


def shortcut_controls(
    model: nn.Module, test: PixelDataset, masked: MaskedPictures | None, normalise: Normaliser, units: Units
) -> dict[str, dict]:
    """Accuracy (at argmax) and AUROC on changed test pictures, and on the same pictures as they are.

    Args:
        model: The finished classifier.
        test: The test split.
        masked: Its pictures with lung masks, if there are any.
        normalise: Pixels -> the model's input.
        units: What is resampled, of the whole split.

    Returns:
        {control: {"images", "changed": {metric: entry}, "unchanged": {metric: entry}}} for "frame_only" and, with
        masks, "lungs_removed", "lung_box_removed" and "lungs_only". AUROC is left out where a class does not occur.
    """
    labels, whole = test.labels.numpy(), np.asarray(test.pixels)
    frame = np.broadcast_to(_frame(whole.shape[1:]), whole.shape)
    controls = {"frame_only": (np.arange(len(whole)), whole, frame)}
    if masked:
        kept = {"lungs_removed": ~masked.lung, "lung_box_removed": ~_boxes(masked.lung), "lungs_only": masked.lung}
        controls |= {name: (masked.rows, masked.pixels, keep) for name, keep in kept.items()}
    return {
        name: {
            "images": len(rows),
            "changed": _scores(model, fill(pixels, keep), labels[rows], normalise, units.of_rows(rows)),
            "unchanged": _scores(model, pixels, labels[rows], normalise, units.of_rows(rows)),
        }
        for name, (rows, pixels, keep) in controls.items()
    }


def fill(pixels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Put the mean of what is kept of each picture in place of the rest.

    Args:
        pixels: (N, H, W) uint8.
        keep: (N, H, W) bool.

    Returns:
        (N, H, W) uint8.
    """
    mean = (pixels * keep).sum(axis=(1, 2)) / np.maximum(keep.sum(axis=(1, 2)), 1)
    return np.where(keep, pixels, mean.round().astype(np.uint8)[:, None, None])


def _frame(size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the outermost tenth on each side."""
    frame = np.ones(size, dtype=bool)
    down, across = (round(side * FRAME) for side in size)
    frame[down:-down, across:-across] = False
    return frame


def _boxes(lungs: np.ndarray) -> np.ndarray:
    """(N, H, W) bool: the box around each picture's lungs, widened on all sides."""
    boxes = np.zeros_like(lungs)
    for lung, box in zip(lungs, boxes, strict=True):
        limits = []
        for axis, side in ((1, lung.shape[0]), (0, lung.shape[1])):
            places, margin = np.flatnonzero(lung.any(axis=axis)), round(side * BOX_MARGIN)
            limits.append(slice(max(0, places[0] - margin), places[-1] + 1 + margin))
        box[tuple(limits)] = True
    return boxes


def _scores(model: nn.Module, pixels: np.ndarray, labels: np.ndarray, normalise: Normaliser, units: Units) -> dict:
    logits = predict_logits(model, PixelDataset(pixels, labels), normalise).astype(np.float64)
    probabilities = softmax(logits, axis=1)
    decided = probabilities.argmax(axis=1)
    values = {"accuracy": float(np.mean(decided == labels))}
    if len(np.unique(labels)) == logits.shape[1]:
        values["auroc"] = auroc(labels, probabilities)
    positive = 1 if logits.shape[1] == 2 else None  # accuracy and AUROC are the same for either class
    limits = bootstrap(labels, probabilities, {"argmax": decided}, units.keys, positive)["argmax"]
    return entries(values, limits, units)
