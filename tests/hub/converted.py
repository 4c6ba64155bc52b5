"""Converted folders, read back."""

import json
from pathlib import Path

from datasets import Image as ImageFeature
from datasets import load_dataset


def stored_rows(folder: Path) -> dict[str, dict]:
    """{source: row} of all splits, images as bytes."""
    rows = {}
    for split in load_dataset(str(folder)).values():
        for name, kind in split.features.items():
            if isinstance(kind, ImageFeature):
                split = split.cast_column(name, ImageFeature(decode=False))
        rows |= {row["source"]: row for row in split}
    return rows


def report_of(folder: Path) -> dict:
    return json.loads((folder / "audit.json").read_text())


def sources(groups: list[list[dict]]) -> set[frozenset[str]]:
    return {frozenset(entry["source"] for entry in group) for group in groups}
