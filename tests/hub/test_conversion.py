"""What comes out of a conversion."""

import csv
import os
import shutil
import zipfile

import numpy as np
import pytest
from datasets import Image, load_dataset

from hub.conversion import Options, convert
from hub.dataset.splits import Fractions
from space.errors import UsageError
from tests.hub.converted import report_of, stored_rows
from tests.phantoms import COUNTS, write_images
from train.data.dataset import load_data

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


def test_the_dataset_opens_with_the_columns_and_labels_of_the_contract(dataset_folder):
    dataset = load_dataset(str(dataset_folder))
    assert set(dataset) == {"train", "validation", "test"}
    assert dataset["train"].column_names == ["image", "label", "patient", "source", "lung_mask", "subtype"]
    assert dataset["train"].features["label"].names == ["NORMAL", "PNEUMONIA"]
    counted = {name: [list(split["label"]).count(k) for k in (0, 1)] for name, split in dataset.items()}
    assert counted["test"] == list(COUNTS["test"].values())
    assert np.add(counted["train"], counted["validation"]).tolist() == [52, 100]


def test_images_keep_their_bytes_and_their_own_labels(dataset_folder, kaggle_folder):
    dataset = load_dataset(str(dataset_folder))
    for split in dataset.values():
        for row in split.cast_column("image", Image(decode=False)).select(range(5)):
            assert row["image"]["bytes"] == (kaggle_folder / "chest_xray" / row["source"]).read_bytes()
            assert row["source"].split("/")[1] == split.features["label"].names[row["label"]]


def test_no_patient_stands_in_two_splits_and_validation_is_stratified(dataset_folder):
    dataset = load_dataset(str(dataset_folder))
    patients = {name: set(split["patient"]) for name, split in dataset.items()}
    assert not patients["train"] & patients["validation"]
    assert not (patients["train"] | patients["validation"]) & patients["test"]
    labels = list(dataset["validation"]["label"])
    assert 10 <= len(labels) <= 20
    assert 0.5 <= np.mean(labels) <= 0.8


def test_the_same_seed_gives_the_same_split_and_another_seed_another(kaggle_folder, tmp_path):
    def validation(name, seed):
        convert(kaggle_folder, tmp_path / name, Options(fractions=Fractions(seed=seed), audit=False))
        return list(load_dataset(str(tmp_path / name))["validation"]["source"])

    assert validation("a", 0) == validation("b", 0) != validation("c", 1)


def test_official_splits_are_kept_when_asked(kaggle_folder, tmp_path):
    convert(kaggle_folder, tmp_path / "out", Options(official=True, audit=False))
    dataset = load_dataset(str(tmp_path / "out"))
    assert {name: len(split) for name, split in dataset.items()} == {"train": 144, "validation": 8, "test": 48}
    assert all(source.startswith("val/") for source in dataset["validation"]["source"])


