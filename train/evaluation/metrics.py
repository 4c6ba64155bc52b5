"""Scores and labels -> numbers with 95% intervals.

scikit-learn does the arithmetic of the values, packed as an `evaluate.Metric` that needs no network; the intervals come
from `train.bootstrap`.
"""

import math
from dataclasses import dataclass

import datasets
import evaluate
import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    log_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from train.evaluation.bootstrap import bootstrap
from train.evaluation.calibration import expected_calibration_error


@dataclass(frozen=True)
class BootstrapClusters:
    """What is drawn as a whole when intervals are computed.

    Attributes:
        keys: (N,) one key per image; images with one key belong together.
        name: What a unit is, in words.
    """

    keys: np.ndarray
    name: str

    @classmethod
    def of(cls, patients: list[str | None], copies: list[int] | None = None) -> "BootstrapClusters":
        """Patients; where none is named, groups of copies; where these are unknown too, images.

        Args:
            patients: N patient keys.
            copies: N numbers, equal for images that are copies of each other; None if nobody looked for copies.
        """
        groups = copies or list(range(len(patients)))
        keys = [
            f"patient {patient}" if patient else f"group {group}"
            for patient, group in zip(patients, groups, strict=True)
        ]
        rest = "group of copies" if copies else "image"
        name = "patient" if all(patients) else f"patient, or {rest} where unknown" if any(patients) else rest
        return cls(np.array(keys), name)

    def of_rows(self, rows: np.ndarray) -> "BootstrapClusters":
        """The units of some images."""
        return BootstrapClusters(self.keys[rows], self.name)

    def __len__(self) -> int:
        return len(np.unique(self.keys))


class ChestXrayMetrics(evaluate.Metric):
    """Metrics of one split under one decision rule.

    `compute(references=..., predictions=..., decisions=..., positive=...)` takes labels (N,), probabilities (N, K),
    decided labels (N,) and, for two classes, the index of the positive one. Every class must occur. AUROC, AUPRC
    (average precision), Brier score, NLL (nats) and ECE do not depend on the decisions. The Brier score follows
    scikit-learn: in [0, 1] for two classes, in [0, 2] for more. "class_…" are lists, a value for each class against the
    rest.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Metrics of chest X-ray classifiers.",
            citation="",
            inputs_description="references (N,), predictions: probabilities (N, K), decisions (N,)",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                    "decisions": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions, references, decisions, positive: int | None = None) -> dict:
        labels, decided, probabilities = np.asarray(references), np.asarray(decisions), np.asarray(predictions)
        values = _of_decisions(labels, decided, probabilities.shape[1], positive)
        return values | _of_probabilities(labels, probabilities, positive)


def _of_decisions(labels: np.ndarray, decided: np.ndarray, n_classes: int, positive: int | None) -> dict:
    def averages(average: str | None) -> list:
        return precision_recall_fscore_support(
            labels, decided, labels=range(n_classes), average=average, zero_division=0
        )[:3]

    precision, recall, f1 = averages(None)
    specificity = [np.mean(decided[labels != k] != k) for k in range(n_classes)]
    values = {
        "accuracy": accuracy_score(labels, decided),
        "balanced_accuracy": balanced_accuracy_score(labels, decided),
    }
    if positive is not None:
        values |= {"sensitivity": recall[positive], "specificity": specificity[positive]}
        values |= {"precision": precision[positive], "f1": f1[positive]}
    for average in ("macro", "weighted"):
        values |= dict(
            zip((f"{average}_{name}" for name in ("precision", "recall", "f1")), averages(average), strict=True)
        )
    values |= {"mcc": matthews_corrcoef(labels, decided), "cohen_kappa": cohen_kappa_score(labels, decided)}
    per_class = {"class_precision": precision, "class_recall": recall, "class_specificity": specificity, "class_f1": f1}
    return {name: float(value) for name, value in values.items()} | _lists(per_class)


def _of_probabilities(labels: np.ndarray, probabilities: np.ndarray, positive: int | None) -> dict:
    classes = range(probabilities.shape[1])
    roc = [roc_auc_score(labels == k, probabilities[:, k]) for k in classes]
    pr = [average_precision_score(labels == k, probabilities[:, k]) for k in classes]
    scores, known = (probabilities, classes) if positive is None else (probabilities[:, positive], [False, True])
    values = {
        "auroc": np.mean(roc) if positive is None else roc[positive],
        "auprc": np.mean(pr) if positive is None else pr[positive],
        "brier": brier_score_loss(labels if positive is None else labels == positive, scores, labels=known),
        "nll": log_loss(labels, probabilities, labels=classes),
        "ece": expected_calibration_error(labels, probabilities, positive),
    }
    return {name: float(value) for name, value in values.items()} | _lists({"class_auroc": roc, "class_auprc": pr})


def _lists(values: dict) -> dict[str, list[float]]:
    return {name: [float(value) for value in per_class] for name, per_class in values.items()}


def auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve; for more than two classes the mean of one class against the rest.

    Args:
        labels: (N,) class indices; every class must occur.
        probabilities: (N, K).
    """
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(labels == k, scores) for k, scores in enumerate(probabilities.T)]))


