"""Images to the rows of a dataset: stored bytes, masks, and names that give nobody away."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datasets import Features, Image

from hub.dataset.image_summary import AuditedImage
from hub.dataset.parquet_writer import Row
from hub.dataset.strip_metadata import stored
from hub.layouts.base import Layout, Record, printable
from space.errors import UsageError, XrayError
from space.imaging.archives import Folder, Source
from space.imaging.kinds import has_image_suffix, is_image

# Where a mask is: a source, and the path inside it.
MaskFile = tuple[Source, str]


class MaskFolder:
    """Lung masks kept in a folder of their own, under the images' relative paths and stems (`--masks`).

    Args:
        path: The folder.
        records: The images that masks are looked for.

    Raises:
        UsageError: There is no such folder, or it holds no mask of any of these images.
    """

    def __init__(self, path: Path, records: Sequence[Record]):
        if not path.is_dir():
            raise UsageError(f"--masks {path} is not a folder.")
        self._folder = Folder(path)
        files = (name for name in self._folder.sizes if is_image(self._folder, name))
        by_stem = {_stem(file): file for file in files}
        # By the image's own path, which stays when the dataset hides its name.
        self._masks = {r.name: by_stem[_stem(r.source)] for r in records if _stem(r.source) in by_stem}
        if not self._masks:
            example = f"{_stem(records[0].source)}.png" if records else "train/CLASS/name.png"
            raise UsageError(f"--masks {path} holds no mask of any image. Expected, for example: {example}.")

    def find(self, record: Record) -> MaskFile | None:
        """Where an image's mask is; None if there is none."""
        name = self._masks.get(record.name)
        return name and (self._folder, name)


class RowMaker:
    """Makes the rows of a dataset.

    Args:
        source: Where the images are.
        features: The dataset's columns.
        size: Longest side of stored images, in pixels; None: as they are.
        masks: Lung masks from outside the source, which go before the layout's own.

    Attributes:
        features: The dataset's columns.
        mask_counts: {mask column: how many images have a mask file, readable or not}.
        box_count: How many images have boxes.
    """

    def __init__(self, source: Source, features: Features, size: int | None, masks: MaskFolder | None):
        self._source, self.features, self._size, self._masks = source, features, size, masks
        self._bad_masks: dict[str, XrayError] = {}
        self.mask_counts = {name: 0 for name, kind in features.items() if isinstance(kind, Image) and name != "image"}
        self.box_count = 0

    @property
    def bad_masks(self) -> list[tuple[str, XrayError]]:
        """(path, what is wrong with it) of masks that could not be read, by path; their cells are null."""
        return sorted(self._bad_masks.items())

    def row(self, image: AuditedImage) -> Row:
        """The row of an image, with the names that the dataset may show (see `shown_images`).

        Raises:
            UsageError: A box of the image reaches outside it.
        """
        boxes = shares_of_image(image)
        self.box_count += bool(boxes)
        masks = {column: self._find(image.record, column) for column in self.mask_counts}
        for column, mask in masks.items():
            self.mask_counts[column] += bool(mask)
        n_bytes = self._source.sizes[image.record.name]
        n_bytes += sum(place.sizes[name] for place, name in filter(None, masks.values()))
        return Row(lambda: self._make(image, masks, boxes), n_bytes)

    def _find(self, record: Record, column: str) -> MaskFile | None:
        if column == "lung_mask" and self._masks and (mask := self._masks.find(record)):
            return mask
        name = record.masks.get(column)
        return name and (self._source, name)

    def _make(self, image: AuditedImage, masks: dict[str, MaskFile | None], boxes: list[list[float]] | None) -> dict:
        record = image.record
        stem = PurePosixPath(record.source).stem
        data, suffix = stored(self._source.read(record.name), image.summary.storable, self._size)
        return {
            "image": {"bytes": data, "path": f"{stem}{suffix}"},
            "label": self.features["label"].str2int(record.label),
            "patient": record.patient,
            "source": record.source,
            **{column: self._mask(mask, stem) for column, mask in masks.items()},
            **record.facts,
            **({"boxes": boxes} if "boxes" in self.features else {}),
        }

    def _mask(self, mask: MaskFile | None, stem: str) -> dict | None:
        if not mask:
            return None
        place, name = mask
        try:
            data, suffix = stored(place.read(name), None, self._size, mask=True)
        except XrayError as error:
            self._bad_masks[name] = error
            return None
        return {"bytes": data, "path": f"{stem}{suffix}"}


def shares_of_image(image: AuditedImage) -> list[list[float]] | None:
    """An image's boxes [x, y, width, height], as shares of its width and height; None if it has none.

    Raises:
        UsageError: A box reaches outside the image by more than a pixel.
    """
    width, height = image.summary.fingerprint.size
    shares = []
    for x, y, across, down in image.record.boxes:
        right, bottom = x + across, y + down
        if right > width + 1 or bottom > height + 1:
            raise UsageError(
                f"{image.record.name}: the box {x:g}, {y:g}, {across:g}, {down:g} reaches outside the image, which has "
                f"{width} x {height} pixels. Boxes are x, y, width and height in pixels of these files."
            )
        x, y = min(x, width), min(y, height)
        shares.append([x / width, y / height, (min(right, width) - x) / width, (min(bottom, height) - y) / height])
    return shares or None


def shown_images(images: Sequence[AuditedImage], layout: Layout, hide_names: bool) -> list[AuditedImage]:
    """The images with the names and columns that the dataset shows.

    Args:
        images: Images as the layout read them; a DICOM file's view position fills the layout's column for it.
        layout: Says which columns there are.
        hide_names: Show running numbers for file names and patients.
    """
    numbers: dict[str, str] = {}
    shown = []
    for index, image in enumerate(images, start=1):
        record = image.record
        facts = {column: record.facts.get(column) for column in layout.columns}
        if "view" in facts:
            facts["view"] = facts["view"] or image.summary.view
        source, patient = printable(record.source), record.patient
        if hide_names:
            source = f"{index:06d}"
            patient = patient and numbers.setdefault(patient, f"{len(numbers) + 1:06d}")
        shown.append(replace(image, record=replace(record, source=source, patient=patient, facts=facts)))
    return shown


def _stem(path: str) -> str:
    """A path without the ending that names of images have; in 1.2.840.7, a DICOM file, the last number is none."""
    return str(PurePosixPath(path).with_suffix("")) if has_image_suffix(path) else path
