"""Dataset folders and repositories, opened and checked for training."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from datasets.exceptions import DatasetsError
from huggingface_hub import DatasetCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from PIL import Image
from yaml import YAMLError

from space.errors import UsageError, check_local, first_line
from space.imaging.xray import read_xray
from space.inference.repository import find_file
from space.results.training_records import AuditSummary, DatasetRecord
from train.common.cache_folder import cache_folder

SPLITS = ("train", "validation", "test")
# Why an audit says that an image was dropped, if it is because test holds it or its patient too.
LEAKS = ("exact copy", "near copy", "patient")
REQUIRED_COLUMNS = {"image", "label", "patient", "source"}


@dataclass(frozen=True)
class Data:
    """A dataset with what a card must say of it.

    Attributes:
        name: Folder name, or `owner/name` on the Hub.
        labels: Class names in the order of the indices.
        splits: "train", "validation" and, where there is one, "test"; see also `train.data.origins.leave_out`.
        fingerprint: Hash of the content of a folder, or of the revision of a repository.
        title, license, citation: From the dataset's own card; "" where it does not say.
        audit: What its audit.json counts; None if it has none.
        left_out: Hospitals or origins that were taken out of train and validation.
    """

    name: str
    labels: list[str]
    splits: dict[str, datasets.Dataset]
    fingerprint: str
    title: str
    license: str
    citation: str
    audit: AuditSummary | None = None
    left_out: tuple[str, ...] = ()

    def summary(self, with_test: bool = True) -> DatasetRecord:
        """What results.json records, never a local path; with the size of the test images, if they were read."""
        return DatasetRecord(
            name=self.name,
            fingerprint=self.fingerprint,
            title=self.title,
            license=self.license,
            citation=self.citation,
            audit=self.audit,
            counts={name: self._counts(rows) for name, rows in self.splits.items() if with_test or name != "test"},
            test_image_size=commonest_size(self.splits["test"]) if with_test and "test" in self.splits else None,
        )

    def _counts(self, rows: datasets.Dataset) -> dict[str, int]:
        counts = Counter(rows["label"])
        return {label: counts[index] for index, label in enumerate(self.labels)}


def load_data(folder_or_repo: str, option: str = "--dataset", to_train: bool = True) -> Data:
    """Open a dataset and check that it can be trained on.

    Args:
        folder_or_repo: A folder made by hub.convert, or a dataset repository on the Hub.
        option: The command line's name for it, for errors.
        to_train: Whether it is to be trained on. To be tested on, it may have any splits, and lack classes.

    Raises:
        UsageError: It cannot be opened, lacks a column, or, to train on, a split, or a split lacks a class.
    """
    check_local(folder_or_repo, option)
    digest = content_digest(Path(folder_or_repo))
    splits = _open(f"{option} {folder_or_repo}", folder_or_repo, digest)
    if to_train:
        splits = _to_train(f"{option} {folder_or_repo}", splits)
    labels = next(iter(splits.values())).features["label"].names
    card = card_data(folder_or_repo)
    name = Path(folder_or_repo).resolve().name if Path(folder_or_repo).is_dir() else folder_or_repo
    license_name, citation = str(card.get("license") or ""), str(card.get("citation") or "")
    # `_fingerprint` is private to `datasets`, which has no public name for it. If it ever goes, a repository's commit
    # can take its place.
    fingerprint = digest or "-".join(split._fingerprint for split in splits.values())
    title = str(card.get("pretty_name") or name)
    return Data(name, labels, splits, fingerprint, title, license_name, citation, _audit(folder_or_repo))


def commonest_size(split: datasets.Dataset) -> str:
    """The size that most images of a split are stored in, as "WIDTH x HEIGHT (k of n)"."""
    encoded = split.select_columns("image").cast_column("image", datasets.Image(decode=False))
    files = (row["image"] for row in encoded)
    sizes = Counter(Image.open(io.BytesIO(file["bytes"]) if file["bytes"] else file["path"]).size for file in files)
    (width, height), n = sizes.most_common(1)[0]
    return f"{width} x {height} ({n:,} of {len(split):,})"


def some_images(splits: Mapping[str, datasets.Dataset]) -> list[Image.Image]:
    """A few radiographs of the validation split as they were stored, mode "L", evenly spread.

    Raises:
        XrayError: One of them cannot be read.
    """
    encoded = splits["validation"].select_columns("image").cast_column("image", datasets.Image(decode=False))
    stored = (encoded[row]["image"] for row in evenly_spread(len(encoded), 4).tolist())
    return [read_xray(image["bytes"] or image["path"]).image for image in stored]


def evenly_spread(n: int, most: int) -> np.ndarray:
    """Up to `most` of the places 0 to n - 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(int))


