"""Predictions of whole folders, zips and datasets; the files that people really have are among them."""

import os
import zipfile
from pathlib import Path

import datasets
import pytest

from space.errors import ChestXrayError, UsageError
from space.imaging.xray import read_xray
from tests.phantoms import write_images
from tests.train.sources import BAD, GOOD, scores


def test_a_folder_gives_a_row_for_every_image_in_order(rows_of, image_folder, bundled):
    rows = rows_of(image_folder)
    names = sorted([*GOOD, *BAD, "other/4.dcm"])
    assert [row["source"] for row in rows] == names
    for row in rows:
        parent = Path(row["source"]).parent.name
        assert row["label"] == (parent if parent in bundled.labels else "")
        assert (row["split"], row["patient"]) == ("", "")
        if row["source"] in BAD:
            assert row["error"].endswith((".", "files."))
            assert {value for name, value in row.items() if name not in ("source", "label", "error")} == {""}
            continue
        expected = bundled.examine([read_xray(image_folder / row["source"]).image])[0].probabilities
        assert scores(row) == pytest.approx(expected.tolist(), abs=1e-5)
        assert row["predicted"] == bundled.labels[int(expected.argmax())]
        assert row["error"] == ""
    assert "not an image" in rows[names.index("NORMAL/text.png")]["error"]
    assert "empty" in rows[names.index("empty.jpg")]["error"]
    assert "damaged" in rows[names.index("other/cut.jpeg")]["error"]


def test_a_zip_gives_what_its_folder_gives(rows_of, image_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(image_folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(image_folder))
    assert rows_of(tmp_path / "all.zip") == rows_of(image_folder)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize(("name", "size"), [("bomb.png", 65 * 2**20), ("../../up.png", 100)])
def test_a_hostile_zip_is_refused(rows_of, tmp_path, name, size):
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(size))
    with pytest.raises(ChestXrayError, match="is refused"):
        rows_of(tmp_path / "hostile.zip")
    assert not (tmp_path.parent / "up.png").exists()


def test_a_damaged_member_is_a_row_and_a_damaged_zip_an_error(rows_of, tmp_path, image_folder):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(image_folder / GOOD[0], "a.png")
        archive.write(image_folder / GOOD[1], "b.jpeg")
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF  # a.png's pixels no longer fit its checksum
    path.write_bytes(data)
    assert [bool(row["error"]) for row in rows_of(path)] == [True, False]
    path.write_bytes(data[:-60])
    with pytest.raises(ChestXrayError, match="cannot be read as a zip"):
        rows_of(path)


def test_a_pattern_takes_files_of_any_name(rows_of, image_folder, tmp_path):
    (tmp_path / "scans" / "NORMAL").mkdir(parents=True)
    (tmp_path / "scans" / "NORMAL" / "IM0001").write_bytes((image_folder / "other" / "4.dcm").read_bytes())
    (row,) = rows_of(tmp_path / "scans" / "*" / "IM*")
    assert (row["source"], row["label"], row["error"]) == ("NORMAL/IM0001", "NORMAL", "")
    assert [row["source"] for row in rows_of(image_folder / "**" / "[12].jp*")] == ["NORMAL/2.jpeg"]
    (tmp_path / "[odd]").mkdir()
    (tmp_path / "[odd]" / "a.png").write_bytes((image_folder / GOOD[0]).read_bytes())
    assert [row["source"] for row in rows_of(tmp_path / "[odd]")] == ["a.png"]


def test_one_file_and_a_class_folder(rows_of, image_folder):
    (alone,) = rows_of(image_folder / "NORMAL" / "1.png")
    assert (alone["source"], alone["label"]) == ("1.png", "NORMAL")
    inside = rows_of(image_folder / "NORMAL")
    assert [row["source"] for row in inside] == ["1.png", "2.jpeg", "text.png"]
    assert {row["label"] for row in inside} == {"NORMAL"}
    assert scores(alone) == scores(inside[0])


def test_pipes_and_circles_of_links_stop_nothing(rows_of, tmp_path):
    root = write_images(tmp_path / "odd", "a.png")
    os.mkfifo(root / "pipe.png")
    (root / "circle").symlink_to(root)
    (root / "nowhere.png").symlink_to(root / "gone")
    assert [(row["source"], bool(row["error"])) for row in rows_of(root)] == [("a.png", False), ("nowhere.png", True)]


def test_names_break_neither_the_file_nor_a_spreadsheet(rows_of, tmp_path):
    root = tmp_path / "names"
    shown = {
        "=1+1.png": "./=1+1.png",
        "-x/1.png": "./-x/1.png",
        "@a.png": "./@a.png",
        "+1.png": "./+1.png",
        'quo"te,comma.png': 'quo"te,comma.png',
        "ü.png": "ü.png",
        "line\nbreak.png": r"line\nbreak.png",
        "\x1b[31mred.png": r"\x1b[31mred.png",
        os.fsdecode(b"\xff.png"): r"\udcff.png",
        "turn\u202egnp.png": r"turn\u202egnp.png",
    }
    found = [row["source"] for row in rows_of(write_images(root, *shown))]
    assert sorted(found) == sorted(shown.values())
    assert all((root / name).exists() for name in found if name.startswith("./"))
    text = (tmp_path / "out0.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(shown) + 1
    assert text.replace("\n", "").isprintable()


def test_a_dataset_may_lack_labels_patients_and_names(rows_of, image_folder, tmp_path):
    images = [{"bytes": (image_folder / name).read_bytes(), "path": None} for name in (*GOOD[:2], "NORMAL/text.png")]
    columns = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["=SUM(A1)", "NORMAL"])}
    stored = datasets.Dataset.from_dict({"image": images, "label": [-1, 0, 1]}, features=datasets.Features(columns))
    (tmp_path / "set" / "data").mkdir(parents=True)
    stored.to_parquet(tmp_path / "set" / "data" / "test-00000-of-00001.parquet")
    rows = rows_of(tmp_path / "set")
    assert [row["source"] for row in rows] == ["test/0", "test/1", "test/2"]
    assert [row["label"] for row in rows] == ["", "'=SUM(A1)", "NORMAL"]
    assert [bool(row["error"]) for row in rows] == [False, False, True]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("empty", "has no images"),
        ("empty/*.png", "has no images"),
        ("absent", "no such file or folder"),
        ("absent/further/down", "no such file or folder"),
        ("table", "has no column `image`"),
    ],
)
def test_a_source_without_images_is_a_usage_error(rows_of, tmp_path, source, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "table").mkdir()
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(tmp_path / "table" / "train.parquet")
    with pytest.raises(UsageError, match=sentence):
        rows_of(tmp_path / source)
