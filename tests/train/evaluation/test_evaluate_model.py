"""Evaluation of a finished model: subgroups, calibration, and what does not hold on test."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from space.inference.operating_point import OperatingPoint
from tests.train.evaluation.fixtures import LABELS, predictions, task
from train.evaluation.evaluate_model import evaluate


def test_subgroups_are_judged_alone_and_small_ones_left_out():
    subtype = [None if i % 2 == 0 else "virus" if i % 4 == 1 else "bacteria" for i in range(200)]
    view = ["AP" if i < 195 else "PA" for i in range(200)]
    split = predictions(0, columns={"subtype": subtype, "view": view})
    found = evaluate(task(), {"test": split}).subgroups["test"]
    assert set(found) == {"subtype", "view"}
    assert set(found["view"]) == {"AP"}
    virus = np.array([value == "virus" for value in subtype])
    decided = split.probabilities.argmax(axis=1)
    assert found["subtype"]["virus"].argmax["accuracy"].value == np.mean(decided[virus] == 1)
    assert found["subtype"]["virus"].labels == {"NORMAL": 0, "PNEUMONIA": 50}
    assert found["subtype"]["virus"].against == ["NORMAL"]
    rows = virus | (split.truth == 0)
    against_normal = sk.roc_auc_score(split.truth[rows], split.probabilities[rows, 1])
    assert found["subtype"]["virus"].argmax["auroc"].value == pytest.approx(against_normal, abs=1e-12)
    everyone = found["view"]["AP"].argmax["auroc"]
    assert everyone.value == pytest.approx(sk.roc_auc_score(split.truth[:195], split.probabilities[:195, 1]), abs=1e-12)
    assert everyone.low < everyone.value < everyone.high


def test_a_subgroup_has_sensitivity_and_specificity_by_every_rule_with_intervals():
    origin = ["a" if i < 120 else "b" for i in range(200)]
    point = OperatingPoint("youden", "PNEUMONIA", 0.2)
    split = predictions(4, columns={"origin": origin})
    of_b = evaluate(task(point), {"test": split}).subgroups["test"]["origin"]["b"]
    truth, scores = split.truth[120:], split.probabilities[120:, 1]
    for rule, threshold in ((of_b.argmax, 0.5), (of_b.operating_point, 0.2)):
        assert set(rule) == {"auroc", "accuracy", "sensitivity", "specificity"}
        assert rule["sensitivity"].value == np.mean(scores[truth == 1] >= threshold)
        assert rule["specificity"].value == np.mean(scores[truth == 0] < threshold)
        assert rule["specificity"].low < rule["specificity"].value < rule["specificity"].high
        assert (rule["specificity"].n, rule["specificity"].unit) == (40, "patient")


def test_a_subgroup_that_is_a_class_is_left_out():
    subtype = ["none" if i % 2 == 0 else "virus" for i in range(200)]
    assert not evaluate(task(), {"test": predictions(0, columns={"subtype": subtype})}).subgroups


def test_confusion_counts_every_rule():
    point = OperatingPoint("youden", "PNEUMONIA", 0.2)
    split = predictions(0)
    found = evaluate(task(point), {"test": split}).confusion["test"]
    called = split.probabilities[:, 1] >= 0.2
    assert found["operating_point"] == sk.confusion_matrix(split.truth, called).tolist()
    assert found["argmax"] == sk.confusion_matrix(split.truth, split.probabilities.argmax(axis=1)).tolist()


def test_calibration_is_told_before_and_after_with_prevalence():
    split = predictions(1)
    found = evaluate(task(temperature=2.0), {"validation": split}).calibration
    validation = found.splits["validation"]
    assert found.temperature == 2.0
    assert validation.before.nll == pytest.approx(sk.log_loss(split.truth, softmax(split.logits * 2, axis=1)))
    assert validation.after.brier == pytest.approx(sk.brier_score_loss(split.truth, split.probabilities[:, 1]))
    bins = validation.bins
    assert (len(bins), sum(n for n, _ in bins)) == (15, len(split.truth))
    last = split.probabilities[:, 1] >= 14 / 15
    assert bins[-1] == (last.sum(), split.truth[last].sum())
    mean = validation.mean_probability
    assert mean == pytest.approx(dict(zip(LABELS, split.probabilities.mean(axis=0), strict=True)))
    assert validation.prevalence == {"NORMAL": 0.5, "PNEUMONIA": 0.5}


def test_a_threshold_that_does_not_hold_on_test_is_named():
    point = OperatingPoint("youden", "PNEUMONIA", 0.5)
    same = evaluate(task(point), {"validation": predictions(2), "test": predictions(3)})
    moved = evaluate(task(point), {"validation": predictions(2), "test": predictions(3, shift=2.0)})
    assert same.shift == []
    named = {change.metric: change for change in moved.shift}
    assert named["specificity"].rule == "operating_point"
    assert named["specificity"].worse
    assert named["specificity"].test < named["specificity"].validation
    assert named["specificity"].test == moved.splits["test"]["operating_point"]["specificity"].value
