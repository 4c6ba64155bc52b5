"""How a cross-validation splits images, and what it says of them."""

import numpy as np
import pytest

from space.errors import UsageError
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_all
from train.evaluation.metrics import ScoredImages
from train.study.folds import METRICS, make_folds, summarise_repeats

PATIENTS = np.repeat(np.arange(60), 2)
LABELS = np.repeat([0, 1], [80, 40])


def test_every_image_is_tested_once_by_a_network_that_did_not_see_its_patient():
    tested = []
    for fold in make_folds(LABELS, PATIENTS, 5, seed=3):
        parts = [fold.train, fold.validation, fold.test]
        assert sorted(np.concatenate(parts)) == list(range(len(LABELS)))
        patients = [set(PATIENTS[rows]) for rows in parts]
        assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
        assert all(set(LABELS[rows]) == {0, 1} for rows in parts)
        assert len(fold.validation) < len(fold.test) < len(fold.train)
        tested.extend(fold.test)
    assert sorted(tested) == list(range(len(LABELS)))


def test_another_seed_makes_other_folds():
    first, second = (next(make_folds(LABELS, PATIENTS, 5, seed)).test for seed in (0, 1))
    assert set(first) != set(second)


def test_a_class_of_too_few_patients_is_refused():
    with pytest.raises(UsageError, match=r"--folds 5 needs at least 10 patients .* the smallest has 4"):
        next(make_folds(np.repeat([0, 1], [40, 8]), np.arange(48) // 2, 5, seed=0))


def test_metrics_are_the_mean_of_the_repeats_with_an_interval_over_patients():
    random = np.random.default_rng(0)
    answers = [random.dirichlet([1, 1], len(LABELS)) for _ in range(2)]
    units = BootstrapClusters.of([f"p{patient}" for patient in PATIENTS])
    alone = [summarise_repeats(LABELS, [answer], units) for answer in answers]
    images = ScoredImages(LABELS, answers[0], {"argmax": answers[0].argmax(axis=1)}, 1)
    expected = estimate_all(images, units, ["a", "b"]).rules["argmax"]
    both = summarise_repeats(LABELS, answers, units)
    for name in METRICS:
        assert alone[0][name][0] == expected[name]
        estimate, repeats = both[name]
        assert repeats == pytest.approx([summary[name][0].value for summary in alone])
        assert estimate.value == pytest.approx(repeats.mean())
        assert estimate.low < estimate.value < estimate.high
    width = both["accuracy"][0].high - both["accuracy"][0].low
    assert width < alone[0]["accuracy"][0].high - alone[0]["accuracy"][0].low