@dataclass(frozen=True)
class Scores:
    """Values with intervals: {"value", "low", "high", "n", "unit"}; n counts the units that were resampled.

    Attributes:
        rules: {rule: {metric: entry}}.
        classes: {rule: {label: {metric: entry}}}, each class against the rest.
    """

    rules: dict[str, dict[str, dict]]
    classes: dict[str, dict[str, dict[str, dict]]]


def evaluate_split(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: dict[str, np.ndarray],
    units: BootstrapClusters,
    names: list[str],
    positive: int | None,
) -> Scores:
    """Values and intervals of a split.

    Args:
        labels: (N,) class indices; every class must occur.
        probabilities: (N, K).
        decisions: {rule: (N,) class indices}.
        units: What is resampled.
        names: K class names.
        positive: Index of the positive class for two classes, else None.
    """
    intervals = bootstrap(labels, probabilities, decisions, units.keys, positive)
    rules: dict[str, dict] = {}
    classes: dict[str, dict] = {}
    for rule, decided in decisions.items():
        found = ChestXrayMetrics().compute(
            references=labels, predictions=probabilities, decisions=decided, positive=positive
        )
        limits = intervals[rule]
        single = {name.removeprefix("class_"): name for name in found if name.startswith("class_")}
        rules[rule] = entries(
            {name: value for name, value in found.items() if not name.startswith("class_")}, limits, units
        )
        classes[rule] = {
            label: entries(
                {short: found[name][k] for short, name in single.items()},
                {short: limits[name][:, k] for short, name in single.items()},
                units,
            )
            for k, label in enumerate(names)
        }
    return Scores(rules, classes)


def entries(values: dict[str, float], limits: dict[str, np.ndarray], units: BootstrapClusters) -> dict[str, dict]:
    """Values with their intervals, as results.json holds them, without those that are not defined."""
    return {
        name: {"value": value, "low": float(limits[name][0]), "high": float(limits[name][1]), "n": len(units)}
        | {"unit": units.name}
        for name, value in values.items()
        if not math.isnan(value) and not np.isnan(limits[name]).any()
    }


def accuracy_and_auroc(
    labels: np.ndarray, probabilities: np.ndarray, decisions: dict[str, np.ndarray], units: BootstrapClusters
) -> dict[str, dict[str, dict]]:
    """Accuracy with its interval, and AUROC where every class occurs, of images that may lack a class.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        decisions: {rule: (N,) class indices}.
        units: What is resampled.

    Returns:
        {rule: {metric: entry}}.
    """
    positive = 1 if probabilities.shape[1] == 2 else None  # accuracy and AUROC are the same for either class
    intervals = bootstrap(labels, probabilities, decisions, units.keys, positive)
    has_all = len(np.unique(labels)) == probabilities.shape[1]
    shared = {"auroc": auroc(labels, probabilities)} if has_all else {}
    return {
        rule: entries({"accuracy": float(np.mean(decided == labels))} | shared, intervals[rule], units)
        for rule, decided in decisions.items()
    }
