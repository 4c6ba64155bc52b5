"""All real sets, converted; what is found in them against what is known of them by their names and by hand."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from hub.auditing.report import compare
from hub.conversion import Options, convert
from hub.dataset.image_summary import AuditedImage
from hub.dataset.stored_dataset import StoredDataset
from hub.merging.merge_datasets import Options as MergeOptions
from hub.merging.merge_datasets import merge
from hub.merging.merge_map import read_merge_map
from tests.conftest import KERMANY, REAL_DATA, REPOSITORY
from train.data.duplicates import find_copies

SETS = {
    "chest-xray-pneumonia": Options(masks=KERMANY / "lung_masks"),
    "covid19-image-dataset": Options(keep_leaks=True),
    "covid19-radiography-database": Options(),
    "covid-qu-ex": Options(),
    "covid-qu-ex/images-without-masks": Options(keep_names=True),
    "dicom/rsna-pneumonia-detection-challenge": Options(),
    "nih-chestxray14": Options(audit=False),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> dict[str, tuple[Path, dict]]:
    """{set: its dataset folder and its audit}."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real radiographs (../shared/data) are not on this machine")
    folder = tmp_path_factory.mktemp("real")
    outputs = {name: folder / name.replace("/", "-") for name in SETS}
    return {name: (out, convert(REAL_DATA / name, out, SETS[name])) for name, out in outputs.items()}


@pytest.fixture(scope="module")
def kermany(converted) -> tuple[StoredDataset, list[AuditedImage]]:
    """chest-xray-pneumonia, and its images read."""
    dataset = StoredDataset(str(converted["chest-xray-pneumonia"][0]))
    return dataset, dataset.images(None)


def shared(folder: Path, other: tuple[StoredDataset, list[AuditedImage]]) -> dict:
    """What a dataset shares with another one."""
    dataset, (other_dataset, other_images) = StoredDataset(str(folder)), other
    return compare(dataset.images(None), other_images, dataset.pixels, other_dataset.pixels)


def test_every_set_comes_out_complete_and_opens(converted):
    images = {name: report["images"] for name, (_, report) in converted.items()}
    assert images == {
        "chest-xray-pneumonia": 5856, "covid19-image-dataset": 317, "covid19-radiography-database": 2400,
        "covid-qu-ex": 12, "covid-qu-ex/images-without-masks": 600, "dicom/rsna-pneumonia-detection-challenge": 11,
        "nih-chestxray14": 401,
    }  # fmt: skip
    for folder, report in converted.values():
        opened = load_dataset(str(folder))
        assert {name: len(split) for name, split in opened.items()} == {
            split: sum(of.values()) for split, of in report["counts"].items()
        }
        first = next(iter(opened.values()))[0]
        assert first["image"].size[0] >= 224
        with (folder / "quarantine.csv").open() as file:
            assert {row["code"] for row in csv.DictReader(file)} <= {"outside_layout", "no_image"}


def test_kermany_splits_patients_and_masks(converted):
    folder, report = converted["chest-xray-pneumonia"]
    counts = report["counts"]
    assert counts["test"] == {"NORMAL": 234, "PNEUMONIA": 390}
    assert {label: counts["train"][label] + counts["validation"][label] for label in counts["test"]} == {
        "NORMAL": 1341 + 8,
        "PNEUMONIA": 3875 + 8,
    }
    assert 500 <= sum(counts["validation"].values()) <= 550
    assert report["patients_across_splits"] == {"train/validation": 0, "train/test": 0, "validation/test": 0}
    assert report["patients"]["unknown_images"] == 0
    assert report["conversion"]["shared_keys"] == 264  # by bare number; no patient by the strict rule
    rows = load_dataset(str(folder))
    assert sum(mask is not None for split in rows.values() for mask in split["lung_mask"]) == 905
    assert Counter(kind for split in rows.values() for kind in split["subtype"]) == {
        "bacteria": 2530 + 8 + 242, "virus": 1345 + 148, "none": 1341 + 8 + 234,
    }  # fmt: skip


