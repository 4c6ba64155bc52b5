"""Rows to sharded parquet files that `datasets.load_dataset` opens, a few images in memory at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value
from tqdm import tqdm

from hub.layouts.base import Layout
from space.parallel import in_order
from train.data.boxes import BOXES

SHARD_BYTES = 500 * 10**6
CHUNK = 8  # rows that a thread makes at a time
# Rows are made and written in batches: of 64, or fewer where their files are large.
BATCH_ROWS, BATCH_BYTES = 64, 64 * 2**20
# One shard never outgrows SHARD_BYTES by the batch that comes last, nor by what parquet adds.
FULL = SHARD_BYTES - 2 * BATCH_BYTES


@dataclass(frozen=True)
class Row:
    """A row that is made when its turn comes.

    Attributes:
        make: Gives {column: value}.
        n_bytes: Size of the files that it is made from.
    """

    make: Callable[[], dict]
    n_bytes: int


def features_of(layout: Layout, labels: list[str], boxes: bool = False) -> Features:
    """Columns of a converted dataset: those of the contract, then the layout's own, and boxes if there are any."""
    return Features(
        image=Image(),
        label=ClassLabel(names=labels),
        patient=Value("string"),
        source=Value("string"),
        lung_mask=Image(),
        **{column: Image() for column in layout.mask_columns},
        **{column: Value("string") for column in layout.columns},
        **({"boxes": BOXES} if boxes else {}),
    )


def write_split(
    folder: Path, split: str, rows: Iterable[Row], features: Features, workers: int | None, bar: tqdm
) -> None:
    """Write one split as `<split>-00000-of-N.parquet` and so on, of at most `SHARD_BYTES` each.

    Args:
        folder: Where the shards go.
        split: Name of the split.
        rows: The rows.
        features: The dataset's columns.
        workers: Rows made at a time; None for one per core.
        bar: Progress, counted up by images.
    """
    shards: list[Path] = []
    writer = None
    try:
        for batch in _batches(rows):
            if writer is None or shards[-1].stat().st_size > FULL:
                if writer:
                    writer.close()
                shards.append(folder / f"{split}-{len(shards):05d}.parquet")
                writer = _open(shards[-1], features)
            made = list(in_order(lambda row: row.make(), batch, workers, chunk=CHUNK))
            writer.write_batch(pa.RecordBatch.from_pylist(made, schema=features.arrow_schema))
            bar.update(len(made))
    finally:
        if writer:
            writer.close()
    for index, path in enumerate(shards):
        path.rename(folder / f"{split}-{index:05d}-of-{len(shards):05d}.parquet")


def _open(path: Path, features: Features) -> pq.ParquetWriter:
    # The features' own Arrow schema carries the metadata from which `load_dataset` restores Image and ClassLabel.
    # Compressed images do not compress again, and statistics of their bytes help nobody.
    return pq.ParquetWriter(
        path, features.arrow_schema, compression="none", use_dictionary=False, write_statistics=False
    )


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    n_bytes = 0
    for row in rows:
        if batch and (len(batch) == BATCH_ROWS or n_bytes + row.n_bytes > BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(row)
        n_bytes += row.n_bytes
    if batch:
        yield batch
