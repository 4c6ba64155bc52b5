"""Files that cannot be read, and classes that none is left of."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from hub.conversion import Options, convert
from space.errors import ChestXrayError
from tests.phantoms import draw_phantom, write_images
from tests.space.imaging.test_dicom import dicom_bytes

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


def test_bad_files_are_quarantined_with_their_reasons(tmp_path):
    write_images(tmp_path / "in", *CLASSES, *(f"well/more-{i}.png" for i in range(60)))
    whole = (tmp_path / "in" / "ill" / "0.png").read_bytes()
    bad = {"empty.png": b"", "text.jpg": b"hello", "cut.png": whole[: len(whole) // 2], "x.dcm": b"no dicom"}
    for name, data in bad.items():
        (tmp_path / "in" / "well" / name).write_bytes(data)
    report = convert(tmp_path / "in", tmp_path / "out", Options(audit=False))
    assert report["images"] == 84
    assert report["conversion"]["quarantined"] == {"damaged": 1, "empty": 1, "unknown_format": 2}
    with (tmp_path / "out" / "quarantine.csv").open() as file:
        rows = {row["path"]: row["code"] for row in csv.DictReader(file)}
    assert rows == {
        "well/empty.png": "empty", "well/text.jpg": "unknown_format", "well/cut.png": "damaged",
        "well/x.dcm": "unknown_format",
    }  # fmt: skip


def test_every_file_is_used_or_listed_with_a_reason(tmp_path, capsys):
    folder = write_images(tmp_path / "in", *CLASSES, "odd/1.png", "masks/ill/1.png")
    dicom = dicom_bytes(np.asarray(draw_phantom(np.random.default_rng(1), True)))
    more = {"ill/IMG0001": dicom, "well/CT.IMA": dicom, "ill/readme": b"text", "notes.txt": b"notes"}
    for name, data in more.items():
        (folder / name).write_bytes(data)
    with Image.open(folder / "well" / "1.png") as image:
        for ending in ("tif", "bmp", "webp"):
            image.transpose(Image.Transpose.ROTATE_90).save(folder / "well" / f"turned.{ending}", lossless=True)
    (folder / "metadata.csv").write_text("file_name,view\nill/1.png,PA\n")
    report = convert(folder, tmp_path / "out", Options(audit=False, labels={"odd": None}))
    assert report["images"] == 24 + 5
    with (tmp_path / "out" / "quarantine.csv").open() as file:
        rows = {row["path"]: row["code"] for row in csv.DictReader(file)}
    assert rows == {
        "odd/1.png": "dropped_class", "masks/ill/1.png": "outside_layout", "ill/readme": "no_image",
        "notes.txt": "no_image",
    }  # fmt: skip
    assert "left out: 2 files that are not images, listed in quarantine.csv" in capsys.readouterr().out


TAGS = {
    "ill/knee": ({"BodyPartExamined": "KNEE", "Modality": "DX"}, "BodyPartExamined is 'KNEE', not the chest"),
    "ill/scan": ({"Modality": "CT"}, "Modality is 'CT', which is not a radiograph"),
    "well/side": ({"ViewPosition": "LL", "BodyPartExamined": "CHEST"}, "ViewPosition is 'LL', not frontal"),
    "well/chest": ({"ViewPosition": "PA", "BodyPartExamined": "PORT CHEST", "Modality": "CR"}, ""),
    "well/thorax": ({"BodyPartExamined": "Thorax"}, ""),
    "well/bare": ({}, ""),
}


def test_dicom_tags_that_name_another_body_part_or_view_leave_the_image_out(tmp_path):
    folder, random = write_images(tmp_path / "in", *CLASSES), np.random.default_rng(0)
    for name, (tags, _) in TAGS.items():
        (folder / name).write_bytes(dicom_bytes(np.asarray(draw_phantom(random, True)), **tags))
    report = convert(folder, tmp_path / "out", Options(audit=False))
    assert (report["images"], report["conversion"]["not_frontal"]) == (24 + 3, 3)
    with (tmp_path / "out" / "quarantine.csv").open() as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {name for name, (_, why) in TAGS.items() if why}
    for name, row in rows.items():
        assert row["code"] == "not_frontal_chest"
        assert TAGS[name][1] in row["sentence"]
    assert "are no frontal chest X-rays: 3 images" in (tmp_path / "out" / "README.md").read_text()
    assert convert(folder, tmp_path / "all", Options(audit=False, any_body_part=True))["images"] == 24 + 6


def test_too_many_bad_files_stop_unless_allowed(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    for i in range(3):
        (tmp_path / "in" / "ill" / f"bad-{i}.png").write_text("bad")
    with pytest.raises(ChestXrayError, match=r"3 of 27 images .* --allow-bad"):
        convert(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert convert(tmp_path / "in", tmp_path / "out", Options(allow_bad=True, audit=False))["images"] == 24


def test_a_class_without_readable_images_is_not_in_the_dataset(tmp_path, capsys):
    write_images(tmp_path / "in", *CLASSES, "gone/0.png")
    (tmp_path / "in" / "gone" / "0.png").write_bytes(b"")
    report = convert(tmp_path / "in", tmp_path / "out", Options(audit=False))
    assert list(report["conversion"]["labels"]) == ["ill", "well"]
    assert "class gone has no readable image" in capsys.readouterr().out
    for path in (tmp_path / "in" / "ill").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ChestXrayError, match="only class well"):
        convert(tmp_path / "in", tmp_path / "other", Options(allow_bad=True))


def test_many_damaged_images_stop_the_conversion_and_leave_nothing(kaggle_folder, tmp_path):
    shutil.copytree(kaggle_folder, tmp_path / "source")
    broken = sorted((tmp_path / "source/chest_xray/train/NORMAL").iterdir())[:12]
    for path in broken:
        path.write_text("not an image")
    with pytest.raises(ChestXrayError, match=broken[0].name):
        convert(tmp_path / "source", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