def content_digest(folder: Path) -> str | None:
    """SHA-256 of the names and bytes of a dataset folder's parquet files; None if there is no such folder."""
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.parquet")):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def open_splits(folder_or_repo: str, digest: str | None, what: str, allowed: str) -> datasets.DatasetDict:
    """Open all splits of a dataset.

    Args:
        folder_or_repo: Where it is.
        digest: Of its content, if it is a folder (see `content_digest`).
        what: How an error names what was given.
        allowed: What an error says may be given instead.

    Raises:
        UsageError: It cannot be opened.
    """
    try:
        # `datasets` recognises a folder by its name and card alone; another cache for other content makes sure that a
        # folder that was converted again is not answered from the old one.
        cache = str(cache_folder() / "datasets" / digest[:16]) if digest else None
        return datasets.load_dataset(folder_or_repo, cache_dir=cache)
    except (DatasetsError, OSError, ValueError, YAMLError, HFValidationError, HfHubHTTPError) as error:
        raise UsageError(f"{what} cannot be opened as a dataset: {first_line(error)} Give {allowed}.") from None


def _open(what: str, folder_or_repo: str, digest: str | None) -> dict[str, datasets.Dataset]:
    """Open all splits, with the columns of the dataset contract; `digest` is that of a folder's content."""
    allowed = "a folder made by `python -m hub.convert`, or a dataset repository on the Hub that you can read"
    splits = open_splits(folder_or_repo, digest, what, allowed)
    columns = next(iter(splits.values())).features
    if lacking := REQUIRED_COLUMNS - set(columns):
        raise UsageError(
            f"{what} has no column {', '.join(sorted(lacking))} (it has: {', '.join(columns)}). "
            "`python -m hub.convert` writes the columns that are needed."
        )
    if not isinstance(columns["label"], datasets.ClassLabel):
        raise UsageError(f"{what}: the column label must be a ClassLabel, which names the classes.")
    return dict(splits)


def _to_train(what: str, splits: dict[str, datasets.Dataset]) -> dict[str, datasets.Dataset]:
    """The known splits of a dataset, once it was checked that it can be trained on."""
    if missing := [name for name in SPLITS[:2] if name not in splits]:
        raise UsageError(
            f"{what} has no {' and no '.join(missing)} split (it has: {', '.join(splits)}); "
            "training needs both, because the test split must choose nothing."
        )
    splits = {name: splits[name] for name in SPLITS if name in splits}
    labels = splits["train"].features["label"].names
    if len(labels) < 2:
        raise UsageError(f"{what} has only one class, {labels[0]}; a classifier needs two.")
    for name, split in splits.items():
        present = set(split["label"])
        if absent := [label for index, label in enumerate(labels) if index not in present]:
            raise UsageError(f"{what}: split {name} has no image of class {', '.join(absent)}.")
    return splits


def card_data(folder_or_repo: str) -> dict:
    """The header of a dataset's card; empty if it has none."""
    path = find_file(folder_or_repo, "README.md", kind="dataset")
    return DatasetCard.load(path).data.to_dict() if path else {}


def _audit(folder_or_repo: str) -> AuditSummary | None:
    """What a dataset's audit.json counts; None if there is none."""
    path = find_file(folder_or_repo, "audit.json", kind="dataset")
    if path is None:
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        counted = ("exact_duplicates", "near_duplicates", "label_conflicts")
        optional = ("shared_keys", "names_kept", "link", "about")
        facts = report.get("merge") or report.get("conversion", {})
        return AuditSummary(
            **{name: len(report[name]) for name in counted},
            dropped=sum(entry["dropped"] in LEAKS for entry in report["dropped"]),
            patients_across_splits=report["patients_across_splits"],
            known_patients=sum(report["patients"]["known"].values()),
            unknown_patients=report["patients"]["unknown_images"],
            warnings=report.get("warnings", []),
            **{name: facts[name] for name in optional if name in facts},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} was not written by `python -m hub.audit`. Delete it, or run that again.") from None
