import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from space.classifier import decide
from train.calibration import fit_temperature, fold_temperature, negative_log_likelihood
from train.metrics import ChestXrayMetrics, auroc, bootstrap, evaluate_split, youden_threshold

random = np.random.default_rng(0)


def sample(n: int, classes: int, sharpness: float = 1.5):
    labels = random.integers(0, classes, n)
    logits = random.normal(0, 1, (n, classes)) + sharpness * np.eye(classes)[labels]
    return labels, np.round(softmax(logits, axis=1), 2)  # rounded, so that there are ties


@pytest.mark.parametrize("classes", [2, 4])
def test_the_bootstrap_of_one_resample_of_everything_is_scikit_learns_value(classes, monkeypatch):
    labels, probabilities = sample(300, classes)
    decisions = probabilities.argmax(axis=1)
    positive = 1 if classes == 2 else None
    values = ChestXrayMetrics().compute(
        references=labels, predictions=probabilities, decisions=decisions, positive=positive
    )
    from train.metrics import _weighted_metrics

    found = _weighted_metrics(labels, probabilities, decisions, np.ones((1, 300)), positive)
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name


def test_values_are_scikit_learns_own():
    labels, probabilities = sample(200, 2)
    decisions = probabilities.argmax(axis=1)
    values = ChestXrayMetrics().compute(references=labels, predictions=probabilities, decisions=decisions, positive=1)
    assert values["sensitivity"] == sk.recall_score(labels, decisions)
    assert values["specificity"] == sk.recall_score(labels, decisions, pos_label=0)
    assert values["auroc"] == sk.roc_auc_score(labels, probabilities[:, 1])
    assert values["balanced_accuracy"] == sk.balanced_accuracy_score(labels, decisions)


def test_intervals_equal_a_slow_reference_over_patients():
    labels, probabilities = sample(80, 2)
    patients = np.repeat(np.arange(20), 4)
    decisions = probabilities.argmax(axis=1)
    fast = bootstrap(labels, probabilities, decisions, patients, positive=1, seed=3)
    rows = {patient: np.flatnonzero(patients == patient) for patient in range(20)}
    draws = np.random.default_rng(4).integers(0, 20, (4000, 20))
    resampled = [np.concatenate([rows[patient] for patient in draw]) for draw in draws]
    for name, metric in (
        ("accuracy", lambda i: sk.accuracy_score(labels[i], decisions[i])),
        ("auroc", lambda i: sk.roc_auc_score(labels[i], probabilities[i, 1])),
    ):
        slow = np.percentile([metric(i) for i in resampled], [2.5, 97.5])
        assert fast[name] == pytest.approx(slow, abs=0.02)


def test_patients_with_many_pictures_widen_the_interval():
    labels = np.tile([0, 1], 60)
    wrong = np.repeat(random.random(12) < 0.3, 10)
    probabilities = np.eye(2)[np.where(wrong, 1 - labels, labels)]
    decisions = probabilities.argmax(axis=1)
    by_image = evaluate_split(labels, probabilities, decisions, [None] * 120, positive=1)["accuracy"]
    patients = [f"p{k // 10}" for k in range(120)]
    by_patient = evaluate_split(labels, probabilities, decisions, patients, positive=1)["accuracy"]
    assert by_image["value"] == by_patient["value"]
    assert by_patient["high"] - by_patient["low"] > 1.5 * (by_image["high"] - by_image["low"])
    assert (by_image["unit"], by_image["n"]) == ("image", 120)
    assert (by_patient["unit"], by_patient["n"]) == ("patient", 12)


def test_auroc_of_several_classes_is_the_mean_of_one_against_the_rest():
    labels, probabilities = sample(120, 3)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert auroc(labels, probabilities) == pytest.approx(expected)


def test_youden_threshold_maximises_sensitivity_plus_specificity():
    labels, probabilities = sample(200, 2)
    scores = probabilities[:, 1]
    threshold = youden_threshold(labels == 1, scores)

    def youden(t):
        return (scores >= t)[labels == 1].mean() + (scores < t)[labels == 0].mean()

    assert youden(threshold) == pytest.approx(max(youden(t) for t in np.linspace(0, 1, 501)))
    assert youden_threshold(np.array([False, False, True]), np.array([0.1, 0.2, 0.8])) == pytest.approx(0.5)


def test_decisions_follow_the_operating_point_or_argmax():
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6], [0.8, 0.2]])
    point = {"rule": "youden", "positive_label": "b", "threshold": 0.3}
    assert decide(probabilities, None, ["a", "b"]).tolist() == [0, 1, 0]
    assert decide(probabilities, point, ["a", "b"]).tolist() == [1, 1, 0]


def test_the_temperature_undoes_overconfidence_and_folds_into_the_layer():
    import torch

    labels = random.integers(0, 2, 4000)
    honest = random.normal(0, 2, 4000)
    labels = (random.random(4000) < 1 / (1 + np.exp(-honest))).astype(int)
    logits = 3.0 * np.stack([np.zeros(4000), honest], axis=1)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(3.0, rel=0.1)
    assert negative_log_likelihood(logits / temperature, labels) < negative_log_likelihood(logits, labels)
    layer, inputs = torch.nn.Linear(5, 2), torch.randn(3, 5)
    before = layer(inputs)
    fold_temperature(layer, 2.5)
    assert torch.allclose(layer(inputs), before / 2.5, atol=1e-6)


def test_a_validation_split_without_errors_sharpens_nothing():
    labels = np.array([0, 1] * 20)
    logits = 3.0 * np.eye(2)[labels]
    assert fit_temperature(logits, labels) == 1.0
