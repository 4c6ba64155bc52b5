"""The command `hub.convert`: what comes out, and what its options do."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from datasets import Image, load_dataset

from hub.convert import Options, convert, main
from hub.dataset.splits import Fractions
from space.errors import UsageError
from tests.commands import call
from tests.conftest import REPOSITORY, run_python
from tests.hub.converted import report_of, stored_rows
from tests.phantoms import COUNTS, write_images
from train.data.dataset import load_data


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
    assert "200 chest radiographs" in card
    assert "stratified by class, seed 0" in card


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
        plain = load_dataset(str(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
        return list(data.splits["validation"]["source"]), list(plain["validation"]["source"]), data.fingerprint

    found = []
    for seed in (0, 1):
        ours, plain, fingerprint = validation(seed)
        assert ours == plain
        found.append((ours, fingerprint))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]


def test_without_audit_the_splits_are_the_same_and_the_card_says_what_is_missing(leaky_source, leaky_dataset, tmp_path):
    convert(leaky_source, tmp_path / "out", Options(keep_names=True, audit=False))
    with_audit, without = load_dataset(str(leaky_dataset)), load_dataset(str(tmp_path / "out"))
    assert {s: list(d["source"]) for s, d in with_audit.items()} == {s: list(d["source"]) for s, d in without.items()}
    assert "shortcuts" not in report_of(tmp_path / "out")
    assert not (tmp_path / "out" / "figures").exists()
    assert "Shortcuts were not measured (`--no-audit`)" in (tmp_path / "out" / "README.md").read_text()


CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


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


@pytest.mark.parametrize("module", ["hub.convert", "hub.audit", "hub.push"])
def test_help_is_printed_without_loading_what_is_slow(module):
    done = run_python("-X", "importtime", "-m", module, "--help")
    assert done.returncode == 0
    assert "--output" in done.stdout or "--public" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "sklearn", "scipy", "matplotlib"}


def test_the_command_in_a_process_of_its_own(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    done = run_python("-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "train 18, validation 3, test 3 images" in done.stdout
    again = run_python("-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out")
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: --output {tmp_path / 'out'} ")
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"), [("--val-fraction", "0"), ("--test-fraction", "0.9"), ("--size", "3"), ("--workers", "0")]
)
def test_options_out_of_range_are_usage_errors(kaggle_folder, tmp_path, option, value):
    done = call(main, kaggle_folder, "--output", tmp_path / "out", option, value)
    assert done.returncode == 2
    assert option in done.stderr


def test_odd_names_of_classes_and_files_are_no_trouble(tmp_path):
    names = [f"{c}/{i}.png" for c in ("$\\foo{$", "_under", "é ü & <b>") for i in range(12)]
    write_images(tmp_path / "in", *names)
    folder = os.fsencode(tmp_path / "in" / "_under")
    os.rename(folder + b"/0.png", folder + b"/p\xff3.png")
    convert(tmp_path / "in", tmp_path / "out", Options(keep_names=True))
    assert set(load_data(str(tmp_path / "out")).labels) == {"$\\foo{$", "_under", "é ü & <b>"}


SLOW = """
import sys, time
from hub import convert
from hub.dataset import image_summary
summarise = image_summary.summarise_image
image_summary.summarise_image = lambda data: (print("reading", flush=True), time.sleep(0.5), summarise(data))[2]
from space.errors import run_cli
sys.argv[0] = "hub.convert"
run_cli(convert.main)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_nothing_half_written_is_left_and_run_again_it_finishes(tmp_path, how):
    write_images(tmp_path / "in", *CLASSES)
    command = [sys.executable, "-c", SLOW, str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes) as job:
        assert any("reading" in line for line in job.stdout)
        start = time.monotonic()
        job.send_signal(how)
        _, said = job.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert job.returncode == 130
    assert "interrupted: the output was not written" in said
    assert "Traceback" not in said
    assert convert(tmp_path / "in", tmp_path / "out", Options(audit=False))["images"] == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_output_inside_the_source_is_refused(tmp_path):
    write_images(tmp_path, *CLASSES)
    with pytest.raises(UsageError, match="inside the source"):
        convert(tmp_path, tmp_path / "out")


def test_an_empty_folder_or_a_link_to_one_can_be_the_output(tmp_path, monkeypatch):
    write_images(tmp_path / "in", *CLASSES)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    done = call(main, tmp_path / "in", "--output", ".", "--no-audit")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    convert(tmp_path / "in", tmp_path / "link", Options(audit=False))
    assert (tmp_path / "empty" / "README.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in", "link"]
