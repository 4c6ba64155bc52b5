"""The most confident mistakes, each with its class activation map."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from space.inference.heatmap import overlay
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.inference import SplitPredictions
from train.evaluation.saliency_checks import maps_of
from train.models.explained import ExplainedModel
from train.report.figures import DPI, DrawnSplit

MOST, COLUMNS, OPACITY = 12, 4, 0.5


def draw_mistakes(
    folder: Path,
    split: DrawnSplit,
    pixels: PixelDataset,
    explained: ExplainedModel,
    normalise: Normaliser,
    publish: bool,
) -> bool:
    """Write mistakes.png: images whose most likely class is wrong, the most probable first, beside their maps.

    Args:
        folder: The run's figures. The file lies in `local/`, which is never published, unless `publish`.
        split: The split, and what the model answered.
        pixels: Its pixels.
        explained: The finished classifier.
        normalise: Pixels -> the model's input.
        publish: Whether the images may be published with the run.

    Returns:
        Whether there is a file that may be published.
    """
    for stale in (folder / "mistakes.png", folder / "local" / "mistakes.png"):
        stale.unlink(missing_ok=True)
    rows = most_confident_mistakes(split.answers)
    if not len(rows):
        return False
    images = np.asarray(pixels.pixels[rows])
    figure = _figure(split, rows, images, maps_of(explained, images, normalise).numpy())
    path = (folder if publish else folder / "local") / "mistakes.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return publish


def most_confident_mistakes(answers: SplitPredictions) -> np.ndarray:
    """Rows (M,) of up to 12 images whose most likely class is wrong, the most probable first."""
    wrong = np.flatnonzero(answers.probabilities.argmax(axis=1) != answers.truth)
    return wrong[np.argsort(-answers.probabilities[wrong].max(axis=1), kind="stable")][:MOST]


def _figure(split: DrawnSplit, rows: np.ndarray, images: np.ndarray, maps: np.ndarray) -> Figure:
    """Images (M, H, W) of these rows, each beside itself with its map (M, h, w) laid over it."""
    lines = -(-len(rows) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.5 * lines), layout="constrained")
    all_axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axes in all_axes:
        axes.axis("off")
    labels = split.task.labels
    for axes, row, image, activation in zip(all_axes, rows, images, maps, strict=False):
        xray, probabilities = Image.fromarray(image), split.answers.probabilities[row]
        pair = np.concatenate([np.asarray(xray.convert("RGB")), np.asarray(overlay(xray, activation, OPACITY))], axis=1)
        axes.imshow(pair)
        called = labels[probabilities.argmax()]
        axes.set_title(f"{labels[split.answers.truth[row]]}, called {called} ({probabilities.max():.3f})", fontsize=9)
    return figure
