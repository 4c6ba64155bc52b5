"""Every metric against scikit-learn, for images as they are and counted several times."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.train.evaluation.fixtures import scored
from train.evaluation.metrics import ALL_METRICS, METRICS, ChestXrayMetrics, ScoredImages, auroc


def expected(images: ScoredImages) -> dict:
    """All metrics by scikit-learn, except ECE, which it does not have."""
    labels, scores, decided, positive = images.labels, images.probabilities, images.decisions["argmax"], images.positive
    classes = range(scores.shape[1])

    def averages(average: str | None) -> tuple:
        return sk.precision_recall_fscore_support(labels, decided, labels=classes, average=average, zero_division=0)[:3]

    precision, recall, f1 = averages(None)
    roc = [sk.roc_auc_score(labels == k, scores[:, k]) for k in classes]
    pr = [sk.average_precision_score(labels == k, scores[:, k]) for k in classes]
    specificity = [sk.recall_score(labels != k, decided != k) for k in classes]
    values = {
        "accuracy": sk.accuracy_score(labels, decided),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
        "mcc": sk.matthews_corrcoef(labels, decided),
        "cohen_kappa": sk.cohen_kappa_score(labels, decided),
        "auroc": np.mean(roc) if positive is None else roc[positive],
        "auprc": np.mean(pr) if positive is None else pr[positive],
        "brier": sk.brier_score_loss(labels, scores, labels=classes)
        if positive is None
        else sk.brier_score_loss(labels == positive, scores[:, positive]),
        "nll": sk.log_loss(labels, scores, labels=classes),
        "class_precision": precision, "class_recall": recall, "class_specificity": specificity, "class_f1": f1,
        "class_auroc": roc, "class_auprc": pr,
    }  # fmt: skip
    for average in ("macro", "weighted"):
        names = (f"{average}_{name}" for name in ("precision", "recall", "f1"))
        values |= dict(zip(names, averages(average), strict=True))
    if positive is not None:
        values |= {"sensitivity": recall[positive], "specificity": specificity[positive]}
        values |= {"precision": precision[positive], "f1": f1[positive]}
    return values


VARIANTS = [(2, 0), (2, 1), (4, None)]


@pytest.mark.parametrize(("classes", "positive"), VARIANTS)
def test_values_are_scikit_learns(classes, positive):
    images = scored(300, classes, positive)
    found, wanted = images.values()["argmax"], expected(images)
    assert set(found) == set(wanted) | {"ece"}
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize(("classes", "positive"), VARIANTS)
def test_a_weight_counts_an_image_so_many_times(classes, positive):
    images = scored(60, classes, positive)
    weights = np.random.default_rng(1).integers(0, 4, (2, 60))
    found = images.measure(weights.astype(float))["argmax"]
    for number, row in enumerate(weights):
        i = np.repeat(np.arange(60), row)
        repeated = ScoredImages(
            images.labels[i], images.probabilities[i], {"argmax": images.decisions["argmax"][i]}, positive
        )
        for name, value in expected(repeated).items():
            assert found[name][number] == pytest.approx(value, abs=1e-12), name


def test_each_rule_has_its_own_decisions_and_the_same_probabilities():
    images = scored(100, 2, 1)
    rules = images.decisions | {"operating_point": np.ones(100, dtype=int)}
    found = ScoredImages(images.labels, images.probabilities, rules, 1).values()
    assert found["operating_point"]["sensitivity"] == 1
    assert found["operating_point"]["specificity"] == 0
    for name in METRICS:
        same = found["argmax"][name] == found["operating_point"][name]
        assert same == METRICS[name].of_probabilities, name


def test_calibration_error_of_a_case_worked_by_hand():
    # Positive class: two images at 0.9 of which one is ill, one at 0.2 that is not: (|1.8 - 1| + |0.2 - 0|) / 3.
    labels, scores = np.array([1, 0, 0]), np.array([0.9, 0.9, 0.2])
    binary = ScoredImages(labels, np.stack([1 - scores, scores], axis=1), {"argmax": labels}, 1)
    assert binary.values(["ece"])["argmax"]["ece"] == pytest.approx(1 / 3)
    # Most likely class of three: right at 0.6, wrong at 0.8: (0.4 + 0.8) / 2.
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    three = ScoredImages(np.array([0, 1]), probabilities, {"argmax": np.array([0, 2])}, None)
    assert three.values(["ece"])["argmax"]["ece"] == pytest.approx(0.6)


def test_what_needs_a_class_that_does_not_occur_is_not_a_number():
    images = ScoredImages(np.ones(4, dtype=int), np.full((4, 2), 0.5), {"argmax": np.array([1, 1, 0, 1])}, 1)
    found = images.values()["argmax"]
    assert found["accuracy"] == found["sensitivity"] == 0.75
    assert all(np.isnan(found[name]) for name in ("specificity", "auroc"))
    assert found["class_recall"] == pytest.approx([np.nan, 0.75], nan_ok=True)


def test_a_confident_mistake_costs_a_finite_number_of_nats():
    images = ScoredImages(np.array([0, 1]), np.eye(2)[[1, 1]], {"argmax": np.array([1, 1])}, 1)
    assert images.values(["nll"])["argmax"]["nll"] == pytest.approx(-np.log(np.finfo(float).eps) / 2)


def test_auroc_of_several_classes_is_the_mean_of_one_against_the_rest():
    three = scored(120, 3)
    by_sklearn = sk.roc_auc_score(three.labels, three.probabilities, multi_class="ovr", average="macro")
    assert auroc(three.labels, three.probabilities) == pytest.approx(by_sklearn)
    two = scored(120, 2)
    assert auroc(two.labels, two.probabilities) == pytest.approx(sk.roc_auc_score(two.labels, two.probabilities[:, 1]))


def test_evaluate_computes_the_same_metrics():
    images = scored(80, 2, 1)
    asked = {"references": images.labels, "predictions": images.probabilities, "positive": 1}
    found = ChestXrayMetrics().compute(**asked, decisions=images.decisions["argmax"])
    assert found == images.values()["argmax"]
    assert set(found) == set(ALL_METRICS)
    some = ChestXrayMetrics().compute(**asked, decisions=images.decisions["argmax"], names=["auroc"])
    assert some == {"auroc": found["auroc"]}
