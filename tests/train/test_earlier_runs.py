"""A run folder that 5c919f0 wrote (the tiny recipe on these phantoms) opens as it did then."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import call
from tests.train.engine.fixtures import finetune
from train import predict
from train.config.recipe_file import load_recipe
from train.models.factory import build

EARLIER = Path(__file__).parent / "run_of_5c919f0"


@pytest.fixture
def run(tmp_path) -> Path:
    return shutil.copytree(EARLIER, tmp_path / "run")


def test_it_is_evaluated_again_with_the_same_numbers(run, dataset_folder):
    done = finetune("--evaluate-only", run, "--dataset", dataset_folder)
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((folder / "results.json").read_text()) for folder in (EARLIER, run))
    assert after["splits"].keys() == before["splits"].keys()
    for split, rules in before["splits"].items():
        for rule, metrics in rules.items():
            for name, estimate in metrics.items():
                assert after["splits"][split][rule][name] == pytest.approx(estimate, abs=1e-4), name
    assert after["recipe_sha256"] == before["recipe_sha256"]
    assert (run / "model.safetensors").read_bytes() == (EARLIER / "model.safetensors").read_bytes()
    assert "not a medical device" in (run / "README.md").read_text()


def test_its_weights_are_a_start(run):
    recipe = load_recipe(run / "recipe.toml")
    model, _ = build(recipe.model, ["NORMAL", "PNEUMONIA"], init=str(run))
    weights = load_file(EARLIER / "model.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items() if name in weights)
    assert len(weights) > 50


def test_it_predicts_what_it_predicted(run, dataset_folder, tmp_path):
    done = call(predict.main, run, dataset_folder, "--output", tmp_path / "now.csv")
    assert done.returncode == 0, done.stderr
    earlier, now = (
        {row["source"]: float(row["prob:PNEUMONIA"]) for row in csv.DictReader(path.open()) if row["split"] == "test"}
        for path in (EARLIER / "predictions.csv", tmp_path / "now.csv")
    )
    assert len(earlier) == 48
    assert now == pytest.approx(earlier, abs=1e-4)
