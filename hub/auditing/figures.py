"""Figures of a dataset: balance, sizes, mean image per class. Single radiographs are drawn for local use only."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from hub.dataset.image_summary import AuditedImage
from train.data.dataset import SPLITS
from train.data.duplicates import Copies

LOCAL = "local"
SAMPLES, MOST_PAIRS, MOST_POINTS = 6, 12, 5000
SAMPLE_SIDE, TITLE = 200, 16  # pixels
# A mean of fewer images than this may still show a person.
FEWEST_FOR_MEAN = 20


def draw_figures(
    folder: Path,
    images: Sequence[AuditedImage],
    copies: Copies,
    pixels: Callable[[int], Image.Image],
    with_samples: bool,
) -> None:
    """Write the figures of a dataset as PNG files.

    `class_balance`, `sizes` and `mean_images` show no single person. `samples` and `near_duplicates` do, and so do mean
    images of small classes: these go to `local/` inside the folder, which is not for sharing, unless `with_samples`.

    Args:
        folder: Where the figures go.
        images: Images of the dataset, dropped ones too.
        copies: Which of them are copies of each other.
        pixels: Gives the i-th image in full.
        with_samples: Write all figures into the folder itself.
    """
    private = folder if with_samples else folder / LOCAL
    private.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder / LOCAL):  # an earlier audit may have been asked to show more
        for name in ("samples", "near_duplicates", "mean_images"):
            (place / f"{name}.png").unlink(missing_ok=True)
    kept = [image for image in images if not image.dropped]
    smallest = min(Counter(image.record.label for image in kept).values())
    _class_balance(kept).savefig(folder / "class_balance.png", dpi=100, bbox_inches="tight")
    _sizes(kept).savefig(folder / "sizes.png", dpi=100, bbox_inches="tight")
    _mean_images(kept).save((folder if smallest >= FEWEST_FOR_MEAN else private) / "mean_images.png")
    _samples(images, pixels).save(private / "samples.png")
    if len(copies.near):
        _pairs(copies.near[:MOST_PAIRS], images, pixels).save(private / "near_duplicates.png")


def _class_balance(images: Sequence[AuditedImage]) -> Figure:
    counts = Counter((image.record.split, image.record.label) for image in images)
    labels = sorted({label for _, label in counts})
    splits = [split for split in SPLITS if any(counts[split, label] for label in labels)]
    figure = Figure(figsize=(6, 3.5))
    axes = figure.subplots()
    width = 0.8 / max(1, len(labels))
    for k, label in enumerate(labels):
        places = np.arange(len(splits)) + (k - (len(labels) - 1) / 2) * width
        bars = axes.bar(places, [counts[split, label] for split in splits], width)
        axes.bar_label(bars, fontsize=8)
    axes.set_xticks(range(len(splits)), splits)
    axes.set_ylabel("images")
    _legend(axes, labels)
    return figure


def _sizes(images: Sequence[AuditedImage]) -> Figure:
    chosen = np.random.default_rng(0).permutation(len(images))[:MOST_POINTS]
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    labels = sorted({image.record.label for image in images})
    for label in labels:
        of_class = (images[i] for i in chosen if images[i].record.label == label)
        sizes = np.array([image.summary.fingerprint.size for image in of_class]).reshape(-1, 2)
        axes.scatter(sizes[:, 0], sizes[:, 1], s=6, alpha=0.4)
    axes.set_xlabel("width (pixels)")
    axes.set_ylabel("height (pixels)")
    _legend(axes, labels)
    return figure


def _legend(axes: Axes, labels: Sequence[str]) -> None:
    """Name the series in the order in which they were drawn, whatever characters their names have."""
    handles = [*axes.containers, *axes.collections]
    for text in axes.legend(handles, [f"\u200b{label}" for label in labels], fontsize=8).get_texts():
        text.set_parse_math(False)


def _mean_images(images: Sequence[AuditedImage]) -> Image.Image:
    """Mean thumbnail of every class."""
    means = []
    for label in sorted({image.record.label for image in images}):
        thumbnails = [image.summary.fingerprint.thumbnail for image in images if image.record.label == label]
        mean = Image.fromarray(np.rint(np.mean(thumbnails, axis=0)).astype(np.uint8))
        means.append((f"{label} (mean of {len(thumbnails):,})", mean))
    return _sheet([means])


def _samples(images: Sequence[AuditedImage], pixels: Callable[[int], Image.Image]) -> Image.Image:
    """A row of images per class, drawn with a fixed seed."""
    random = np.random.default_rng(0)
    rows = []
    for label in sorted({image.record.label for image in images}):
        of_class = [i for i, image in enumerate(images) if image.record.label == label and not image.dropped]
        rows.append([(label, pixels(int(i))) for i in random.permutation(of_class)[:SAMPLES]])
    return _sheet(rows)


def _pairs(pairs: np.ndarray, images: Sequence[AuditedImage], pixels: Callable[[int], Image.Image]) -> Image.Image:
    """Near copies side by side, two pairs a row."""
    named = [(f"{images[i].record.split}: {images[i].record.source[-26:]}", pixels(i)) for i in pairs.ravel().tolist()]
    return _sheet([named[start : start + 4] for start in range(0, len(named), 4)])


def _sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
    """Images in rows, each fitted into a square with its title above it (matplotlib takes seconds for as much)."""
    sheet = Image.new("L", (SAMPLE_SIDE * max(map(len, rows)), (SAMPLE_SIDE + TITLE) * len(rows)), 255)
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (title, image) in enumerate(row):
            left, top = x * SAMPLE_SIDE, y * (SAMPLE_SIDE + TITLE)
            scale = (SAMPLE_SIDE - 4) / max(image.size)
            size = tuple(max(1, round(side * scale)) for side in image.size)
            draw.text((left + 2, top + 2), title[:34], fill=0)
            sheet.paste(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), (left, top + TITLE))
    return sheet
