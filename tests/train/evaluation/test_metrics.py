import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from train.evaluation.bootstrap import bootstrap, decision_metrics, probability_metrics
from train.evaluation.calibration import (
    expected_calibration_error,
    fit_calibration,
    fit_temperature,
    negative_log_likelihood,
)
from train.evaluation.metrics import BootstrapClusters, ChestXrayMetrics, auroc, evaluate_split
from train.evaluation.operating_point import choose_threshold

random = np.random.default_rng(0)


def sample(n: int, classes: int, sharpness: float = 1.5):
    labels = random.integers(0, classes, n)
    logits = random.normal(0, 1, (n, classes)) + sharpness * np.eye(classes)[labels]
    rounded = np.maximum(np.round(softmax(logits, axis=1), 1), 0.05)  # so that there are ties
    return labels, rounded / rounded.sum(axis=1, keepdims=True)


def compute(labels, probabilities, decisions, positive):
    return ChestXrayMetrics().compute(
        references=labels, predictions=probabilities, decisions=decisions, positive=positive
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_a_resample_of_everything_has_scikit_learns_values(classes):
    labels, probabilities = sample(300, classes)
    decisions = probabilities.argmax(axis=1)
    positive = 1 if classes == 2 else None
    values, once = compute(labels, probabilities, decisions, positive), np.ones((1, 300))
    found = decision_metrics(labels, decisions, once, classes, positive)
    found |= probability_metrics(labels, probabilities, once, positive)
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name


def test_weights_count_images():
    labels, probabilities = sample(60, 3)
    decisions, weights = probabilities.argmax(axis=1), random.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    values = compute(labels[rows], probabilities[rows], decisions[rows], None)
    found = decision_metrics(labels, decisions, weights[None].astype(float), 3, None)
    found |= probability_metrics(labels, probabilities, weights[None].astype(float), None)
    for name, value in values.items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name


def test_values_are_what_they_are_called():
    labels, probabilities = sample(200, 2)
    decisions = probabilities.argmax(axis=1)
    values = compute(labels, probabilities, decisions, 0)
    assert values["sensitivity"] == sk.recall_score(labels, decisions, pos_label=0)
    assert values["specificity"] == sk.recall_score(labels, decisions, pos_label=1) == values["class_specificity"][0]
    assert values["auroc"] == sk.roc_auc_score(labels == 0, probabilities[:, 0])
    assert values["auprc"] == sk.average_precision_score(labels == 0, probabilities[:, 0])
    assert values["brier"] == pytest.approx(np.mean((probabilities[:, 1] - labels) ** 2))
    assert values["nll"] == pytest.approx(-np.log(probabilities[np.arange(200), labels]).mean())
    assert values["weighted_recall"] == pytest.approx(values["accuracy"])


def test_calibration_error_of_a_case_worked_by_hand():
    # Positive class: two images at 0.9 of which one is ill, one at 0.2 that is not: (|1.8 - 1| + |0.2 - 0|) / 3.
    labels, scores = np.array([1, 0, 0]), np.array([0.9, 0.9, 0.2])
    probabilities = np.stack([1 - scores, scores], axis=1)
    assert compute(labels, probabilities, labels, 1)["ece"] == pytest.approx(1 / 3)
    # Most likely class of three: right at 0.6, wrong at 0.8: (0.4 + 0.8) / 2.
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    assert expected_calibration_error(np.array([0, 1]), probabilities, None) == pytest.approx(0.6)


@pytest.mark.parametrize("name", ["accuracy", "auroc", "auprc", "f1", "mcc", "nll", "ece"])
def test_intervals_equal_a_slow_reference_over_patients(name):
    labels, probabilities = sample(80, 2)
    patients = np.repeat(np.arange(20), 4)
    decisions = probabilities.argmax(axis=1)
    fast = bootstrap(labels, probabilities, {"argmax": decisions}, patients, positive=1, seed=3)["argmax"][name]
    rows = {patient: np.flatnonzero(patients == patient) for patient in range(20)}
    slow = []
    for draw in np.random.default_rng(4).integers(0, 20, (600, 20)):
        i = np.concatenate([rows[patient] for patient in draw])
        slow.append(
            {
                "accuracy": lambda i: sk.accuracy_score(labels[i], decisions[i]),
                "auroc": lambda i: sk.roc_auc_score(labels[i], probabilities[i, 1]),
                "auprc": lambda i: sk.average_precision_score(labels[i], probabilities[i, 1]),
                "f1": lambda i: sk.f1_score(labels[i], decisions[i]),
                "mcc": lambda i: sk.matthews_corrcoef(labels[i], decisions[i]),
                "nll": lambda i: sk.log_loss(labels[i], probabilities[i], labels=[0, 1]),
                "ece": lambda i: expected_calibration_error(labels[i], probabilities[i], 1),
            }[name](i)
        )
    low, high = np.percentile(slow, [2.5, 97.5])
    assert fast == pytest.approx([low, high], abs=0.15 * (high - low))


def test_resamples_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    labels, probabilities = sample(50, 2)
    arguments = (labels, probabilities, {"argmax": probabilities.argmax(axis=1)}, np.arange(50), 1)
    whole = bootstrap(*arguments)
    monkeypatch.setattr("train.evaluation.bootstrap.MOST_WEIGHTS", 50 * 300)
    parts = bootstrap(*arguments)
    assert all(np.array_equal(parts["argmax"][name], limits) for name, limits in whole["argmax"].items())


def test_patients_with_many_images_widen_the_interval():
    labels = np.tile([0, 1], 60)
    wrong = np.repeat(random.random(12) < 0.3, 10)
    probabilities = np.eye(2)[np.where(wrong, 1 - labels, labels)]
    decisions = {"argmax": probabilities.argmax(axis=1)}

    def accuracy(units):
        return evaluate_split(labels, probabilities, decisions, units, ["a", "b"], 1).rules["argmax"]["accuracy"]

    by_image = accuracy(BootstrapClusters.of([None] * 120))
    by_patient = accuracy(BootstrapClusters.of([f"p{k // 10}" for k in range(120)]))
    by_copies = accuracy(BootstrapClusters.of([None] * 120, [k // 10 for k in range(120)]))
    assert by_image["value"] == by_patient["value"]
    assert by_patient["high"] - by_patient["low"] > 1.5 * (by_image["high"] - by_image["low"])
    assert (by_image["unit"], by_image["n"]) == ("image", 120)
    assert (by_patient["unit"], by_patient["n"]) == ("patient", 12)
    assert (by_copies["unit"], by_copies["n"]) == ("group of copies", 12)
    assert (by_copies["low"], by_copies["high"]) == pytest.approx((by_patient["low"], by_patient["high"]), abs=0.05)


def test_a_patient_named_like_a_group_is_not_that_group():
    assert len(BootstrapClusters.of(["1", None, None], [0, 1, 1])) == 2
    assert BootstrapClusters.of(["1", None, None], [0, 1, 1]).name == "patient, or group of copies where unknown"


def test_single_classes_are_judged_against_the_rest():
    labels, probabilities = sample(200, 3)
    decisions = probabilities.argmax(axis=1)
    scores = evaluate_split(
        labels, probabilities, {"argmax": decisions}, BootstrapClusters.of([None] * 200), ["a", "b", "c"], None
    )
    found = scores.classes["argmax"]["c"]
    assert found["recall"]["value"] == sk.recall_score(labels == 2, decisions == 2)
    assert found["specificity"]["value"] == sk.recall_score(labels == 2, decisions == 2, pos_label=False)
    assert found["auroc"]["value"] == sk.roc_auc_score(labels == 2, probabilities[:, 2])
    assert all(one["low"] <= one["value"] <= one["high"] for one in found.values())


def test_auroc_of_several_classes_is_the_mean_of_one_against_the_rest():
    labels, probabilities = sample(120, 3)
    expected = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert auroc(labels, probabilities) == pytest.approx(expected)


def test_youden_threshold_maximises_sensitivity_plus_specificity():
    labels, probabilities = sample(200, 2)
    scores = probabilities[:, 1]
    threshold = choose_threshold("youden", labels == 1, scores)

    def youden(t):
        return (scores >= t)[labels == 1].mean() + (scores < t)[labels == 0].mean()

    assert youden(threshold) == pytest.approx(max(youden(t) for t in np.linspace(0, 1, 501)))
    assert choose_threshold("youden", np.array([False, False, True]), np.array([0.1, 0.2, 0.8])) == pytest.approx(0.5)


@pytest.mark.parametrize("least", [0.8, 0.95, 1.0])
def test_a_sensitivity_is_reached_and_no_specificity_is_given_away(least):
    labels, probabilities = sample(300, 2)
    scores = probabilities[:, 1]
    threshold = choose_threshold(f"sensitivity>={least}", labels == 1, scores)
    assert (scores[labels == 1] >= threshold).mean() >= least
    higher = min(score for score in scores if score >= threshold)
    assert (scores[labels == 1] > higher).mean() < least


def drawn_from(honest: np.ndarray) -> np.ndarray:
    """Labels that are 1 with the probability of these log-odds."""
    return (random.random(len(honest)) < 1 / (1 + np.exp(-honest))).astype(int)


def test_the_temperature_undoes_overconfidence_and_folds_into_the_layer():
    import torch

    honest = random.normal(0, 2, 4000)
    labels = drawn_from(honest)
    logits = 3.0 * np.stack([np.zeros(4000), honest], axis=1)
    found = fit_calibration("temperature", logits, labels)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert not found.biases.any()
    assert negative_log_likelihood(logits / found.temperature, labels) < negative_log_likelihood(logits, labels)
    layer, inputs = torch.nn.Linear(5, 2), torch.randn(3, 5)
    before = layer(inputs)
    found.fold(layer)
    assert torch.allclose(layer(inputs), before / found.temperature, atol=1e-6)
    assert np.allclose(found.undo(layer(inputs).detach().numpy()), before.detach().numpy(), atol=1e-5)


def test_biases_are_fitted_when_asked_for_and_fold_too():
    import torch

    honest = random.normal(0, 2, 4000)
    labels = drawn_from(honest)
    logits = 2.0 * np.stack([np.zeros(4000), honest - 1.5], axis=1)
    found = fit_calibration("temperature-and-bias", logits, labels)
    assert found.temperature == pytest.approx(2.0, rel=0.15)
    assert found.biases[1] - found.biases[0] == pytest.approx(1.5, abs=0.3)
    layer, inputs = torch.nn.Linear(5, 2), torch.randn(3, 5)
    before = layer(inputs)
    found.fold(layer)
    expected = before / found.temperature + torch.from_numpy(found.biases).float()
    assert torch.allclose(layer(inputs), expected, atol=1e-5)
    assert np.allclose(found.undo(layer(inputs).detach().numpy()), before.detach().numpy(), atol=1e-4)


def test_no_calibration_changes_nothing():
    found = fit_calibration("none", np.array([[3.0, 0.0], [0.0, 3.0]]), np.array([1, 1]))
    assert (found.temperature, found.biases.tolist()) == (1.0, [0.0, 0.0])


def test_a_validation_split_without_errors_sharpens_nothing():
    labels = np.array([0, 1] * 20)
    logits = 3.0 * np.eye(2)[labels]
    assert fit_temperature(logits, labels) == 1.0
