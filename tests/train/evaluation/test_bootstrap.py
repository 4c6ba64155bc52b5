"""Intervals by drawing whole patients, against a slow reference."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.train.evaluation.fixtures import scored
from train.evaluation.bootstrap import RESAMPLES, BootstrapClusters, PairedClusters, percentile_interval

SLOW = {
    "accuracy": lambda labels, scores, decided: sk.accuracy_score(labels, decided),
    "auroc": lambda labels, scores, decided: sk.roc_auc_score(labels, scores[:, 1]),
    "auprc": lambda labels, scores, decided: sk.average_precision_score(labels, scores[:, 1]),
    "f1": lambda labels, scores, decided: sk.f1_score(labels, decided),
    "mcc": lambda labels, scores, decided: sk.matthews_corrcoef(labels, decided),
    "nll": lambda labels, scores, decided: sk.log_loss(labels, scores, labels=[0, 1]),
}


@pytest.mark.parametrize("name", SLOW)
def test_intervals_equal_a_slow_reference_over_patients(name):
    images = scored(80, 2, 1)
    patients = np.repeat(np.arange(20), 4)
    units = BootstrapClusters(patients, "patient")
    values = [images.measure(weights, [name])["argmax"][name] for weights in units.resamples(seed=3)]
    rows = {patient: np.flatnonzero(patients == patient) for patient in range(20)}
    slow = []
    for draw in np.random.default_rng(4).integers(0, 20, (600, 20)):
        i = np.concatenate([rows[patient] for patient in draw])
        slow.append(SLOW[name](images.labels[i], images.probabilities[i], images.decisions["argmax"][i]))
    low, high = np.percentile(slow, [2.5, 97.5])
    assert percentile_interval(values) == pytest.approx([low, high], abs=0.15 * (high - low))


def test_a_resample_draws_whole_units_as_many_as_there_are():
    units = BootstrapClusters.of(["a", "a", "b", "c", "c", "c"])
    weights = np.concatenate(list(units.resamples()))
    assert weights.shape == (RESAMPLES, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert weights[:, 2].mean() == pytest.approx(1, abs=0.1)


def test_resamples_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    units = BootstrapClusters.of([None] * 50)
    whole = np.concatenate(list(units.resamples()))
    monkeypatch.setattr("train.evaluation.bootstrap.MOST_WEIGHTS", 50 * 300)
    parts = list(units.resamples())
    assert len(parts) > 1
    assert np.array_equal(np.concatenate(parts), whole)


def test_an_interval_leaves_out_resamples_that_do_not_define_the_value():
    undefined = np.full(10, np.nan)
    blocks = [np.stack([np.r_[np.arange(9.0), np.nan], undefined], axis=1)]
    assert percentile_interval(blocks) == pytest.approx(np.array([[0.2, np.nan], [7.8, np.nan]]), nan_ok=True)


def test_units_are_patients_then_groups_of_copies_then_images():
    named = {"patient": (["a", "a"], None), "group of copies": ([None, None], [0, 0]), "image": ([None, None], None)}
    for name, (patients, copies) in named.items():
        units = BootstrapClusters.of(patients, copies)
        assert (units.name, len(units)) == (name, 2 if name == "image" else 1)


def test_a_patient_named_like_a_group_is_not_that_group():
    units = BootstrapClusters.of(["1", None, None], [0, 1, 1])
    assert (len(units), units.name) == (2, "patient, or group of copies where unknown")
    assert len(units.of_rows(np.array([1, 2]))) == 1


def test_a_pair_counts_as_often_as_its_two_units_together():
    units = BootstrapClusters.of(["a", "a", "b", "c"])
    pairs = PairedClusters(units, np.array([0, 2, 3]), np.array([2, 3, 1]))
    alone, paired = (np.concatenate(list(some.resamples(5))) for some in (units, pairs))
    assert np.array_equal(paired, alone[:, [0, 2, 3]] * alone[:, [2, 3, 0]])
    assert (len(pairs), pairs.name) == (3, "patient")
