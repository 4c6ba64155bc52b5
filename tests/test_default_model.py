"""The bundled model: it is what its card says it is."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from space.results.results_file import read_results
from tests.conftest import DEFAULT_MODEL
from train.evaluation.finished_model import load_finished
from train.models.graph import check_graph
from train.models.load import load_saved
from train.report.model_card import render_card, render_evaluation


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_MODEL)


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((DEFAULT_MODEL / "results.json").read_text())


def test_it_is_a_small_model_repository_without_images_of_people():
    files = [path for path in DEFAULT_MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * 10**6
    assert {"README.md", "EVALUATION.md", "config.json", "golden.safetensors", "results.json", "recipe.toml"} <= {
        path.name for path in files
    }
    assert not [path for path in files if path.suffix.lower() in {".jpeg", ".jpg", ".dcm", ".bin", ".pt", ".pth"}]


def test_it_reproduces_its_golden_outputs(classifier):
    golden = load_file(DEFAULT_MODEL / "golden.safetensors")
    finished = load_finished(DEFAULT_MODEL, torch.device("cpu"))
    with torch.no_grad():
        logits = finished.model(pixel_values=finished.normalise(golden["pixels"])).logits
    assert torch.allclose(logits, golden["logits"], atol=1e-4)
    assert np.allclose(classifier.graph.run(golden["pixels"].numpy()).logits, golden["logits"], atol=1e-4)


def test_its_graph_is_what_its_weights_give():
    check_graph(DEFAULT_MODEL, *load_saved(DEFAULT_MODEL))


def test_its_card_is_rendered_from_its_results_and_attributes_the_data(results):
    card = (DEFAULT_MODEL / "README.md").read_text()
    evaluation = (DEFAULT_MODEL / "EVALUATION.md").read_text()
    typed = read_results(DEFAULT_MODEL / "results.json")
    assert (card, evaluation) == (render_card(typed), render_evaluation(typed))
    assert "10.17632/rscbjbr9sj.2" in card
    assert "ChestX-ray8" in card
    assert results["command"] in evaluation
    assert results["recipe"]["model"]["image_size"] == 160


def test_its_recorded_numbers_follow_from_its_predictions(results):
    with (DEFAULT_MODEL / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    truth = np.array([row["label"] == "PNEUMONIA" for row in rows])
    scores = np.array([float(row["prob:PNEUMONIA"]) for row in rows])
    recorded = results["splits"]["test"]
    assert len(rows) == results["images"]["test"] == 1166
    assert roc_auc_score(truth, scores) == pytest.approx(recorded["argmax"]["auroc"]["value"], abs=1e-6)
    for rule, threshold in (("argmax", 0.5), ("operating_point", results["operating_point"]["threshold"])):
        decided = scores >= threshold
        assert accuracy_score(truth, decided) == pytest.approx(recorded[rule]["accuracy"]["value"])
        assert balanced_accuracy_score(truth, decided) == pytest.approx(recorded[rule]["balanced_accuracy"]["value"])


def test_on_the_real_test_radiographs_it_reaches_what_its_card_claims(classifier, results, real_kermany):
    files = sorted((real_kermany / "chest_xray" / "test").glob("*/*.jpeg"))
    images = [read_xray(file).image for file in files]
    batches = [classifier.examine(images[start : start + 48]) for start in range(0, len(images), 48)]
    probabilities = np.array([output.probabilities for batch in batches for output in batch])
    scores = probabilities[:, classifier.labels.index("PNEUMONIA")]
    truth = np.array([file.parent.name == "PNEUMONIA" for file in files])
    auroc = roc_auc_score(truth, scores)
    assert len(files) == 624
    recorded = results["subgroups"]["test"]["origin"]["kermany"]["argmax"]["auroc"]["value"]
    assert auroc >= 0.94
    assert auroc == pytest.approx(recorded, abs=1e-3)
