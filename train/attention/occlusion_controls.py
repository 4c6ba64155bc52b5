"""Whether a model still "works" on images from which what it should look at was removed.

What is removed is filled with one gray level, the mean of what is kept. Training never does that: it fills with noise
of a random level, or blurs (`train.batches.augmentation`). A network that had learned to shrug at such holes would
pass these controls and keep its shortcut.
"""

import numpy as np
from scipy.special import softmax
from torch import nn

from space.results.evaluation_records import Metrics, ShortcutControl
from train.data.lung_masks import MaskedImages
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_accuracy_and_auroc
from train.evaluation.inference import SplitPredictions, predict_logits
from train.evaluation.metrics import ScoredImages

# Shares of the image's side: how far the box around the lungs is widened, and how wide the outer frame is.
BOX_MARGIN, FRAME = 0.05, 0.1


def shortcut_controls(
    model: nn.Module,
    test: PixelDataset,
    masked: MaskedImages | None,
    normalise: Normaliser,
    answers: SplitPredictions,
) -> dict[str, ShortcutControl]:
    """Accuracy (at argmax) and AUROC on changed test images, and on the same images as they are.

    Args:
        model: The finished classifier.
        test: The test split.
        masked: Its images with lung masks, if there are any.
        normalise: Pixels -> the model's input.
        answers: What the model answered to the test split as it is.

    Returns:
        {control: estimates} for "frame_only" and, with masks, "lungs_removed", "lung_box_removed" and "lungs_only".
        AUROC is left out where a class does not occur.
    """
    whole = np.asarray(test.pixels)
    frame = np.broadcast_to(_frame(whole.shape[1:]), whole.shape)
    controls = [(np.arange(len(whole)), whole, {"frame_only": frame})]
    if masked:
        kept = {"lungs_removed": ~masked.lung, "lung_box_removed": ~_boxes(masked.lung), "lungs_only": masked.lung}
        controls.append((masked.rows, masked.pixels, kept))
    results: dict[str, ShortcutControl] = {}
    for rows, pixels, kept in controls:
        labels, units = answers.truth[rows], answers.units.of_rows(rows)
        unchanged = _scores(answers.probabilities[rows], labels, units)
        for name, keep in kept.items():
            split = PixelDataset(fill(pixels, keep), labels)
            probabilities = softmax(predict_logits(model, split, normalise).astype(np.float64), axis=1)
            changed = _scores(probabilities, labels, units)
            results[name] = ShortcutControl(images=len(rows), changed=changed, unchanged=unchanged)
    return results


def fill(pixels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Put the mean of what is kept of each image in place of the rest.

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
    """(N, H, W) bool: the box around each image's lungs, widened on all sides."""
    boxes = np.zeros_like(lungs)
    for lung, box in zip(lungs, boxes, strict=True):
        limits = []
        for axis, side in ((1, lung.shape[0]), (0, lung.shape[1])):
            places, margin = np.flatnonzero(lung.any(axis=axis)), round(side * BOX_MARGIN)
            limits.append(slice(max(0, places[0] - margin), places[-1] + 1 + margin))
        box[tuple(limits)] = True
    return boxes


def _scores(probabilities: np.ndarray, labels: np.ndarray, units: BootstrapClusters) -> Metrics:
    positive = 1 if probabilities.shape[1] == 2 else None  # accuracy and AUROC are the same for either class
    images = ScoredImages(labels, probabilities, {"argmax": probabilities.argmax(axis=1)}, positive)
    return estimate_accuracy_and_auroc(images, units)["argmax"]
