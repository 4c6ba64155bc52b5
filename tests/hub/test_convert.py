import shutil

import numpy as np
import pytest
from datasets import Image, load_dataset

from hub.convert import Options, convert
from hub.dataset.splits import Fractions
from hub.layouts.registry import LAYOUTS
from space.errors import ChestXrayError, UsageError
from tests.conftest import run_python
from tests.phantoms import COUNTS
from train.common.atomic_output import partial_of, written_whole
from train.data.dataset import load_data
from train.data.duplicates import merge_groups


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
        convert(kaggle_folder, tmp_path / name, Options(fractions=Fractions(seed=seed)))
        return list(load_dataset(str(tmp_path / name))["validation"]["source"])

    assert validation("a", 0) == validation("b", 0) != validation("c", 1)


def test_official_splits_are_kept_when_asked(kaggle_folder, tmp_path):
    convert(kaggle_folder, tmp_path / "out", Options(official=True))
    dataset = load_dataset(str(tmp_path / "out"))
    assert {name: len(split) for name, split in dataset.items()} == {"train": 144, "validation": 8, "test": 48}
    assert all(source.startswith("val/") for source in dataset["validation"]["source"])


def test_a_tree_that_stands_twice_is_read_once(kaggle_folder, tmp_path):
    inner = tmp_path / "twice" / "chest_xray"
    shutil.copytree(kaggle_folder / "chest_xray", inner)
    shutil.copytree(kaggle_folder / "chest_xray", inner / "chest_xray")
    shutil.copytree(kaggle_folder / "chest_xray", tmp_path / "twice" / "__MACOSX" / "chest_xray")
    (inner / "train" / "NORMAL" / "._IM-0001.jpeg").write_bytes(b"junk")
    (inner / "train" / "NORMAL" / ".DS_Store").write_bytes(b"junk")
    convert(tmp_path / "twice", tmp_path / "out")
    assert sum(load_dataset(str(tmp_path / "out")).num_rows.values()) == 200


@pytest.mark.parametrize(
    ("stem", "patient", "group"),
    [
        ("person7_bacteria_22", "person7_bacteria", "pneumonia-7"),
        ("person7_virus_9", "person7_virus", "pneumonia-7"),
        ("person1372_virus_2365_1", "person1372_virus", "pneumonia-1372"),
        ("IM-0115-0001", "IM-0115", "normal-115"),
        ("IM-0435-0001-0002", "IM-0435", "normal-435"),
        ("NORMAL2-IM-0115-0001", "NORMAL2-IM-0115", "normal-115"),
        ("scan12", None, None),
    ],
)
def test_patients_are_read_from_file_names(stem, patient, group):
    assert LAYOUTS["chest-xray-pneumonia"].patient_of(stem) == (patient, group)


def test_items_that_share_any_key_end_in_one_group():
    assert merge_groups(["a", "b", "c", "d"], ["1", "2", "2", "3"]) == [0, 1, 1, 3]
    assert merge_groups(["a", "b", "a", "c"], ["1", "2", "2", "3"]) == [0, 0, 0, 3]


def test_the_card_states_counts_licence_and_how_the_split_was_made(dataset_folder):
    card = (dataset_folder / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "10.17632/rscbjbr9sj.2" in card
    assert "200 chest radiographs" in card
    assert "stratified by class, seed 0" in card


def test_an_unknown_folder_is_refused_with_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "in" / "cats").mkdir(parents=True)
    (tmp_path / "in" / "cats" / "list.txt").write_text("tom")
    done = run_python("-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "{train,val,test}/{NORMAL,PNEUMONIA}" in done.stderr
    assert "cats/" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", ["chest-xray-pneumonia", "nonsense"])
def test_a_named_layout_that_does_not_fit_is_refused(tmp_path, layout):
    with pytest.raises(UsageError, match="layout"):
        convert(tmp_path, tmp_path / "out", Options(layout=layout))


def test_many_damaged_images_stop_the_conversion_and_leave_nothing(kaggle_folder, tmp_path):
    shutil.copytree(kaggle_folder, tmp_path / "source")
    broken = sorted((tmp_path / "source/chest_xray/train/NORMAL").iterdir())[:12]
    for path in broken:
        path.write_text("not an image")
    with pytest.raises(ChestXrayError, match=broken[0].name):
        convert(tmp_path / "source", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_output_that_exists_is_not_touched(kaggle_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        convert(kaggle_folder, tmp_path / "out")
    assert (tmp_path / "out" / "precious").read_text() == "mine"


def test_the_real_radiographs_come_out_complete(real_dataset):
    dataset = load_dataset(str(real_dataset))
    labels = {name: list(split["label"]) for name, split in dataset.items()}
    assert sum(map(len, labels.values())) == 5856
    assert (labels["test"].count(0), labels["test"].count(1)) == (234, 390)
    both = labels["train"] + labels["validation"]
    assert (both.count(0), both.count(1)) == (1341 + 8, 3875 + 8)
    assert 500 <= len(labels["validation"]) <= 550
    assert not set(dataset["train"]["patient"]) & set(dataset["validation"]["patient"])
    assert None not in {patient for split in dataset.values() for patient in split["patient"]}


def test_a_folder_converted_anew_is_read_anew(kaggle_folder, tmp_path):
    def validation(seed: int) -> tuple[list[str], list[str], str]:
        convert(kaggle_folder, tmp_path / "out", Options(fractions=Fractions(seed=seed)))
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


def test_a_link_and_what_it_leads_to_are_written_in_one_place(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with written_whole(tmp_path / "link") as folder:
        assert folder == partial_of(tmp_path / "link") == partial_of(tmp_path / "out")


def test_two_conversions_of_one_folder_at_a_time_are_refused(tmp_path):
    with written_whole(tmp_path / "out") as folder:
        (folder / "work").write_text("of an hour")
        with pytest.raises(UsageError, match="another process"), written_whole(tmp_path / "out"):
            pytest.fail("entered")
        assert (folder / "work").exists()
    assert (tmp_path / "out" / "work").read_text() == "of an hour"
