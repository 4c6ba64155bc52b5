"""Values with intervals, as results.json holds them."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.train.evaluation.fixtures import scored
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_accuracy_and_auroc, estimate_all, estimate_mean
from train.evaluation.metrics import METRICS, ScoredImages


def test_patients_with_many_images_widen_the_interval():
    labels = np.tile([0, 1], 60)
    wrong = np.repeat(np.random.default_rng(0).random(12) < 0.3, 10)
    probabilities = np.eye(2)[np.where(wrong, 1 - labels, labels)]
    images = ScoredImages(labels, probabilities, {"argmax": probabilities.argmax(axis=1)}, 1)
    by_image, by_patient, by_copies = (
        estimate_accuracy_and_auroc(images, units)["argmax"]["accuracy"]
        for units in (
            BootstrapClusters.of([None] * 120),
            BootstrapClusters.of([f"p{k // 10}" for k in range(120)]),
            BootstrapClusters.of([None] * 120, [k // 10 for k in range(120)]),
        )
    )
    assert by_image.value == by_patient.value
    assert by_patient.high - by_patient.low > 1.5 * (by_image.high - by_image.low)
    assert (by_image.unit, by_image.n) == ("image", 120)
    assert (by_patient.unit, by_patient.n) == ("patient", 12)
    assert (by_copies.unit, by_copies.n) == ("group of copies", 12)
    assert (by_copies.low, by_copies.high) == pytest.approx((by_patient.low, by_patient.high), abs=0.05)


def test_every_metric_of_every_rule_and_class_has_an_interval():
    images = scored(200, 3)
    decisions = images.decisions | {"operating_point": np.roll(images.decisions["argmax"], 1)}
    images = ScoredImages(images.labels, images.probabilities, decisions, None)
    scores = estimate_all(images, BootstrapClusters.of([None] * 200), ["a", "b", "c"])
    for rule, decided in decisions.items():
        assert set(scores.rules[rule]) == {name for name, metric in METRICS.items() if not metric.binary}
        assert scores.rules[rule]["accuracy"].value == np.mean(decided == images.labels)
        of_c = scores.classes[rule]["c"]
        assert of_c["recall"].value == sk.recall_score(images.labels == 2, decided == 2)
        assert of_c["specificity"].value == sk.recall_score(images.labels != 2, decided != 2)
        assert of_c["auroc"].value == pytest.approx(sk.roc_auc_score(images.labels == 2, images.probabilities[:, 2]))
        estimates = [*scores.rules[rule].values(), *of_c.values()]
        # The interval of ECE lies high: the noise of resampling counts as calibration error.
        assert all(one.low <= one.value <= one.high for one in estimates if one != scores.rules[rule]["ece"])


def test_what_is_not_defined_is_left_out():
    images = ScoredImages(np.ones(20, dtype=int), np.full((20, 2), 0.5), {"argmax": np.arange(20) % 2}, 1)
    found = estimate_accuracy_and_auroc(images, BootstrapClusters.of([None] * 20))["argmax"]
    assert set(found) == {"accuracy"}
    assert found["accuracy"].value == 0.5


def test_the_mean_of_values_has_an_interval_over_units():
    values = np.random.default_rng(0).normal(3, 1, 100)
    found = estimate_mean(values, BootstrapClusters.of([None] * 100))
    half = 1.96 * values.std() / 10
    assert found.value == values.mean()
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
