"""The rows of a merge, and the list of them."""

import csv
import hashlib
import io

import numpy as np
from datasets import Image as ImageFeature
from datasets import Value, load_dataset
from PIL import Image

from hub.conversion import Options, convert
from hub.merging.merge_datasets import Options as MergeOptions
from hub.merging.merge_datasets import merge
from hub.merging.sources import INNER_ORIGIN
from tests.hub.converted import stored_rows
from tests.phantoms import write_images


def test_images_keep_their_bytes_and_get_names_of_their_source(two_sources, merged_folder):
    rows, merged = stored_rows(two_sources[1]), stored_rows(merged_folder)
    own = [row for name, row in merged.items() if row["origin"] == "South 2"]
    assert own
    for row in own:
        before = rows[row["source"].removeprefix("South 2/")]
        assert row["image"]["bytes"] == before["image"]["bytes"]
        assert row["patient"] == (before["patient"] and f"South 2/{before['patient']}")
        assert row["view"] == before["view"]


def test_the_schema_is_one_and_columns_without_values_are_left_out(merged_folder):
    features = load_dataset(str(merged_folder))["test"].features
    assert list(features) == ["image", "label", "patient", "source", "origin", "hospital", "lung_mask", "view"]
    assert features["label"].names == ["well", "ill"]
    assert features["view"] == Value("string")


def test_the_list_has_one_row_an_image_sorted(merged_folder):
    lines = list(csv.DictReader((merged_folder / "images.csv").open(encoding="utf-8")))
    assert lines == sorted(lines, key=lambda line: list(line.values()))
    expected = set()
    for split, rows in load_dataset(str(merged_folder)).items():
        for row in rows.cast_column("image", ImageFeature(decode=False)):
            digest, label = (
                hashlib.sha256(row["image"]["bytes"]).hexdigest(),
                rows.features["label"].int2str(row["label"]),
            )
            expected.add((digest, row["origin"], split, row["hospital"], label, row["patient"] or ""))
    assert {tuple(line.values()) for line in lines} == expected
    assert len(lines) == len(expected)


def test_an_origin_inside_a_source_has_a_column_of_its_own(tmp_path):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in ("ill", "well") for i in range(2)]
    for number, name in enumerate(("a", "b")):
        folder = write_images(tmp_path / "in" / name, *names, seed=number)
        if name == "b":
            (folder / "metadata.csv").write_text("file_name,origin\ntrain/ill/1.png,ward 7\n")
        convert(folder, tmp_path / name, Options(official=True, keep_names=True, audit=False))
    merge([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", None, MergeOptions(audit=False))
    rows = stored_rows(tmp_path / "out")
    assert rows["b/train/ill/1.png"][INNER_ORIGIN] == "ward 7"
    assert {row["origin"] for row in rows.values()} == {"a", "b"}
    assert f"`{INNER_ORIGIN}` | source of the image inside its dataset" in (tmp_path / "out" / "README.md").read_text()


def test_masks_of_every_kind_come_along_and_foreign_metadata_does_not(tmp_path):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in ("ill", "well") for i in range(2)]
    for number, name in enumerate(("a", "b")):
        write_images(tmp_path / "in" / name, *names, seed=number)
        masks = tmp_path / "masks" / name / "train" / "ill"
        masks.mkdir(parents=True)
        if name == "b":
            Image.fromarray(np.full((140, 160), 255, np.uint8)).save(masks / "1.png")
        masked = Options(official=True, keep_names=True, audit=False, masks=tmp_path / "masks" / name)
        plain = Options(official=True, keep_names=True, audit=False)
        convert(tmp_path / "in" / name, tmp_path / name, masked if name == "b" else plain)
    splits = load_dataset(str(tmp_path / "b"))  # somebody else's shard, with a comment in every file
    commented = splits["train"].cast_column("image", ImageFeature(decode=False)).map(_with_comment)
    commented.cast(splits["train"].features).to_parquet(next((tmp_path / "b").glob("data/train-*.parquet")))
    merge([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", None, MergeOptions(audit=False))
    rows = stored_rows(tmp_path / "out")
    assert [name for name, row in rows.items() if row["lung_mask"]] == ["b/train/ill/1.png"]
    assert not any(b"Somebody" in row["image"]["bytes"] for row in rows.values())


def test_boxes_come_along(tmp_path):
    names = [f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in ("ill", "well") for i in range(2)]
    for number, name in enumerate(("a", "b")):
        write_images(tmp_path / "in" / name, *names, seed=number)
        if name == "b":
            (tmp_path / "in" / "b" / "boxes.csv").write_text("file_name,x,y,width,height\ntest/ill/1.png,40,35,80,70\n")
        convert(tmp_path / "in" / name, tmp_path / name, Options(official=True, keep_names=True, audit=False))
    merge([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", None, MergeOptions(audit=False))
    boxes = {name: row["boxes"] for name, row in stored_rows(tmp_path / "out").items() if row["boxes"]}
    assert boxes == {"b/test/ill/1.png": [[0.25, 0.25, 0.5, 0.5]]}
    assert "| `boxes` |" in (tmp_path / "out" / "README.md").read_text()


def _with_comment(row: dict) -> dict:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(row["image"]["bytes"])).save(buffer, "JPEG", comment=b"Somebody")
    return row | {"image": {"bytes": buffer.getvalue(), "path": "1.jpeg"}}
