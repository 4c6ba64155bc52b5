"""The most confident mistakes, each with its class activation map."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from space.inference.gradcam import overlay
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.saliency_checks import maps_of
from train.report.figures import DPI, Shown

MOST, COLUMNS, OPACITY = 12, 4, 0.5


def draw_mistakes(
    folder: Path, shown: Shown, pixels: PixelDataset, model: nn.Module, normalise: Normaliser, publish: bool
) -> bool:
    """Write mistakes.png: images whose most likely class is wrong, the most probable first, beside their maps.

    Args:
        folder: The run's figures. The file lies in `local/`, which is never published, unless `publish`.
        shown: The split.
        pixels: Its pixels.
        model: The finished classifier.
        normalise: Pixels -> the model's input.
        publish: Whether the images may be published with the run.

    Returns:
        Whether there is a file that may be published.
    """
    for stale in (folder / "mistakes.png", folder / "local" / "mistakes.png"):
        stale.unlink(missing_ok=True)
    probabilities, truth = shown.answers.probabilities, shown.answers.truth
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != truth)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST]
    if not len(chosen):
        return False
    images = np.asarray(pixels.pixels[chosen])
    maps = maps_of(model, images, normalise).numpy()
    rows = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.5 * rows), layout="constrained")
    all_axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in all_axes:
        axes.axis("off")
    for axes, row, image, activation in zip(all_axes, chosen, images, maps, strict=False):
        xray = Image.fromarray(image)
        pair = np.concatenate([np.asarray(xray.convert("RGB")), np.asarray(overlay(xray, activation, OPACITY))], axis=1)
        axes.imshow(pair)
        labels = shown.task.labels
        axes.set_title(f"{labels[truth[row]]}, called {labels[predicted[row]]} ({confidence[row]:.3f})", fontsize=9)
    path = (folder if publish else folder / "local") / "mistakes.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return publish
