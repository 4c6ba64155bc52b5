"""Shards of a split."""

import pyarrow.parquet as pq
from datasets import load_dataset

from hub.conversion import Options, convert
from hub.dataset import parquet_writer as writer
from tests.phantoms import write_images

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


def test_shards_stay_below_their_limit(tmp_path, monkeypatch):
    write_images(tmp_path / "in", *CLASSES, *(f"well/more-{i}.png" for i in range(60)))
    monkeypatch.setattr(writer, "FULL", 200_000)
    monkeypatch.setattr(writer, "BATCH_BYTES", 60_000)
    report = convert(tmp_path / "in", tmp_path / "out", Options(audit=False))
    shards = sorted((tmp_path / "out" / "data").glob("train-*.parquet"))
    assert len(shards) > 3
    assert [shard.name for shard in shards] == [
        f"train-{i:05d}-of-{len(shards):05d}.parquet" for i in range(len(shards))
    ]
    assert max(shard.stat().st_size for shard in shards) < 300_000
    assert sum(pq.ParquetFile(shard).metadata.num_rows for shard in shards) == sum(report["counts"]["train"].values())
    assert sum(load_dataset(str(tmp_path / "out")).num_rows.values()) == 84
