"""Where images to classify are found, and what they are called."""

import os
import zipfile
from pathlib import Path

import datasets
import pytest

from space.errors import UsageError, XrayError
from tests.phantoms import write_images
from train.data.find_images import check_source, find_images

LABELS = ["NORMAL", "PNEUMONIA"]


def found(source: Path | str) -> list[tuple[str, str]]:
    """(source, label) of every image."""
    with find_images(str(source), LABELS) as (total, images):
        rows = [(image.source, image.label) for image in images]
    assert len(rows) == total
    return rows


@pytest.fixture
def folder(tmp_path) -> Path:
    root = write_images(tmp_path / "set", "NORMAL/1.png", "PNEUMONIA/2.JPG", "other/3.jpeg")
    (root / "notes.txt").write_text("no image")
    return root


def test_a_folder_and_its_zip_hold_the_same_images(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder))
    expected = [("NORMAL/1.png", "NORMAL"), ("PNEUMONIA/2.JPG", "PNEUMONIA"), ("other/3.jpeg", "")]
    (tmp_path / "no-suffix").write_bytes((tmp_path / "all.zip").read_bytes())
    assert found(folder) == found(tmp_path / "all.zip") == found(tmp_path / "no-suffix") == expected


def test_images_are_told_by_content_and_the_rest_is_named(folder, capsys):
    (folder / "NORMAL" / "IM0001").write_bytes((folder / "NORMAL" / "1.png").read_bytes())
    (folder / "a\x1b.csv").write_text("a,b")
    assert ("NORMAL/IM0001", "NORMAL") in found(folder)
    expected = r"left out, because they are not images: 2 files (a\x1b.csv, notes.txt)"
    assert capsys.readouterr().out.splitlines() == [expected]


def test_an_archive_of_another_kind_is_refused_with_how_to_unpack_it(tmp_path):
    (tmp_path / "set.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    with pytest.raises(UsageError, match=r"Unpack it \(7z x set\.7z\)"):
        found(tmp_path / "set.7z")


def test_a_zip_is_open_for_the_block_and_no_longer(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "NORMAL" / "1.png", "1.png")
    with find_images(str(tmp_path / "all.zip"), LABELS) as (_, (image,)):
        assert image.file() == (folder / "NORMAL" / "1.png").read_bytes()
    with pytest.raises(XrayError):
        image.file()


def test_a_file_and_a_pattern_are_named_from_their_folder(folder):
    assert found(folder / "NORMAL" / "1.png") == [("1.png", "NORMAL")]
    assert found(folder / "*" / "*") == [
        ("NORMAL/1.png", "NORMAL"),
        ("PNEUMONIA/2.JPG", "PNEUMONIA"),
        ("other/3.jpeg", ""),
    ]


def test_a_dataset_is_found_with_what_it_states(dataset_folder):
    with find_images(str(dataset_folder), LABELS) as (total, images):
        rows = list(images)
    opened = datasets.load_dataset(str(dataset_folder))
    assert total == len(rows) == sum(len(split) for split in opened.values())
    assert [row.source for row in rows if row.split == "test"] == opened["test"]["source"][:]
    assert {row.label for row in rows} == set(LABELS)
    assert all(row.patient for row in rows if row.split == "test")


def test_a_source_that_is_not_there_is_told_without_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("runs")
    for source in ("nosuch", "runs/nosuch", "far/away/from/here"):
        with pytest.raises(UsageError, match=f"^SOURCE {source}: no such file or folder"):
            check_source(source)
    for source in ("runs", "runs/*.png", "owner/name"):
        check_source(source)


def test_the_dataset_of_a_repository_that_cannot_be_reached():
    with pytest.raises(UsageError, match="cannot be opened as a dataset"):
        found("nobody/nothing")