def test_kermany_has_32_redundant_exact_copies_within_class_and_split(converted):
    _, report = converted["chest-xray-pneumonia"]
    assert sum(len(group) - 1 for group in report["exact_duplicates"]) == 32
    assert report["near_duplicates"] == report["label_conflicts"] == report["dropped"] == []
    for group in report["exact_duplicates"]:
        assert len({(entry["split"], entry["label"]) for entry in group}) == 1


def test_kermanys_frame_gives_the_class_away_and_the_card_warns(converted):
    folder, report = converted["chest-xray-pneumonia"]
    assert report["shortcuts"]["outer frame"]["auroc"]["PNEUMONIA"] > 0.85
    assert "**Warning.** The outer frame alone" in (folder / "README.md").read_text()


def test_covid19_image_dataset_leaks_by_copies(converted, tmp_path):
    _, report = converted["covid19-image-dataset"]
    across = [g for g in report["exact_duplicates"] + report["near_duplicates"] if len({e["split"] for e in g}) > 1]
    in_test = {e["source"] for group in across for e in group if e["source"].startswith("test/")}
    assert len(in_test) >= 8
    assert all(source.startswith("test/Covid") for source in in_test)
    dropped = convert(REAL_DATA / "covid19-image-dataset", tmp_path / "out")["dropped"]
    copied = {e["source"] for group in across for e in group if e["source"].startswith("train/")}
    assert {entry["source"] for entry in dropped} == copied


def test_most_of_covid19_image_dataset_is_kermanys_test_set_with_more_contrast(converted, kermany):
    found = shared(converted["covid19-image-dataset"][0], kermany)
    copied = Counter(pair["this"]["label"] for pair in found["pairs"])
    assert copied["Normal"] >= 80
    assert copied["Viral Pneumonia"] >= 80
    splits = Counter(pair["other"]["split"] for pair in found["pairs"])
    assert splits["test"] / splits.total() > 0.95
    viral = {
        p["this"]["source"]: p["other"]["source"] for p in found["pairs"] if p["this"]["label"] == "Viral Pneumonia"
    }
    assert sum("bacteria" in source for source in viral.values()) == 30  # as the dataset's known problems say
    assert sum("bacteria" in source for name, source in viral.items() if name.startswith("test/")) == 17
    # A child of Kermany's training set under the label Covid, as looking at the two images confirms.
    covid = [(p["this"]["source"], p["other"]["source"]) for p in found["pairs"] if p["this"]["label"] == "Covid"]
    assert covid == [("train/Covid/COVID-00020.jpg", "train/PNEUMONIA/person1004_virus_1686.jpeg")]


def test_radiography_viral_pneumonia_is_kermanys_training_set(converted, kermany):
    found = shared(converted["covid19-radiography-database"][0], kermany)
    copied = {pair["this"]["source"] for pair in found["pairs"]}
    assert sum(source.startswith("Viral Pneumonia/") for source in copied) == 600
    normal = [int(re.search(r"-(\d+)\.png$", source)[1]) for source in copied if source.startswith("Normal/")]
    assert len(copied) == 600 + len(normal)
    # 1,341 of the full set's 10,192 Normal images are Kermany's, all among the first: here, of 600, about 79.
    assert 70 <= len(normal) <= 90
    assert max(normal) < 1400
    assert {pair["other"]["split"] for pair in found["pairs"]} <= {"train", "validation"}


def test_masks_of_both_kinds_come_with_covid_qu_ex(converted):
    folder, report = converted["covid-qu-ex"]
    assert report["conversion"]["masks"] == {"lung_mask": 12, "infection_mask": 12}
    for row in load_dataset(str(folder))["test"]:
        lit = np.asarray(row["infection_mask"].convert("L")).any()
        assert lit == (row["label"] == 0)


def test_rsna_dicom_files_become_gray_images_without_names(converted):
    folder, _ = converted["dicom/rsna-pneumonia-detection-challenge"]
    rows = [row for split in load_dataset(str(folder)).values() for row in split]
    assert {row["image"].mode for row in rows} == {"L"}
    assert {row["image"].size for row in rows} == {(1024, 1024)}
    assert {row["view"] for row in rows} == {"PA", "AP"}
    assert sorted(row["source"] for row in rows) == [f"{i:06d}" for i in range(1, 12)]


