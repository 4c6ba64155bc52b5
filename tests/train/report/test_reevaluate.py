"""A finished run evaluated again, and on other datasets."""

import io
import json
import re
import shutil
from argparse import Namespace
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hub.conversion import Options, convert
from space.errors import UsageError
from space.results.results_file import read_results
from train.report.model_card import render_card, render_evaluation
from train.report.reevaluate import reevaluate


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


def again(run: Path, dataset: Path, **options) -> str:
    """Evaluate a run again; returns what is printed."""
    asked = {"also": None, "also_labels": None, "also_drop_copies": False, "with_samples": False} | options
    with redirect_stdout(io.StringIO()) as printed:
        reevaluate(Namespace(evaluate_only=run, dataset=str(dataset), **asked))
    return printed.getvalue()


@pytest.fixture(scope="module")
def evaluated(run_folder, masked_dataset, others, tmp_path_factory) -> tuple[Path, str]:
    """A copy of the tiny run, evaluated again on the dataset with masks and on other phantoms; and what was printed."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(run_folder, folder / "tiny")
    labels = folder / "map.toml"
    labels.write_text('healthy = "NORMAL"\nill = "PNEUMONIA"\n')
    options = {"also": str(others), "also_labels": labels, "with_samples": True}
    return folder / "tiny", again(folder / "tiny", masked_dataset, **options)


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
    assert "test, argmax" in evaluated[1]
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


def test_another_dataset_and_copies_of_training_images_are_refused_and_nothing_changes(
    run_folder, dataset_folder, others
):
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="0 have the same split and label"):
        again(run_folder, others)
    with pytest.raises(
        UsageError, match=r"is not an external test set: .* copies of images in the model's own dataset"
    ):
        again(run_folder, dataset_folder, also=str(dataset_folder))
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before
    assert not list(run_folder.parent.glob(f"{run_folder.name}.*"))


def test_images_of_patients_are_for_publication_only_when_asked_for(run_folder, evaluated):
    assert not (run_folder / "figures" / "mistakes.png").exists()
    for name in ("README.md", "EVALUATION.md"):
        assert "mistakes.png" not in (run_folder / name).read_text()
    assert (evaluated[0] / "figures" / "mistakes.png").is_file()
    assert not (evaluated[0] / "figures" / "local" / "mistakes.png").exists()
    assert "](figures/mistakes.png)" in (evaluated[0] / "EVALUATION.md").read_text()
    assert "figures/mistakes.png come from this dataset" in (evaluated[0] / "README.md").read_text()
