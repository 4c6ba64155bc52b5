"""From trained weights to a finished run folder: what is chosen on validation, and what is written."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax

from tests.train.engine.fixtures import CPU
from tests.train.report.fixtures import finish_phantoms
from train.config.recipe_file import load_recipe
from train.evaluation.calibration import fit_temperature
from train.evaluation.finished_model import load_finished
from train.evaluation.inference import predict_logits
from train.evaluation.operating_point import choose_threshold
from train.report.finish import hide_hostname


def test_the_temperature_of_validation_is_folded_into_the_saved_model(finished):
    saved = load_finished(finished.run.folder, CPU)
    own, calibrated = (
        predict_logits(model, finished.pixels["validation"], saved.normalise)
        for model in (finished.network, saved.model)
    )
    temperature = finished.results.calibration.temperature
    assert temperature == pytest.approx(fit_temperature(own, finished.pixels["validation"].labels.numpy()), rel=1e-4)
    assert abs(temperature - 1) > 0.01
    assert calibrated == pytest.approx(own / temperature, abs=1e-4)


def test_the_operating_point_is_chosen_on_calibrated_validation_scores(finished):
    saved = load_finished(finished.run.folder, CPU)
    validation = finished.pixels["validation"]
    scores = softmax(predict_logits(saved.model, validation, saved.normalise), axis=1)[:, 1]
    point = finished.results.operating_point
    assert (point.rule, point.positive_label) == ("youden", "PNEUMONIA")
    threshold = choose_threshold("youden", validation.labels.numpy() == 1, scores)
    assert point.threshold == pytest.approx(threshold, abs=1e-5)
    config = json.loads((finished.run.folder / "config.json").read_text())
    assert config["operating_point"] == {
        "rule": point.rule,
        "positive_label": point.positive_label,
        "threshold": point.threshold,
    }


def test_the_test_split_chooses_nothing(finished, tmp_path):
    other = finish_phantoms(tmp_path / "run", test_seed=5)
    assert other.results.splits["test"] != finished.results.splits["test"]
    assert other.results.splits["validation"] == finished.results.splits["validation"]
    for name in ("model.safetensors", "config.json", "golden.safetensors", "guard.safetensors"):
        assert (other.run.folder / name).read_bytes() == (finished.run.folder / name).read_bytes(), name


def test_the_golden_outputs_are_those_of_the_saved_model(finished):
    golden, saved = load_file(finished.run.folder / "golden.safetensors"), load_finished(finished.run.folder, CPU)
    assert golden["pixels"].dtype == torch.uint8
    with torch.no_grad():
        logits = saved.model(pixel_values=saved.normalise(golden["pixels"])).logits
    assert np.ptp(logits.numpy(), axis=0).min() > 1e-3
    assert torch.allclose(logits, golden["logits"], atol=1e-4)


def test_the_recipe_is_kept_with_the_run(finished):
    assert load_recipe(finished.run.folder / "recipe.toml").training == finished.run.recipe.training


def test_tensorboards_files_lose_the_machines_name(tmp_path):
    for name in ("b/events.out.tfevents.17.laboratory.0", "a/events.out.tfevents.16.laboratory.0", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    hide_hostname(tmp_path)
    left = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "a/events.out.tfevents.0": "a/events.out.tfevents.16.laboratory.0",
        "b/events.out.tfevents.1": "b/events.out.tfevents.17.laboratory.0",
        "notes.txt": "notes.txt",
    }
