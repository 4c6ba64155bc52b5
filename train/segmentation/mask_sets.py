"""Radiographs with lung masks from several datasets, with nothing of a test image in training."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from tqdm import tqdm

from space.errors import ChestXrayError, UsageError, XrayError, check_local
from space.imaging.xray import read_xray
from space.inference.lungs import RESIZING, SIZE
from train.data.dataset import SPLITS, card_data, content_digest, open_splits
from train.data.duplicates import Fingerprint, find_copies, group_pairs, merge_groups, thumbnail
from train.data.lung_masks import own_masks
from train.segmentation.results import MaskSource


@dataclass(frozen=True)
class MaskSet:
    """Radiographs with lung masks.

    Attributes:
        pixels: (N, SIZE, SIZE) uint8.
        masks: (N, SIZE, SIZE) uint8: `LUNG`, `IGNORED`, or background.
        patients: N keys, None where unknown; patients of different datasets have different keys.
        labels: N class names.
    """

    pixels: np.ndarray
    masks: np.ndarray
    patients: list[str | None]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class MaskSets:
    """What a segmenter is made from.

    Attributes:
        train, validation: Of all datasets.
        tests: {dataset's name: its test split}.
        sources: What a card says of each dataset.
    """

    train: MaskSet
    validation: MaskSet
    tests: dict[str, MaskSet]
    sources: list[MaskSource]


@dataclass(frozen=True)
class _Row:
    """An image of one of the datasets; `pixels` and `mask` are None where it has no mask."""

    dataset: str
    split: str
    label: str
    patient: str | None
    file: bytes
    fingerprint: Fingerprint
    pixels: np.ndarray | None
    mask: np.ndarray | None


def load_mask_sets(names: Sequence[str], threads: int) -> MaskSets:
    """Read the images that have masks, and drop those from training that a later split has too.

    Images that are linked, as copies of each other in whatever dataset or by their patient, stay only in the latest of
    train, validation and test that one of them with a mask is in. Images without masks take part as links.

    Args:
        names: Dataset folders or repositories.
        threads: Images decoded at a time.

    Raises:
        UsageError: One cannot be opened, or training or validation has no mask.
        ChestXrayError: An image cannot be read.
    """
    titles = [Path(name).resolve().name if Path(name).is_dir() else name for name in names]
    if len(set(titles)) < len(titles):
        raise UsageError(f"--dataset: two of {', '.join(titles)} have the same name. Rename one of the folders.")
    rows = [
        row
        for name, title in zip(names, titles, strict=True)
        for split, stored in _open(name).items()
        for row in _read(title, split, stored, threads)
    ]
    copies = find_copies([row.fingerprint for row in rows], lambda index: read_xray(rows[index].file).image)
    groups = merge_groups([row.patient for row in rows], group_pairs(len(rows), copies.pairs()))
    latest: dict[int, int] = {}
    for row, group in zip(rows, groups, strict=True):
        if row.mask is not None:
            latest[group] = max(latest.get(group, 0), SPLITS.index(row.split))
    masked = [(row, latest[group]) for row, group in zip(rows, groups, strict=True) if row.mask is not None]
    kept = [row for row, split in masked if SPLITS[split] == row.split]
    sources = [
        _source(name, title, [row for row, _ in masked], kept) for name, title in zip(names, titles, strict=True)
    ]
    train, validation = (_stacked([row for row in kept if row.split == split], split) for split in SPLITS[:2])
    test = {title: [row for row in kept if (row.dataset, row.split) == (title, "test")] for title in titles}
    return MaskSets(train, validation, {title: _stacked(rows, title) for title, rows in test.items() if rows}, sources)


def _open(name: str) -> dict[str, datasets.Dataset]:
    check_local(name, "--dataset")
    allowed = "a folder made by `python -m hub.convert`, or a dataset repository on the Hub that you can read"
    splits = open_splits(name, content_digest(Path(name)), f"--dataset {name}", allowed)
    columns = next(iter(splits.values())).features
    if lacking := {"image", "label", "patient", "lung_mask"} - set(columns):
        raise UsageError(f"--dataset {name} has no column {', '.join(sorted(lacking))} (it has: {', '.join(columns)}).")
    return {split: splits[split] for split in SPLITS if split in splits}


def _read(title: str, name: str, split: datasets.Dataset, threads: int) -> Iterator[_Row]:
    """The rows of a split; only images with a mask keep their pixels."""
    encoded = split.select_columns("image").cast_column("image", datasets.Image(decode=False))
    masks = dict(own_masks(split, (SIZE, SIZE)))
    labels, patients = split.features["label"].int2str(split["label"]), list(split["patient"])

    def read(index: int) -> _Row:
        stored = encoded[index]["image"]
        file = stored["bytes"] or Path(stored["path"]).read_bytes()
        try:
            image = read_xray(file).image
        except XrayError as error:
            raise ChestXrayError(f"{title}: image {index} of split {name}: {error}") from error
        mask, patient = masks.get(index), patients[index] and f"{title}: {patients[index]}"
        fingerprint = Fingerprint(hashlib.sha256(file).digest(), image.size, thumbnail(image))
        pixels = None if mask is None else RESIZING(image)
        return _Row(title, name, labels[index], patient, file, fingerprint, pixels, mask)

    with ThreadPoolExecutor(threads) as pool:
        yield from tqdm(pool.map(read, range(len(split))), total=len(split), desc=f"{title} {name}", unit="img")


def _source(name: str, title: str, masked: list[_Row], kept: list[_Row]) -> MaskSource:
    card = card_data(name)
    before, after = (Counter(row.split for row in rows if row.dataset == title) for rows in (masked, kept))
    return MaskSource(
        name=title,
        title=str(card.get("pretty_name") or title),
        license=str(card.get("license") or ""),
        citation=str(card.get("citation") or ""),
        masks=dict(after),
        dropped=sum(before.values()) - sum(after.values()),
    )


def _stacked(rows: list[_Row], what: str) -> MaskSet:
    if not rows:
        raise UsageError(f"--dataset: no image of split {what} has a lung mask, beside copies of later splits' images.")
    return MaskSet(
        pixels=np.stack([row.pixels for row in rows]),
        masks=np.stack([row.mask for row in rows]),
        patients=[row.patient for row in rows],
        labels=[row.label for row in rows],
    )
