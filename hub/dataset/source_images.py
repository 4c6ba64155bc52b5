"""The images of a source: listed by its layout, their classes renamed, each of them read once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image

from hub.dataset.image_summary import AuditedImage, ImageSummary, summarise_images
from hub.dataset.relabel import apply_map
from hub.layouts.base import Layout, Record, Tree
from hub.layouts.registry import recognise
from space.errors import ChestXrayError, XrayError
from space.imaging.archives import Source
from space.imaging.xray import read_xray

MOST_BAD = 0.05
OUTSIDE, NO_IMAGE, NOT_FRONTAL = "outside_layout", "no_image", "not_frontal_chest"  # why files are left out


@dataclass(frozen=True)
class Listing:
    """What a source holds, by its names alone.

    Attributes:
        source: Where the images are.
        layout: How they are laid out.
        records: The images of the classes that are kept.
        labels: {class: its meaning}, in the order of the dataset's indices.
        outside: Number of image files that lie outside the layout.
        left_out: (path, code, why) of every file that is not used.
    """

    source: Source
    layout: Layout
    records: list[Record]
    labels: dict[str, str]
    outside: int
    left_out: list[tuple[str, str, str]]


class _Watched:
    """A source that remembers which of its files were read: the tables of its layout."""

    def __init__(self, source: Source):
        self._source, self.names_read = source, set()
        self.title, self.sizes = source.title, source.sizes

    def read(self, name: str, *limit: int) -> bytes:
        self.names_read.add(name)
        return self._source.read(name, *limit)


@dataclass(frozen=True)
class SourceImages:
    """The images of a source, read.

    Attributes:
        images: Those that can be read.
        unreadable: (path, what is wrong with it) of the others.
        not_frontal: (path, code, why) of images that are no frontal chest radiographs by their DICOM tags.
        labels: {class: its meaning} of the classes that readable images are left of.
        pixels: Gives the i-th of `images` in full.
    """

    images: list[AuditedImage]
    unreadable: list[tuple[str, XrayError]]
    not_frontal: list[tuple[str, str, str]]
    labels: dict[str, str]
    pixels: Callable[[int], Image.Image]


def list_images(source: Source, layout_name: str | None, label_map: dict[str, str | None]) -> Listing:
    """List the images of a source.

    Args:
        source: Where they are.
        layout_name: Name of its layout; None: recognised by structure.
        label_map: {class: new name, or None to drop it}.

    Raises:
        UsageError: The source has no known layout, or the map does not fit its classes.
    """
    layout, root, tree = recognise(source, layout_name)
    print(f"{source.title}: layout {layout.name}{root and f', in {root}'}")
    watched = _Watched(source)
    records = layout.records(watched, tree, root)
    outside = sum(len(tree.images(folder)) for folder in tree.folders) - len(records)
    kept, labels = apply_map(records, layout, label_map)
    return Listing(source, layout, kept, labels, outside, _left_out(tree, records, kept, watched.names_read))


def _left_out(tree: Tree, records: list[Record], kept: list[Record], tables: set[str]) -> list[tuple[str, str, str]]:
    """(path, code, why) of the files that are neither images of the dataset, nor masks, nor tables."""
    used = {record.name for record in kept} | {mask for record in records for mask in record.masks.values()} | tables
    labels = {record.name: record.label for record in records}
    rows = []
    for name in sorted(tree.is_image.keys() - used):
        if name in labels:
            rows.append((name, "dropped_class", f"Its class {labels[name]} is dropped by --labels."))
        elif tree.is_image[name]:
            rows.append((name, OUTSIDE, "It lies outside the layout, has no class, or is a mask without an image."))
        else:
            rows.append((name, NO_IMAGE, "It is not an image."))
    return rows


def read_images(listing: Listing, workers: int | None, allow_bad: bool, any_body_part: bool = False) -> SourceImages:
    """Read every image once.

    Args:
        listing: The images.
        workers: Files read at a time; None: one per core.
        allow_bad: Go on however many files cannot be read.
        any_body_part: Keep images whose DICOM tags say that they are no frontal chest radiographs.

    Raises:
        ChestXrayError: More than `MOST_BAD` of them cannot be read, or fewer than two classes are left.
    """
    reads = (partial(listing.source.read, record.name) for record in listing.records)
    images, unreadable, not_frontal = [], [], []
    for record, summary in zip(listing.records, summarise_images(reads, len(listing.records), workers), strict=True):
        if not isinstance(summary, ImageSummary):
            unreadable.append((record.name, summary))
        elif summary.not_frontal_chest and not any_body_part:
            not_frontal.append((record.name, NOT_FRONTAL, summary.not_frontal_chest))
        else:
            images.append(AuditedImage(record, summary))
    _check_readable(unreadable, len(listing.records), allow_bad)
    if not_frontal:
        print(
            f"note: {len(not_frontal):,} images are left out, because their DICOM tags say that they are no frontal "
            "chest X-rays; --allow-any-body-part keeps them"
        )
    labels = _labels_left(listing.labels, images)
    return SourceImages(
        images,
        unreadable,
        not_frontal,
        labels,
        lambda index: read_xray(listing.source.read(images[index].record.name)).image,
    )


def _check_readable(unreadable: list[tuple[str, XrayError]], total: int, allow_bad: bool) -> None:
    if len(unreadable) < total and (allow_bad or len(unreadable) <= MOST_BAD * total):
        return
    listed = "\n".join(f"  {name}: {error}" for name, error in unreadable[:10])
    raise ChestXrayError(
        f"{len(unreadable)} of {total} images cannot be read, more than {MOST_BAD:.0%}; nothing was written. Download "
        f"the images again, delete the bad ones, or convert the others with --allow-bad. The first ones:\n{listed}"
    )


def _labels_left(labels: dict[str, str], images: list[AuditedImage]) -> dict[str, str]:
    present = {image.record.label for image in images}
    if gone := [label for label in labels if label not in present]:
        print(f"note: class {', '.join(gone)} has no readable image, so it is not in the dataset")
    if len(present) < 2:
        raise ChestXrayError(f"only class {', '.join(present)} has readable images; a classifier needs at least two.")
    return {label: meaning for label, meaning in labels.items() if label in present}
