"""The figures of a run: what is drawn where."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image
from sklearn import metrics as sk

from space.inference.operating_point import OperatingPoint
from space.results.results_file import Results
from tests.train.evaluation.fixtures import predictions, task
from tests.train.report.fixtures import answers, evaluations, make_results
from train.report import figures
from train.report.figures import DrawnSplit, save_figures

HISTORY = Results(**make_results()).history
NAMES = ["learning_curves", "confusion_matrix", "roc", "precision_recall", "reliability", "scores"]


@pytest.fixture
def binary() -> DrawnSplit:
    point = OperatingPoint("youden", "PNEUMONIA", 0.3)
    return DrawnSplit("test", task(point, temperature=2.0), predictions(0))


@pytest.mark.parametrize("classes", [2, 3])
def test_every_figure_is_a_file(tmp_path, classes):
    split = DrawnSplit("validation", evaluations(classes, True)[0], answers(0, classes))
    assert save_figures(tmp_path / "figures", HISTORY, split) == NAMES
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {f"{name}.png" for name in NAMES}
    for path in (tmp_path / "figures").iterdir():
        with Image.open(path) as image:
            assert image.width >= 500
            assert len(np.unique(np.asarray(image))) > 10


def test_learning_curves_show_the_corrupted_copy_where_there_was_one():
    def labels(history):
        return [line.get_label() for axes in figures._learning_curves(history).axes for line in axes.get_lines()]

    assert labels(HISTORY) == ["train loss", "validation loss", "validation auroc", "corrupted auroc"]
    assert labels([replace(row, corrupted_auroc=None) for row in HISTORY])[2:] == ["validation auroc"]


def test_learning_curves_show_every_origin():
    history = [replace(row, origin_auroc={"a": 0.7, "b": 0.8}) for row in HISTORY]
    lines = figures._learning_curves(history).axes[1].get_lines()
    assert {line.get_label(): set(line.get_ydata()) for line in lines[2:]} == {
        "validation, a": {0.7},
        "validation, b": {0.8},
    }


def test_the_confusion_matrix_has_counts_and_shares_of_the_rule_in_use(binary):
    (axes,) = figures._confusion(binary).axes
    called = binary.answers.probabilities[:, 1] >= 0.3
    counts = sk.confusion_matrix(binary.answers.truth, called)
    shares = counts / counts.sum(axis=1, keepdims=True)
    wanted = {(c, r): f"{counts[r, c]}\n{shares[r, c]:.0%}" for r in range(2) for c in range(2)}
    assert {text.get_position(): text.get_text() for text in axes.texts} == wanted
    dark = {text.get_position() for text in axes.texts if to_rgba(text.get_color()) == to_rgba("white")}
    assert dark == {(c, r) for r in range(2) for c in range(2) if shares[r, c] > 0.5}
    assert axes.get_title() == "test, 200 images, at the operating point; % of each row"


def test_the_point_in_use_lies_on_both_curves(binary):
    truth, called = binary.answers.truth, binary.answers.probabilities[:, 1] >= 0.3
    sensitivity, precision = sk.recall_score(truth, called), sk.precision_score(truth, called)
    specificity = sk.recall_score(truth, called, pos_label=0)
    for figure, place in (
        (figures._roc(binary), (1 - specificity, sensitivity)),
        (figures._precision_recall(binary), (sensitivity, precision)),
    ):
        marks = {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}
        assert marks["operating point (0.300)"] == pytest.approx(np.array([place]))
        (curve,) = [points for name, points in marks.items() if name.startswith("PNEUMONIA")]
        assert np.abs(curve - place).max(axis=1).min() < 1e-9
    by_argmax = figures._roc(replace(binary, task=task()))
    assert "argmax (0.500)" in [line.get_label() for line in by_argmax.axes[0].get_lines()]


def test_with_three_classes_each_has_its_curve_and_no_point():
    split = DrawnSplit("test", evaluations(3, True)[0], answers(1, 3))
    names = [line.get_label() for line in figures._roc(split).axes[0].get_lines()]
    assert [name.split(" ")[0] for name in names if not name.startswith("_")] == split.task.labels
    assert len(figures._scores(split).axes) == 3


def test_reliability_compares_the_network_with_the_finished_model(binary):
    lines = figures._reliability(binary).axes[0].get_lines()
    before, after = (line.get_xydata() for line in lines if not line.get_label().startswith("_"))
    assert np.ptp(before[:, 0]) > np.ptp(after[:, 0])  # a temperature of 2 draws probabilities together
    assert ((after >= 0) & (after <= 1)).all()
