"""A finished model evaluated: what its run folder then holds, and that its files agree."""

import csv
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from space.inference.guard import Guard
from space.results.evaluation_records import ExternalTest
from space.results.results_file import Results, read_results
from space.results.training_records import TrainingRecord
from tests.train.engine.fixtures import CPU
from tests.train.report.fixtures import FinishedRun, make_results
from train.data.origins import LEFT_OUT
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec
from train.evaluation.finished_model import load_finished
from train.evaluation.fit_guard import describe
from train.report.run_folder import EvaluationInputs, evaluate_run

FILES = {
    "README.md", "EVALUATION.md", "results.json", "predictions.csv", "classification_report.csv",
    "confusion_matrix.csv", "history.csv", "guard.safetensors", "figures",
}  # fmt: skip


def evaluate_again(finished: FinishedRun, folder: Path, splits: list[str], publish=False, earlier=None) -> Results:
    """Evaluate the finished model on some of its splits, into another folder."""
    recorded = finished.results
    training = TrainingRecord(**{field.name: getattr(recorded, field.name) for field in fields(TrainingRecord)})
    folded = Calibration(recorded.calibration.temperature, np.zeros(2))
    task = DecisionSpec(recorded.labels, 1, recorded.operating_point, folded)
    left_out = {LEFT_OUT: finished.pixels["test"]} if LEFT_OUT in splits else {}
    pixels = {name: (finished.pixels | left_out)[name] for name in splits}
    data = replace(finished.run.data, splits=finished.run.data.splits | {LEFT_OUT: finished.run.data.splits["test"]})
    inputs = EvaluationInputs(load_finished(finished.run.folder, CPU), task, data, pixels, None, publish)
    folder.mkdir()
    return evaluate_run(folder, replace(training, images=dict.fromkeys(splits, 1)), inputs, earlier)


def checks_of(folder: Path) -> str:
    """What EVALUATION.md says of what the model looks at."""
    text = (folder / "EVALUATION.md").read_text()
    return text[text.index("## What does Grad-CAM look at?") : text.index("## What was it trained on?")]


@pytest.fixture(scope="module")
def untested(finished, tmp_path_factory) -> tuple[Path, Results]:
    """The model evaluated without a test split but on left-out images, after an external test; with public mistakes."""
    folder = tmp_path_factory.mktemp("runs") / "untested"
    splits, earlier = ["train", "validation", LEFT_OUT], Results(**make_results())
    return folder, evaluate_again(finished, folder, splits, publish=True, earlier=earlier)


def test_the_folder_holds_everything_and_results_json_what_was_returned(finished):
    names = {path.name for path in finished.run.folder.iterdir()}
    assert names == FILES | {"config.json", "model.safetensors", "golden.safetensors", "recipe.toml", "onnx"}
    assert read_results(finished.run.folder / "results.json") == finished.results
    figures = {path.name for path in (finished.run.folder / "figures").iterdir()}
    assert figures == {f"{name}.png" for name in finished.results.figures} | {"local"}


def test_the_predictions_give_the_recorded_accuracy_at_both_rules(finished):
    with (finished.run.folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    assert [row["source"] for row in rows] == list(finished.run.data.splits["test"]["source"])
    recorded = finished.results.splits["test"]
    accuracy = np.mean([row["label"] == row["predicted"] for row in rows])
    assert accuracy == pytest.approx(recorded["argmax"]["accuracy"].value)
    threshold = finished.results.operating_point.threshold
    decided = np.mean([(float(row["prob:PNEUMONIA"]) >= threshold) == (row["label"] == "PNEUMONIA") for row in rows])
    assert decided == pytest.approx(recorded["operating_point"]["accuracy"].value)


def test_the_guard_in_the_folder_lets_pass_what_was_recorded(finished):
    saved = load_finished(finished.run.folder, CPU)
    recorded = finished.results.guard
    for split, share in recorded.accepted.items():
        thumbnails, embeddings = describe(saved.model, finished.pixels[split], saved.normalise)
        guard = Guard.load(finished.run.folder / "guard.safetensors", embeddings.shape[1])
        assert guard.threshold == pytest.approx(recorded.threshold)
        assert np.mean(guard.distances(thumbnails, embeddings) <= guard.threshold) == pytest.approx(share, abs=0.011)
    assert set(recorded.accepted) == {"validation", "test"}


def test_without_a_test_split_nothing_is_said_of_one(untested):
    folder, results = untested
    assert set(results.splits) == {"validation", LEFT_OUT}
    assert results.shift == []
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"validation", LEFT_OUT}
    assert not re.search("test (split|image)", checks_of(folder))


def test_what_the_model_looks_at_is_checked_on_validation_where_test_is_not_read(untested, finished):
    folder, results = untested
    assert results.shortcuts["frame_only"].images == len(finished.pixels["validation"])
    assert finished.results.shortcuts["frame_only"].images == len(finished.pixels["test"])
    tests = [(test.method, test.others, test.images + test.empty) for test in results.saliency.deletion]
    assert tests == [("blur", "anywhere", 100), ("fill", "anywhere", 100)]
    assert "On validation, hiding the bright region" in checks_of(folder)


def test_tests_on_other_datasets_are_kept(untested):
    assert untested[1].external["others"] == ExternalTest(**make_results()["external"]["others"])
    assert "external test: `others`" in (untested[0] / "README.md").read_text()


def test_mistakes_are_public_only_where_that_was_asked_for(finished, untested):
    assert (untested[1].samples, finished.results.samples) == (True, False)
    assert (untested[0] / "figures" / "mistakes.png").is_file()
    assert (finished.run.folder / "figures" / "local" / "mistakes.png").is_file()
    assert "](figures/mistakes.png)" in (untested[0] / "EVALUATION.md").read_text()
    assert "mistakes.png" not in (finished.run.folder / "EVALUATION.md").read_text()


def test_the_same_weights_get_the_same_numbers_again(finished, tmp_path):
    again = evaluate_again(finished, tmp_path / "again", ["train", "validation", "test"])
    assert again.splits == finished.results.splits
    assert again.shortcuts == finished.results.shortcuts
    assert (tmp_path / "again" / "predictions.csv").read_text() == (finished.run.folder / "predictions.csv").read_text()
