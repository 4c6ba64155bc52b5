"""A dataset folder or repository, read image by image for the audit."""

import bisect
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Value
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from PIL import Image

from hub.dataset.image_summary import AuditedImage, ImageSummary, summarise_images
from hub.layouts.base import Record
from space.errors import ChestXrayError, ErrorCode, UsageError, XrayError, first_line
from space.imaging.xray import read_xray
from train.data.dataset import SPLITS

# How images are called whose label is null or, as the Hub writes test sets without labels, -1.
UNLABELLED = "unlabelled"


class StoredDataset:
    """The parquet files of a dataset, read a row group at a time.

    Args:
        folder_or_repo: Dataset folder, or `owner/name` on the Hub, which is downloaded into the Hub's cache.

    Attributes:
        name: Folder name, or `owner/name`.
        folder: Where its files are.
        features: Its columns.
        labels: Its classes, in the order of their indices.

    Raises:
        UsageError: It is not a dataset of images with labels.
    """

    def __init__(self, folder_or_repo: str):
        path = Path(folder_or_repo)
        self.is_local = path.is_dir()
        self.folder = path if self.is_local else _download(folder_or_repo)
        self.name = path.resolve().name if self.is_local else folder_or_repo
        files = sorted(self.folder.rglob("*.parquet"))
        if not files:
            raise UsageError(
                f"{folder_or_repo} contains no parquet files. Give a folder made by `python -m hub.convert`."
            )
        try:
            self._files = [pq.ParquetFile(file) for file in files]
            tables = [Features.from_arrow_schema(file.schema_arrow) for file in self._files]
        except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{folder_or_repo} contains a damaged parquet file: {first_line(error)}") from None
        self._splits = [_split_of(file) for file in files]
        self.features = tables[0]
        needed = [(table.get("image"), table.get("label")) for table in tables]
        if [type(kind) for kind in needed[0]] != [datasets.Image, ClassLabel] or needed.count(needed[0]) < len(needed):
            raise UsageError(
                f"{folder_or_repo} needs, in every parquet file, a column image of images and a column label with the "
                "same class names."
            )
        self.labels: list[str] = self.features["label"].names
        self._texts = [name for name, kind in self.features.items() if kind == Value("string")]
        self._columns = [name for name in self.features if name in {"label", "patient", "source", *self._texts}]
        # (first row, file, row group) of every row group
        self._starts: list[int] = []
        self._groups: list[tuple[int, int]] = []
        total = 0
        for number, file in enumerate(self._files):
            for group in range(file.num_row_groups):
                self._starts.append(total)
                self._groups.append((number, group))
                total += file.metadata.row_group(group).num_rows
        self._total = total
        if not total:
            raise UsageError(f"{folder_or_repo} contains no images.")
        self._recent: tuple[int, pa.ChunkedArray] | None = None
        self._lock = threading.Lock()

    def output(self, wanted: Path | None) -> Path:
        """The folder that the audit's files go to.

        Raises:
            UsageError: None was named, and the dataset is not a local folder.
        """
        if wanted is None and not self.is_local:
            raise UsageError(f"{self.name} is a repository on the Hub. Name a folder for the audit with --output.")
        folder = wanted or self.folder
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def images(self, workers: int | None) -> list[AuditedImage]:
        """Read every image.

        Raises:
            ChestXrayError: An image cannot be read.
        """
        reads = (partial(self._bytes, index) for index in range(self._total))
        images = []
        for record, summary in zip(self._records(), summarise_images(reads, self._total, workers), strict=True):
            if not isinstance(summary, ImageSummary):
                raise ChestXrayError(f"{self.name}: image {record.source} cannot be read: {summary}")
            images.append(AuditedImage(record, summary))
        return images

    def pixels(self, index: int) -> Image.Image:
        """The i-th image in full."""
        return read_xray(self._bytes(index)).image

    def rows(self, indices: Iterable[int]) -> Iterator[dict]:
        """Whole rows, images as {"bytes", "path"}; indices in order read every row group once."""
        where, table = -1, None
        for index in indices:
            if (here := bisect.bisect_right(self._starts, index) - 1) != where:
                where, table = here, self._row_group(here, None)
            yield table.slice(index - self._starts[where], 1).to_pylist()[0]

    def _records(self) -> list[Record]:
        records = []
        for where, (number, _) in enumerate(self._groups):
            split = self._splits[number]
            for row in self._row_group(where, self._columns).to_pylist():
                label = self.labels[row["label"]] if row["label"] in range(len(self.labels)) else UNLABELLED
                # Other people's datasets may number their patients and files.
                patient, source = (_text(row.get(name)) for name in ("patient", "source"))
                source = source or f"{split}/{len(records)}"
                facts = {name: row[name] for name in self._texts if name not in ("patient", "source")}
                records.append(Record("", source, split, label, patient, facts=facts))
        return records

    def _row_group(self, where: int, columns: list[str] | None) -> pa.Table:
        number, group = self._groups[where]
        try:
            return self._files[number].read_row_group(group, columns)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{self.name} contains a damaged parquet file: {first_line(error)}") from None

    def _bytes(self, index: int) -> bytes:
        where = bisect.bisect_right(self._starts, index) - 1
        with self._lock:  # one file is not for several readers at a time
            if self._recent is None or self._recent[0] != where:
                self._recent = (where, self._row_group(where, ["image"])["image"])
            column = self._recent[1]
        image = column[index - self._starts[where]].as_py()
        if not image or image["bytes"] is None:
            raise XrayError(ErrorCode.MISSING, "This row contains no image.")
        return image["bytes"]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _split_of(file: Path) -> str:
    """The split of `train-00000-of-00001.parquet`, or of `train/0000.parquet`."""
    name = file.stem.split("-")[0]
    return name if name in SPLITS or file.parent.name not in SPLITS else file.parent.name


def _download(repo: str) -> Path:
    """A dataset repository's tables, card and audit, in the Hub's cache.

    Raises:
        UsageError: There is no such repository, or it may not be read.
        ChestXrayError: The Hub cannot be reached, and its cache has no such repository.
    """
    advice = "Give a folder made by `python -m hub.convert`, or a dataset repository that you can read."
    try:
        return Path(
            snapshot_download(repo, repo_type="dataset", allow_patterns=["*.parquet", "README.md", "audit.json"])
        )
    except HFValidationError:
        raise UsageError(f"{repo} is neither a folder nor a repository name (OWNER/NAME). {advice}") from None
    except LocalEntryNotFoundError as error:
        reason = first_line(error.__cause__ or error)
        raise ChestXrayError(f"the Hub cannot be reached for {repo}: {reason}") from None
    except OSError as error:  # the Hub's errors are OSErrors
        raise UsageError(f"{repo} cannot be downloaded from the Hub: {first_line(error)} {advice}") from None