def test_radiologists_boxes_come_with_nih_and_rsna(converted):
    counts = {}
    for name in ("nih-chestxray14", "dicom/rsna-pneumonia-detection-challenge"):
        rows = [row for split in load_dataset(str(converted[name][0])).values() for row in split if row["boxes"]]
        counts[name] = len(rows), sum(len(row["boxes"]) for row in rows)
        boxes = np.array([box for row in rows for box in row["boxes"]])
        assert boxes.min() >= 0 and (boxes[:, :2] + boxes[:, 2:]).max() <= 1 + 1e-6
    assert counts == {"nih-chestxray14": (47, 73), "dicom/rsna-pneumonia-detection-challenge": (3, 6)}


MAP = """
[classes]
NORMAL = "no sign of pneumonia"
PNEUMONIA = "pneumonia"

[sources.chest-xray-pneumonia]

[sources.covid19-radiography-database]
labels = { COVID = false, Lung_Opacity = "PNEUMONIA", Normal = "NORMAL", "Viral Pneumonia" = "PNEUMONIA" }
"""


def test_a_merge_leaves_no_known_copy_on_two_sides(converted, tmp_path):
    names = ["chest-xray-pneumonia", "covid19-radiography-database"]
    (tmp_path / "map.toml").write_text(MAP)
    map_ = read_merge_map(tmp_path / "map.toml", names)
    report = merge([str(converted[name][0]) for name in names], tmp_path / "out", map_, MergeOptions(audit=False))
    kermany, radiography = report["merge"]["sources"]
    # Each of the 600 viral ones and 70 to 90 normal ones is Kermany's. Where it is in test, Kermany's patient goes.
    dropped = Counter(e["source"].split("/")[1] for e in report["dropped"] if e["source"].startswith(names[1]))
    tested = {label: report["origins"][names[1]]["test"][label] for label in ("NORMAL", "PNEUMONIA")}
    assert 530 <= dropped["Viral Pneumonia"] <= 550  # the others are its test split, a tenth
    assert 55 <= dropped["Normal"] <= 90
    assert set(radiography["dropped"]) == {"copy in another source", "patient"}
    assert sum(tested.values()) == 180
    assert set(kermany["dropped"]) == {"near copy", "patient"}
    assert 60 <= sum(n for why, n in kermany["dropped"].items() if why != "patient") <= 80
    out = StoredDataset(str(tmp_path / "out"))
    images = out.images(None)
    copies = find_copies([image.summary.fingerprint for image in images], out.pixels)
    records = [image.record for image in images]
    for i, j in copies.pairs():
        assert (records[i].split, records[i].facts["origin"]) == (records[j].split, records[j].facts["origin"])


def test_the_committed_list_is_what_the_commands_of_the_map_make(tmp_path):
    if not REAL_DATA.is_dir():
        pytest.skip("the real radiographs (../shared/data) are not on this machine")
    for source in (*REAL_DATA.iterdir(), REPOSITORY / "hub"):
        (tmp_path / source.name).symlink_to(source)
    text = (REPOSITORY / "hub" / "merges" / "hospitals.toml").read_text()
    commands = "\n".join(re.findall("^#   (.+)$", text, re.MULTILINE)).replace(" --output", " --no-audit --output")
    script = commands.replace("python -m", f"{sys.executable} -m").replace("> train/studies/images/", "> ")
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    committed = REPOSITORY / "train" / "studies" / "images" / "hospitals.csv"
    assert (tmp_path / "hospitals.csv").read_text() == committed.read_text()
    rows = list(csv.DictReader((tmp_path / "data" / "hospitals" / "images.csv").open()))
    tested = {row["patient"] for row in rows if row["split"] == "test"} - {""}
    assert tested.isdisjoint(row["patient"] for row in rows if row["split"] != "test")
