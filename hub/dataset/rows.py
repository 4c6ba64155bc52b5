"""Records to the rows of a dataset: stored images, masks, and names that give nobody away."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datasets import Features, Image

from hub.dataset.image_summary import ImageSummary
from hub.dataset.parquet_writer import Row
from hub.dataset.strip_metadata import stored
from hub.layouts.base import IMAGE_SUFFIXES, Layout, Record, printable
from space.errors import UsageError, XrayError
from space.imaging.archives import Folder, Source

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
        names = (name for name in self._folder.sizes if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)
        self._names = {str(PurePosixPath(name).with_suffix("")): name for name in names}
        if not any(self.find(record) for record in records):
            example = str(PurePosixPath(records[0].source).with_suffix(".png")) if records else "train/CLASS/name.png"
            raise UsageError(f"--masks {path} holds no mask of any image. Looked for, for example: {example}.")

    def find(self, record: Record) -> MaskFile | None:
        """Where an image's mask is; None if there is none."""
        name = self._names.get(str(PurePosixPath(record.source).with_suffix("")))
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
        bad_masks: (path, what is wrong with it) of masks that could not be read; their cells are null.
        mask_counts: {mask column: how many images have a mask file, readable or not}.
    """

    def __init__(self, source: Source, features: Features, size: int | None, masks: MaskFolder | None):
        self._source, self.features, self._size, self._masks = source, features, size, masks
        self.bad_masks: list[tuple[str, XrayError]] = []
        self.mask_counts = {name: 0 for name, kind in features.items() if isinstance(kind, Image) and name != "image"}

    def row(self, record: Record, shown: Record, plain: bool) -> Row:
        """The row of an image.

        Args:
            record: Where its files are.
            shown: The same, with the names that the dataset may show.
            plain: The image's own bytes can be stored.
        """
        found = {column: self._find(record, column) for column in self.mask_counts}
        for column, mask in found.items():
            self.mask_counts[column] += bool(mask)
        n_bytes = self._source.sizes[record.name] + sum(
            place.sizes[name] for place, name in filter(None, found.values())
        )
        return Row(lambda: self._make(record, shown, plain, found), n_bytes)

    def _find(self, record: Record, column: str) -> MaskFile | None:
        if column == "lung_mask" and self._masks and (mask := self._masks.find(record)):
            return mask
        name = record.masks.get(column)
        return name and (self._source, name)

    def _make(self, record: Record, shown: Record, plain: bool, found: dict[str, MaskFile | None]) -> dict:
        stem = PurePosixPath(shown.source).stem
        image, suffix = stored(self._source.read(record.name), plain, self._size)
        cells = {column: self._mask(mask, stem) for column, mask in found.items()}
        return {
            "image": {"bytes": image, "path": f"{stem}{suffix}"},
            "label": self.features["label"].str2int(shown.label),
            "patient": shown.patient,
            "source": shown.source,
            **cells,
            **shown.facts,
        }

    def _mask(self, found: MaskFile | None, stem: str) -> dict | None:
        if not found:
            return None
        place, name = found
        try:
            mask, suffix = stored(place.read(name), None, self._size, mask=True)
        except XrayError as error:
            self.bad_masks.append((name, error))
            return None
        return {"bytes": mask, "path": f"{stem}{suffix}"}


def shown_records(
    records: Sequence[Record], looks: Sequence[ImageSummary], layout: Layout, hide_names: bool
) -> list[Record]:
    """The records as the dataset shows them.

    Args:
        records: Records as the layout read them.
        looks: What was seen of each; fills the view position in where the layout has a column for it.
        layout: Says which columns there are.
        hide_names: Show running numbers for file names and patients.
    """
    numbers: dict[str, str] = {}
    shown = []
    for index, (record, look) in enumerate(zip(records, looks, strict=True), start=1):
        facts = {column: record.facts.get(column) for column in layout.columns}
        if "view" in facts:
            facts["view"] = facts["view"] or look.view
        source, patient = printable(record.source), record.patient
        if hide_names:
            source = f"{index:06d}"
            patient = patient and numbers.setdefault(patient, f"{len(numbers) + 1:06d}")
        shown.append(replace(record, source=source, patient=patient, facts=facts))
    return shown