def test_the_card_states_counts_licence_and_how_the_split_was_made(dataset_folder):
    card = (dataset_folder / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "10.17632/rscbjbr9sj.2" in card
    assert "200 chest X-rays in 2 classes" in card
    assert "stratified by class, seed 0" in card


def test_names_in_quarantine_are_safe_in_a_spreadsheet_and_on_a_terminal(tmp_path):
    source = write_images(tmp_path / "in", *(f"=1+{c}/{i}.png" for c in "ab" for i in range(8)))
    for name in ("9.png", "10\x1b[31m.png", "11\n.png"):
        (source / "=1+a" / name).write_text("no image")
    (source / "=1+a" / os.fsdecode(b"12\xff.png")).write_text("no image")
    convert(source, tmp_path / "out", Options(allow_bad=True, audit=False))
    with (tmp_path / "out" / "quarantine.csv").open(newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    assert names == [rf"./=1+a/{name}" for name in (r"10\x1b[31m.png", r"11\n.png", r"12\udcff.png", "9.png")]


def test_an_output_that_exists_is_not_touched(kaggle_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        convert(kaggle_folder, tmp_path / "out")
    assert (tmp_path / "out" / "precious").read_text() == "mine"


def test_a_folder_converted_anew_is_read_anew(kaggle_folder, tmp_path):
    def validation(seed: int) -> tuple[list[str], list[str], str]:
        convert(kaggle_folder, tmp_path / "out", Options(fractions=Fractions(seed=seed), audit=False))
        data = load_data(str(tmp_path / "out"))
        rows = load_dataset(str(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
        return list(data.splits["validation"]["source"]), list(rows["validation"]["source"]), data.fingerprint

    runs = []
    for seed in (0, 1):
        ours, theirs, fingerprint = validation(seed)
        assert ours == theirs
        runs.append((ours, fingerprint))
    assert runs[0][0] != runs[1][0]
    assert runs[0][1] != runs[1][1]


def test_without_audit_the_splits_are_the_same_and_the_card_says_what_is_missing(leaky_source, leaky_dataset, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, audit=False))
    with_audit, without = load_dataset(str(leaky_dataset)), load_dataset(str(tmp_path / "out"))
    assert {s: list(d["source"]) for s, d in with_audit.items()} == {s: list(d["source"]) for s, d in without.items()}
    assert "shortcuts" not in report_of(tmp_path / "out")
    assert not (tmp_path / "out" / "figures").exists()
    assert "Shortcuts were not measured (`--no-audit`)" in (tmp_path / "out" / "README.md").read_text()


def test_a_zip_with_junk_converts_like_its_folder(kaggle_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((kaggle_folder / "chest_xray").rglob("*.jpeg")):
            name = path.relative_to(kaggle_folder)
            archive.write(path, name)
            archive.write(path, f"chest_xray/{name}")
            archive.writestr(f"__MACOSX/{name.parent}/._{name.name}", b"junk")
        archive.writestr("chest_xray/train/NORMAL/.DS_Store", b"junk")
    report = convert(tmp_path / "x.zip", tmp_path / "from-zip", Options(audit=False))
    assert report["images"] == 200
    assert report["conversion"]["outside_layout"] == 200
    convert(kaggle_folder, tmp_path / "from-folder", Options(audit=False))
    assert stored_rows(tmp_path / "from-zip") == stored_rows(tmp_path / "from-folder")


def test_a_dataset_with_only_a_test_split_is_refused_for_training(tmp_path):
    write_images(tmp_path / "in", *(f"test/{path}" for path in CLASSES))
    report = convert(tmp_path / "in", tmp_path / "out", Options(audit=False))
    assert list(report["counts"]) == ["test"]
    assert "for evaluation only" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(UsageError, match="no train and no validation split"):
        load_data(str(tmp_path / "out"))


def test_fractions_and_seed_decide_the_splits(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/{i}.png" for c in ("ill", "well") for i in range(40)))
    counts = convert(tmp_path / "in", tmp_path / "a", Options(fractions=Fractions(0.2, 0.25, 1), audit=False))["counts"]
    assert {split: sum(of.values()) for split, of in counts.items()} == {"train": 44, "validation": 16, "test": 20}


def test_odd_names_of_classes_and_files_are_no_trouble(tmp_path):
    names = [f"{c}/{i}.png" for c in ("$\\foo{$", "_under", "é ü & <b>") for i in range(12)]
    write_images(tmp_path / "in", *names)
    folder = os.fsencode(tmp_path / "in" / "_under")
    os.rename(folder + b"/0.png", folder + b"/p\xff3.png")
    convert(tmp_path / "in", tmp_path / "out", Options(keep_names=True))
    assert set(load_data(str(tmp_path / "out")).labels) == {"$\\foo{$", "_under", "é ü & <b>"}


def test_an_output_inside_the_source_is_refused(tmp_path):
    write_images(tmp_path, *CLASSES)
    with pytest.raises(UsageError, match="inside the source"):
        convert(tmp_path, tmp_path / "out")
