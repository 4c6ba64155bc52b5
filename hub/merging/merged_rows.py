"""Rows of the sources to the rows of the merge: one schema, stored bytes, and a list of what went where."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from datasets import ClassLabel, Features, Image, Value
from tqdm import tqdm

from hub.dataset.image_summary import AuditedImage
from hub.dataset.parquet_writer import Row, write_split
from hub.dataset.strip_metadata import stored
from hub.merging.sources import INNER_ORIGIN, MergeImages, MergeSource
from train.common.csv_cells import csv_safe
from train.data.boxes import BOXES, MEANING
from train.data.dataset import SPLITS

OWN_COLUMNS = {
    "origin": "the dataset that the image comes from",
    "hospital": "origins of one hospital are one group; the origin where nothing else was said",
}
LISTED = ("sha256", "origin", "split", "hospital", "label", "patient")


def merged_features(
    sources: Sequence[MergeSource], images: Sequence[AuditedImage], classes: Sequence[str]
) -> tuple[Features, dict[str, str]]:
    """The columns of the merge, and the meaning of those that not every dataset has.

    Masks of every kind are kept, and boxes, and the columns of texts that have a value anywhere. Columns of other types
    are not.
    """
    masks = {name for of in sources for name, kind in of.dataset.features.items() if isinstance(kind, Image)}
    texts = {name for image in images for name, value in image.record.facts.items() if value is not None}
    meanings: dict[str, str] = {INNER_ORIGIN: "source of the image inside its dataset, or null"}
    for layout in filter(None, (source.layout for source in sources)):
        for name, meaning in (layout.columns | layout.mask_columns).items():
            meanings.setdefault(name, meaning)
    ordered = sorted(texts - set(OWN_COLUMNS))
    boxes = {"boxes": BOXES} if any(of.dataset.features.get("boxes") == BOXES for of in sources) else {}
    features = Features(
        image=Image(),
        label=ClassLabel(names=list(classes)),
        patient=Value("string"),
        source=Value("string"),
        **{name: Value("string") for name in OWN_COLUMNS},
        lung_mask=Image(),
        **{name: Image() for name in sorted(masks - {"image", "lung_mask"})},
        **{name: Value("string") for name in ordered},
        **boxes,
    )
    return features, OWN_COLUMNS | dict.fromkeys(boxes, MEANING) | {
        name: meanings.get(name, "mask, or null" if name in masks else "from the source, or null")
        for name in features
        if name in ordered or (name in masks and name not in ("image", "lung_mask"))
    }


class MergedRows:
    """Writes the images that are kept, split by split and source by source.

    Args:
        sources: The datasets.
        merged: All images, with their splits; dropped ones are left out.
        features: Columns of the merge.

    Attributes:
        mask_counts: {mask column: images that have one}, filled by `write`.
    """

    def __init__(self, sources: Sequence[MergeSource], merged: MergeImages, features: Features):
        self._sources, self._merged, self._features = sources, merged, features
        self._masks = [name for name, kind in features.items() if isinstance(kind, Image) and name != "image"]
        self._digests: dict[int, str] = {}
        self.mask_counts = dict.fromkeys(self._masks, 0)

    def write(self, folder: Path, workers: int | None) -> None:
        """Write `data/<split>-*.parquet` and images.csv into a folder."""
        (folder / "data").mkdir()
        kept = [i for i, image in enumerate(self._merged.images) if not image.dropped]
        with tqdm(total=len(kept), desc="writing", unit="img") as bar:
            for split in SPLITS:
                chosen = [i for i in kept if self._merged.images[i].record.split == split]
                write_split(folder / "data", split, self._rows(chosen), self._features, workers, bar)
        self._write_list(folder / "images.csv", kept)

    def _rows(self, chosen: Sequence[int]) -> Iterator[Row]:
        for number, source in enumerate(self._sources):
            own = [i for i in chosen if self._merged.places[i].source == number]
            rows = source.dataset.rows(self._merged.places[i].row for i in own)
            for index, row in zip(own, rows, strict=True):
                files = {name: row[name] for name in ("image", *self._masks) if row.get(name) and row[name]["bytes"]}
                for name in self._masks:
                    self.mask_counts[name] += name in files
                n_bytes = sum(len(file["bytes"]) for file in files.values())
                boxes = row.get("boxes") if source.dataset.features.get("boxes") == BOXES else None
                yield Row(lambda index=index, files=files, boxes=boxes: self._make(index, files, boxes), n_bytes)

    def _make(self, index: int, files: dict[str, dict], boxes: list[list[float]] | None) -> dict:
        image = self._merged.images[index]
        record, name = image.record, PurePosixPath(files["image"]["path"] or "image").stem
        # What `hub.convert` stored passes unchanged; what others stored may hold metadata.
        data, suffix = stored(files["image"]["bytes"], image.summary.storable)
        self._digests[index] = hashlib.sha256(data).hexdigest()
        return {
            "image": {"bytes": data, "path": f"{name}{suffix}"},
            "label": self._features["label"].str2int(record.label),
            "patient": record.patient,
            "source": record.source,
            **{column: _mask(files[column]["bytes"], name) for column in self._masks if column in files},
            **{column: value for column, value in record.facts.items() if column in self._features},
            **({"boxes": boxes} if "boxes" in self._features else {}),
        }

    def _write_list(self, path: Path, kept: Sequence[int]) -> None:
        """Write one row per image, sorted; the first three columns say what may choose and what is read once."""
        records = {i: self._merged.images[i].record for i in kept}
        lines = [
            (self._digests[i], r.facts["origin"], r.split, r.facts["hospital"], r.label, r.patient or "")
            for i, r in records.items()
        ]
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(LISTED)
            table.writerows([csv_safe(cell) for cell in line] for line in sorted(lines))


def _mask(data: bytes, name: str) -> dict:
    data, suffix = stored(data, None, mask=True)
    return {"bytes": data, "path": f"{name}{suffix}"}
