"""Dataset folders and repositories, opened and checked for training."""

from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub import DatasetCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from space.errors import UsageError

SPLITS = ("train", "validation", "test")
REQUIRED_COLUMNS = {"image", "label", "patient", "source"}


@dataclass(frozen=True)
class Data:
    """A dataset with what a card must say of it.

    Attributes:
        name: Folder name, or `owner/name` on the Hub.
        labels: Class names in the order of the indices.
        splits: "train", "validation" and, where there is one, "test".
        title, license, citation: From the dataset's own card; "" where it does not say.
    """

    name: str
    labels: list[str]
    splits: dict[str, datasets.Dataset]
    title: str
    license: str
    citation: str

    def summary(self) -> dict[str, str | dict]:
        """What results.json records: never a local path."""
        fingerprints = {name: split._fingerprint for name, split in self.splits.items()}
        facts = {"name": self.name, "title": self.title, "license": self.license, "citation": self.citation}
        return facts | {"fingerprints": fingerprints}


def load_data(folder_or_repo: str) -> Data:
    """Open a dataset and check that it can be trained on.

    Raises:
        UsageError: It cannot be opened, lacks a column or a split, or a class is absent from a split.
    """
    splits = _open(folder_or_repo)
    labels = next(iter(splits.values())).features["label"].names
    for name, split in splits.items():
        present = set(split["label"])
        if absent := [label for index, label in enumerate(labels) if index not in present]:
            raise UsageError(f"--dataset {folder_or_repo}: split {name} has no picture of class {', '.join(absent)}.")
    card = _card_data(folder_or_repo)
    name = Path(folder_or_repo).resolve().name if Path(folder_or_repo).is_dir() else folder_or_repo
    license_name, citation = str(card.get("license") or ""), card.get("citation") or ""
    return Data(name, labels, splits, card.get("pretty_name") or name, license_name, citation)


def _open(folder_or_repo: str) -> dict[str, datasets.Dataset]:
    """Open the known splits, with the columns of the dataset contract."""
    try:
        found = datasets.load_dataset(folder_or_repo)
    except (DatasetsError, OSError, ValueError, HFValidationError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"--dataset {folder_or_repo} cannot be opened as a dataset: {reason} Give a folder made by "
            "`python -m hub.convert`, or a dataset repository on the Hub that can be reached from here."
        ) from None
    columns = next(iter(found.values())).features
    if lacking := REQUIRED_COLUMNS - set(columns):
        raise UsageError(
            f"--dataset {folder_or_repo} has no column {', '.join(sorted(lacking))} (it has: {', '.join(columns)}). "
            "`python -m hub.convert` writes the columns that are needed."
        )
    if not isinstance(columns["label"], datasets.ClassLabel):
        raise UsageError(f"--dataset {folder_or_repo}: the column label must be a ClassLabel, which names the classes.")
    if missing := [name for name in SPLITS[:2] if name not in found]:
        raise UsageError(
            f"--dataset {folder_or_repo} has no {' and no '.join(missing)} split (it has: {', '.join(found)}); "
            "training needs both, and a test split is never used for choosing."
        )
    return {name: found[name] for name in SPLITS if name in found}


def _card_data(folder_or_repo: str) -> dict:
    path = Path(folder_or_repo)
    try:
        return DatasetCard.load(path / "README.md" if path.is_dir() else folder_or_repo).data.to_dict()
    except (FileNotFoundError, EntryNotFoundError, RepositoryNotFoundError):
        return {}
