"""A finished run evaluated anew, and on other datasets, through the command line."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from hub.conversion import Options, convert
from space.results import read_results
from tests.conftest import run_python
from tests.phantoms import write_kaggle_tree
from train.report.model_card import render_card, render_evaluation

FINETUNE = ("-m", "train.finetune", "--evaluate-only")


@pytest.fixture(scope="module")
def masked_dataset(kaggle_folder, tmp_path_factory):
    """The phantoms with a lung mask for every test image."""
    masks = tmp_path_factory.mktemp("masks")
    for path in (kaggle_folder / "chest_xray" / "test").rglob("*.jpeg"):
        target = masks / path.relative_to(kaggle_folder / "chest_xray").with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        width, height = Image.open(path).size
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 4 : 3 * height // 4, width // 5 : 4 * width // 5] = 255
        Image.fromarray(mask).save(target)
    folder = tmp_path_factory.mktemp("datasets") / "masked"
    convert(kaggle_folder, folder, Options(masks=masks))
    return folder


@pytest.fixture(scope="module")
def evaluated(run_folder, masked_dataset, tmp_path_factory):
    """A copy of the tiny run, evaluated anew on the dataset with masks and on other phantoms."""
    folder = tmp_path_factory.mktemp("runs")
    run = folder / "tiny"
    shutil.copytree(run_folder, run)
    tree = write_kaggle_tree(folder / "elsewhere", seed=7)
    for path in sorted((tree / "chest_xray").glob("*/NORMAL")):
        path.rename(path.with_name("healthy"))
    for path in sorted((tree / "chest_xray").glob("*/PNEUMONIA")):
        path.rename(path.with_name("ill"))
    convert(tree / "chest_xray", folder / "others")
    (folder / "map.toml").write_text('healthy = "NORMAL"\nill = "PNEUMONIA"\n')
    others = ["--also", folder / "others", "--also-labels", folder / "map.toml"]
    done = run_python(*FINETUNE, run, "--dataset", masked_dataset, *others, "--with-samples")
    assert done.returncode == 0, done.stderr
    return run, done


def read(run) -> dict:
    return json.loads((run / "results.json").read_text())


def test_the_same_weights_get_the_same_numbers(run_folder, evaluated):
    before, after = read(run_folder), read(evaluated[0])
    for split, rules in before["splits"].items():
        for rule, metrics in rules.items():
            assert after["splits"][split][rule].keys() == metrics.keys()
            for name, found in metrics.items():
                assert after["splits"][split][rule][name] == pytest.approx(found, abs=1e-6), name
    assert after["calibration"]["splits"]["test"]["before"] == pytest.approx(
        before["calibration"]["splits"]["test"]["before"], abs=1e-5
    )
    unchanged = ("recipe", "command", "seed", "train_seconds", "environment", "history", "operating_point")
    assert all(before[name] == after[name] for name in unchanged)
    assert (evaluated[0] / "model.safetensors").read_bytes() == (run_folder / "model.safetensors").read_bytes()
    assert "test, argmax" in evaluated[1].stdout
    assert not list(evaluated[0].parent.glob("tiny.*"))


def test_masks_that_came_later_are_used(run_folder, evaluated):
    before, after = read(run_folder), read(evaluated[0])
    assert before["saliency"]["lung_energy"] is None
    assert set(before["shortcuts"]) == {"frame_only"}
    assert after["saliency"]["lung_energy"]["images"] + after["saliency"]["lung_energy"]["empty"] == 48
    assert set(after["shortcuts"]) == {"frame_only", "lungs_removed", "lung_box_removed", "lungs_only"}
    assert after["shortcuts"]["lungs_removed"]["images"] == 48
    assert (evaluated[0] / "README.md").read_text() == render_card(read_results(evaluated[0] / "results.json"))
    evaluation = (evaluated[0] / "EVALUATION.md").read_text()
    assert evaluation == render_evaluation(read_results(evaluated[0] / "results.json"))
    assert "It does not localise disease" in evaluation
    assert "| a box around the lungs |" in evaluation


def test_an_external_test_reports_the_drop(evaluated):
    results = read(evaluated[0])
    found = results["external"]["others"]
    assert found["labels"] == {"healthy": "NORMAL", "ill": "PNEUMONIA"}
    assert found["images"] > 100
    own = results["splits"]["test"]["argmax"]["auroc"]["value"]
    assert found["drop"]["argmax"]["auroc"] == pytest.approx(own - found["rules"]["argmax"]["auroc"]["value"])
    card = (evaluated[0] / "README.md").read_text()
    assert "external test: `others`" in card
    assert f"{found['rules']['argmax']['auroc']['value']:.3f}" in (evaluated[0] / "EVALUATION.md").read_text()
    assert re.search(r"dataset_split|split: external|external", card.split("---")[1])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--recipe", "best-pneumonia"], "leave out --recipe"),
        (["--also-labels", "map.toml"], "--also"),
    ],
)
def test_contradictions_are_usage_errors(run_folder, dataset_folder, options, expected):
    done = run_python(*FINETUNE, run_folder, "--dataset", dataset_folder, *options)
    assert (done.returncode, expected in done.stderr) == (2, True), done.stderr


def test_a_folder_without_a_run_and_another_dataset_are_refused(run_folder, dataset_folder, evaluated, tmp_path):
    done = run_python(*FINETUNE, tmp_path, "--dataset", dataset_folder)
    assert done.returncode == 2
    assert "no results.json" in done.stderr
    done = run_python(*FINETUNE, run_folder, "--dataset", evaluated[0].parent / "others")
    assert done.returncode == 2
    assert "0 have the same split and label there" in done.stderr


def test_an_external_set_with_training_images_is_refused_with_the_evidence(
    run_folder, dataset_folder, kaggle_folder, tmp_path
):
    tree = write_kaggle_tree(tmp_path / "mixed", seed=9)
    stolen = sorted((kaggle_folder / "chest_xray" / "train" / "NORMAL").glob("*.jpeg"))[0]
    with Image.open(stolen) as image:
        image.save(tree / "chest_xray" / "train" / "NORMAL" / "IM-9999-0001.jpeg", quality=70)
    convert(tree, tmp_path / "mixed-dataset")
    before = (run_folder / "results.json").read_bytes()
    done = run_python(*FINETUNE, run_folder, "--dataset", dataset_folder, "--also", tmp_path / "mixed-dataset")
    assert done.returncode == 2
    assert f"IM-9999-0001.jpeg = train/NORMAL/{stolen.name}" in done.stderr
    assert "1 of its" in done.stderr
    assert (run_folder / "results.json").read_bytes() == before


def test_the_tables_hold_what_results_json_does(evaluated):
    run, results = evaluated[0], read(evaluated[0])
    with (run / "classification_report.csv").open() as file:
        rows = {(row["split"], row["rule"], row["class"], row["metric"]): row for row in csv.DictReader(file)}
    auroc = results["splits"]["test"]["argmax"]["auroc"]
    assert float(rows["test", "argmax", "", "auroc"]["value"]) == pytest.approx(auroc["value"], abs=1e-6)
    assert rows["test", "operating_point", "NORMAL", "recall"]["unit"] == "patient"
    with (run / "confusion_matrix.csv").open() as file:
        table = [row for row in csv.DictReader(file) if (row["split"], row["rule"]) == ("test", "argmax")]
    right = sum(int(row[f"decided:{row['true']}"]) for row in table)
    assert right / 48 == pytest.approx(results["splits"]["test"]["argmax"]["accuracy"]["value"])
    with (run / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(results["history"])


def test_images_of_patients_are_for_publication_only_when_asked_for(run_folder, evaluated):
    assert not (run_folder / "figures" / "mistakes.png").exists()
    for name in ("README.md", "EVALUATION.md"):
        assert "mistakes.png" not in (run_folder / name).read_text()
    assert (evaluated[0] / "figures" / "mistakes.png").is_file()
    assert not (evaluated[0] / "figures" / "local" / "mistakes.png").exists()
    assert "](figures/mistakes.png)" in (evaluated[0] / "EVALUATION.md").read_text()
    assert "figures/mistakes.png come from this dataset" in (evaluated[0] / "README.md").read_text()
