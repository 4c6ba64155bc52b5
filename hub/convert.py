"""Kaggle folder -> dataset folder that `datasets.load_dataset` and the Hub understand.

python -m hub.convert SOURCE --output DIR [--layout NAME] [--official-splits] [--val-fraction 0.1] [--seed 0]
"""

import argparse
import hashlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from hub.dataset_card import write_card
from hub.kaggle import LAYOUTS, Record, recognise
from space.errors import ChestXrayError, UsageError, run_cli
from space.xray import XrayError, read_xray
from train.folders import check_free, written_whole
from train.recipe import parse_seed

SHARD_BYTES = 500 * 10**6
BATCH_ROWS = 64


def convert(
    source: Path, output: Path, layout: str | None = None, official: bool = False, fraction: float = 0.1, seed: int = 0
) -> None:
    """Convert a Kaggle folder into a dataset folder (README.md and data/<split>-*.parquet).

    Pictures keep their original bytes. The official test split is kept as it is.

    Args:
        source: Folder as downloaded from Kaggle and unpacked.
        output: Folder to make.
        layout: Name of the layout; None: recognised from the folder.
        official: Keep the publisher's validation split too, instead of cutting a new one from train + validation.
        fraction: Share of train + validation that the new validation split gets, in (0, 0.5].
        seed: Seed of that cut.

    Raises:
        UsageError: The source has no known layout, or the output exists.
        ChestXrayError: A picture cannot be read.
    """
    check_free(output)
    found, root = recognise(source, layout)
    records = list(found.records(root))
    if not records:
        raise UsageError(f"{root} has the layout {found.name}, but its class folders hold no PNG or JPEG picture.")
    digests = _inspect(records)
    if not official:
        records = remake_validation(records, digests, fraction, seed)
    by_split: dict[str, list[Record]] = {}
    for record in records:
        by_split.setdefault(record.split, []).append(record)
    features = Features(
        image=Image(),
        label=ClassLabel(names=list(found.labels)),
        patient=Value("string"),
        source=Value("string"),
        lung_mask=Image(),
    )
    with written_whole(output) as folder:
        (folder / "data").mkdir()
        with tqdm(total=len(records), desc="writing", unit="img") as progress:
            for split, rows in by_split.items():
                _write_split(folder / "data", split, rows, features, progress)
        write_card(folder, found, by_split, features, seed=None if official else seed)


def _inspect(records: list[Record]) -> list[str]:
    """Decode every picture once; returns the hash of each one's pixels, and stops at pictures that cannot be read."""

    def digest(record: Record) -> str | XrayError:
        try:
            image = read_xray(record.path).image
        except XrayError as error:
            return error
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(tqdm(pool.map(digest, records), total=len(records), desc="reading", unit="img"))
    bad = [(record, result) for record, result in zip(records, results, strict=True) if isinstance(result, XrayError)]
    if bad:
        listed = "\n".join(f"  {record.source}: {error}" for record, error in bad[:10])
        raise ChestXrayError(
            f"{len(bad)} of {len(records)} pictures cannot be read; nothing was written. Download them again or "
            f"remove them. The first ones:\n{listed}"
        )
    return results


def remake_validation(records: list[Record], digests: list[str], fraction: float, seed: int) -> list[Record]:
    """Cut a new validation split from train + validation: stratified by label, no patient on both sides.

    Args:
        records: All pictures; those of the test split stay as they are.
        digests: Hash of each picture's pixels: equal pictures count as one patient.
        fraction: Share of the validation split, in (0, 0.5]; 1/fraction is rounded to whole folds.
        seed: Seed of the cut.

    Returns:
        The records in the same order with their new splits.

    Raises:
        UsageError: There are too few patients to cut that share.
    """
    pool = [index for index, record in enumerate(records) if record.split != "test"]
    groups = merge_groups([records[i].group or records[i].source for i in pool], [digests[i] for i in pool])
    labels = [records[i].label for i in pool]
    folds = round(1 / fraction)
    groups_of = {label: {g for g, own in zip(groups, labels, strict=True) if own == label} for label in labels}
    if not pool or min(map(len, groups_of.values())) < folds:
        raise UsageError(
            f"too few patients for a validation split of {fraction:g}: each class needs at least {folds} in "
            "train + validation. Use --official-splits or a larger --val-fraction."
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    _, validation = next(splitter.split(pool, labels, groups))
    chosen = {pool[i] for i in validation}
    return [
        record if record.split == "test" else replace(record, split="validation" if i in chosen else "train")
        for i, record in enumerate(records)
    ]


def merge_groups(*keyings: list[str]) -> list[int]:
    """Merge several groupings of the same items: items that share any key end in one group.

    Args:
        keyings: One list of keys per grouping, all of the same length.

    Returns:
        The group of each item, as the smallest index in it.
    """
    parent = list(range(len(keyings[0])))

    def find(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for keys in keyings:
        first: dict[str, int] = {}
        for item, key in enumerate(keys):
            a, b = sorted((find(item), find(first.setdefault(key, item))))
            parent[b] = a
    return [find(item) for item in range(len(parent))]


def _write_split(folder: Path, split: str, records: list[Record], features: Features, progress: tqdm) -> None:
    """Write one split as shards of about `SHARD_BYTES`, holding a few pictures in memory at a time."""
    n_shards = math.ceil(sum(record.path.stat().st_size for record in records) / SHARD_BYTES)
    for shard in range(n_shards):
        rows = records[shard * len(records) // n_shards : (shard + 1) * len(records) // n_shards]
        path = folder / f"{split}-{shard:05d}-of-{n_shards:05d}.parquet"
        # The features' own Arrow schema carries the metadata from which `load_dataset` restores Image and ClassLabel.
        with pq.ParquetWriter(path, features.arrow_schema) as writer:
            for batch in _batches(rows, features):
                writer.write_batch(batch)
                progress.update(len(batch))


def _batches(records: list[Record], features: Features) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(records), BATCH_ROWS):
        rows = [
            {
                "image": {"bytes": record.path.read_bytes(), "path": record.path.name},
                "label": features["label"].str2int(record.label),
                "patient": record.patient,
                "source": record.source,
                "lung_mask": None,
            }
            for record in records[start : start + BATCH_ROWS]
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=features.arrow_schema)


def main() -> None:
    """Command line of the conversion."""
    parser = argparse.ArgumentParser(prog="python -m hub.convert", description="Kaggle folder -> dataset folder")
    parser.add_argument("source", type=Path, help="unpacked folder of the Kaggle dataset")
    parser.add_argument("--output", type=Path, required=True, help="dataset folder to make")
    parser.add_argument("--layout", help=f"one of: {', '.join(LAYOUTS)} (default: recognised from the folder)")
    parser.add_argument("--official-splits", action="store_true", help="keep the publisher's validation split")
    parser.add_argument("--val-fraction", type=float, default=0.1, help="share of the new validation split")
    parser.add_argument("--seed", type=parse_seed, default=0, help="seed of the new validation split")
    args = parser.parse_args()
    if not 0 < args.val_fraction <= 0.5:
        raise UsageError(f"--val-fraction {args.val_fraction:g}: it must be above 0 and at most 0.5.")
    convert(args.source, args.output, args.layout, args.official_splits, args.val_fraction, args.seed)


if __name__ == "__main__":
    run_cli(main)
