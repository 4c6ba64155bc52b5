"""What a row holds: stored bytes, masks, and names that give nobody away."""

import io

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from hub.conversion import Options, convert
from hub.dataset.image_summary import AuditedImage, summarise_image
from hub.dataset.parquet_writer import features_of
from hub.dataset.rows import RowMaker
from hub.layouts.base import Record
from hub.layouts.covid_qu_ex import CovidQuEx
from space.errors import UsageError
from space.imaging.archives import Folder
from tests.hub.converted import stored_rows
from tests.phantoms import draw_phantom, write_images
from tests.space.imaging.test_dicom import dicom_bytes
from train.data.boxes import BOXES

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


def test_a_private_folder_shows_no_name_anywhere(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/Miller-{i}.png" for c in ("ill", "well") for i in range(12)))
    lines = "\n".join(f"{c}/Miller-{i}.png,Miller {i // 2}" for c in ("ill", "well") for i in range(12))
    (tmp_path / "in" / "metadata.csv").write_text(f"file_name,patient\n{lines}\n")
    convert(tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert b"Miller" not in (path.read_bytes() if path.is_file() else b""), path
    rows = stored_rows(tmp_path / "out")
    assert set(rows) == {f"{i:06d}" for i in range(1, 25)}
    assert {row["patient"] for row in rows.values()} == {f"{i:06d}" for i in range(1, 7)}
    convert(tmp_path / "in", tmp_path / "named", Options(keep_names=True))
    assert set(stored_rows(tmp_path / "named")) == {f"{c}/Miller-{i}.png" for c in ("ill", "well") for i in range(12)}


def test_dicom_files_become_clean_gray_png(tmp_path):
    random = np.random.default_rng(0)
    for i, name in enumerate(CLASSES):
        path = tmp_path / "in" / name.replace(".png", ".dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(draw_phantom(random, pneumonia=False)).astype(np.uint16) * 16
        path.write_bytes(dicom_bytes(values, ViewPosition=("PA", "AP")[i % 2]))
    convert(tmp_path / "in", tmp_path / "out")
    rows = stored_rows(tmp_path / "out").values()
    assert {row["view"] for row in rows} == {"PA", "AP"}
    for row in rows:
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (image.format, image.mode) == ("PNG", "L")
        assert b"SECRET" not in row["image"]["bytes"]
    assert not any(b"SECRET" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_dicom_files_in_any_layout_lose_their_names(tmp_path):
    random = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 3)):
        for label in ("NORMAL", "PNEUMONIA"):
            for i in range(n):
                path = tmp_path / "in" / split / label / f"Doe_John_{label}{i}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dicom_bytes(np.asarray(draw_phantom(random, pneumonia=False))))
    report = convert(tmp_path / "in", tmp_path / "out")
    assert report["conversion"]["layout"] == "chest-xray-pneumonia"
    assert not any(b"Doe" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_masks_of_a_layout_and_masks_from_a_folder(tmp_path, kaggle_folder):
    images = sorted((kaggle_folder / "chest_xray").rglob("*.jpeg"))[:30]
    for path in images:
        mask = tmp_path / "masks" / path.relative_to(kaggle_folder / "chest_xray").with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((140, 160), 127 if path == images[0] else 255, np.uint8)).save(mask)
    (tmp_path / "masks" / images[1].relative_to(kaggle_folder / "chest_xray").with_suffix(".png")).write_text("no mask")
    report = convert(kaggle_folder, tmp_path / "out", Options(masks=tmp_path / "masks", audit=False))
    assert report["conversion"]["masks"] == {"lung_mask": 30}
    assert report["conversion"]["bad_masks"] == 1
    rows = stored_rows(tmp_path / "out")
    masked = {source for source, row in rows.items() if row["lung_mask"]}
    expected = {path.relative_to(kaggle_folder / "chest_xray").as_posix() for path in images if path != images[1]}
    assert masked == expected
    first = rows[images[0].relative_to(kaggle_folder / "chest_xray").as_posix()]["lung_mask"]["bytes"]
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(first))))) == {127}
    with pytest.raises(UsageError, match="holds no mask"):
        convert(kaggle_folder, tmp_path / "other", Options(masks=tmp_path))


def test_bad_masks_are_listed_once_and_by_name_in_whatever_order_they_were_read(tmp_path):
    names = ["a.png", "b.png"]
    write_images(tmp_path / "images", *names)
    for name in ("mask.txt", "a.txt"):
        (tmp_path / "images" / name).write_text("no mask")
    source = Folder(tmp_path / "images")
    masks = {"lung_mask": "mask.txt", "infection_mask": "a.txt"}
    maker = RowMaker(source, features_of(CovidQuEx(), ["Normal"]), None, None)
    for name in names:
        record = Record(name, name, "train", "Normal", masks=masks)
        row = maker.row(AuditedImage(record, summarise_image(source.read(name)))).make()
        assert row["lung_mask"] is row["infection_mask"] is None
    assert [(name, error.code) for name, error in maker.bad_masks] == [
        ("a.txt", "unknown_format"), ("mask.txt", "unknown_format"),
    ]  # fmt: skip


def test_size_limits_the_longest_side(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    convert(tmp_path / "in", tmp_path / "out", Options(size=80, audit=False))
    sizes = {Image.open(io.BytesIO(row["image"]["bytes"])).size for row in stored_rows(tmp_path / "out").values()}
    assert sizes == {(80, 70)}


def test_boxes_become_shares_of_the_image_whatever_size_is_stored(tmp_path):
    write_images(tmp_path / "in", *CLASSES)  # of 160 x 140 pixels
    lines = "ill/0.png,16,35,80,70\nill/0.png,80,0,80.5,14\nwell/3.png,0,0,160,140\n"
    (tmp_path / "in" / "boxes.csv").write_text(f"file_name,x,y,width,height\n{lines}")
    report = convert(tmp_path / "in", tmp_path / "out", Options(size=80, audit=False, keep_names=True))
    boxes = {source: row["boxes"] for source, row in stored_rows(tmp_path / "out").items() if row["boxes"]}
    assert boxes.keys() == {"ill/0.png", "well/3.png"}
    assert np.allclose(boxes["ill/0.png"], [[0.1, 0.25, 0.5, 0.5], [0.5, 0, 0.5, 0.1]])
    assert report["conversion"]["boxes"] == 2
    assert "| `boxes` |" in (tmp_path / "out" / "README.md").read_text()
    assert load_dataset(str(tmp_path / "out"))["train"].features["boxes"] == BOXES


def test_a_box_in_pixels_of_another_size_is_refused_and_nothing_is_written(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    (tmp_path / "in" / "boxes.csv").write_text("file_name,x,y,width,height\nill/0.png,16,35,800,70\n")
    with pytest.raises(UsageError, match=r"ill/0\.png: the box 16, 35, 800, 70 reaches outside .* 160 x 140 pixels"):
        convert(tmp_path / "in", tmp_path / "out", Options(audit=False))
    assert not (tmp_path / "out").exists()


def test_without_boxes_there_is_no_column_for_them(dataset_folder):
    assert "boxes" not in load_dataset(str(dataset_folder))["train"].features
    assert "| `boxes` |" not in (dataset_folder / "README.md").read_text()
