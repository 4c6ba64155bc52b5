"""Pictures of a dataset: balance, sizes, mean image per class; single radiographs only for local eyes."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from hub.looks import Item
from train.data import SPLITS
from train.duplicates import Copies

LOCAL = "local"
SAMPLES, MOST_PAIRS, MOST_POINTS = 6, 12, 5000
SAMPLE_SIDE = 160


def draw_figures(
    folder: Path, items: Sequence[Item], copies: Copies, pixels: Callable[[int], Image.Image], with_samples: bool
) -> None:
    """Write the figures of a dataset as PNG files.

    `class_balance`, `sizes` and `mean_images` show no single person. `samples` and `near_duplicates` do: they go to
    `local/` inside the folder, which is not for sharing, unless `with_samples`.

    Args:
        folder: Where the figures go.
        items: Pictures of the dataset, dropped ones too.
        copies: Which of them are copies of each other.
        pixels: Gives the i-th picture in full.
        with_samples: Write `samples` and `near_duplicates` beside the others.
    """
    private = folder if with_samples else folder / LOCAL
    private.mkdir(parents=True, exist_ok=True)
    kept = [item for item in items if not item.dropped]
    _class_balance(kept).savefig(folder / "class_balance.png", dpi=100)
    _sizes(kept).savefig(folder / "sizes.png", dpi=100)
    _mean_images(kept).save(folder / "mean_images.png")
    _samples(items, pixels).save(private / "samples.png")
    if len(copies.near):
        _pairs(copies.near[:MOST_PAIRS], pixels).save(private / "near_duplicates.png")


def _class_balance(items: Sequence[Item]) -> Figure:
    counts = Counter((item.record.split, item.record.label) for item in items)
    labels = sorted({label for _, label in counts})
    splits = [split for split in SPLITS if any(counts[split, label] for label in labels)]
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(labels))
    for k, label in enumerate(labels):
        places = np.arange(len(splits)) + (k - (len(labels) - 1) / 2) * width
        bars = axes.bar(places, [counts[split, label] for split in splits], width, label=label)
        axes.bar_label(bars, fontsize=8)
    axes.set_xticks(range(len(splits)), splits)
    axes.set_ylabel("pictures")
    axes.legend(fontsize=8)
    return figure


def _sizes(items: Sequence[Item]) -> Figure:
    chosen = np.random.default_rng(0).permutation(len(items))[:MOST_POINTS]
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for label in sorted({item.record.label for item in items}):
        sizes = np.array([items[i].look.print.size for i in chosen if items[i].record.label == label]).reshape(-1, 2)
        axes.scatter(sizes[:, 0], sizes[:, 1], s=6, alpha=0.4, label=label)
    axes.set_xlabel("width (pixels)")
    axes.set_ylabel("height (pixels)")
    axes.legend(fontsize=8)
    return figure


def _mean_images(items: Sequence[Item]) -> Image.Image:
    """Mean thumbnail of every class, side by side in alphabetical order."""
    means = []
    for label in sorted({item.record.label for item in items}):
        thumbnails = [item.look.print.thumbnail for item in items if item.record.label == label]
        means.append(Image.fromarray(np.rint(np.mean(thumbnails, axis=0)).astype(np.uint8)))
    return _grid([means])


def _samples(items: Sequence[Item], pixels: Callable[[int], Image.Image]) -> Image.Image:
    """A row of pictures per class, drawn with a fixed seed."""
    random = np.random.default_rng(0)
    rows = []
    for label in sorted({item.record.label for item in items}):
        of_class = [i for i, item in enumerate(items) if item.record.label == label and not item.dropped]
        rows.append([pixels(int(i)) for i in random.permutation(of_class)[:SAMPLES]])
    return _grid(rows)


def _pairs(pairs: np.ndarray, pixels: Callable[[int], Image.Image]) -> Image.Image:
    """Near copies side by side, two pairs a row."""
    pictures = [pixels(int(index)) for pair in pairs for index in pair]
    return _grid([pictures[start : start + 4] for start in range(0, len(pictures), 4)])


def _grid(rows: Sequence[Sequence[Image.Image]], side: int = SAMPLE_SIDE) -> Image.Image:
    """Pictures as a sheet of squares, each fitted into its square."""
    sheet = Image.new("L", (side * max(1, *map(len, rows)), side * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            fitted = picture.resize(_fit(picture.size, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
            sheet.paste(fitted, (x * side, y * side))
    return sheet


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
