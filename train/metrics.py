"""Scores and labels -> numbers with 95% intervals.

scikit-learn does the arithmetic of the values, packed as an `evaluate.Metric` that needs no network; the intervals
come from a bootstrap over patients, computed for all resamples at once.
"""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

RESAMPLES = 2000


class ChestXrayMetrics(evaluate.Metric):
    """Metrics of one split under one decision rule.

    `compute(references=..., predictions=..., decisions=..., positive=...)` takes labels (N,), probabilities (N, K),
    decided labels (N,) and, for two classes, the index of the positive one. AUROC does not depend on the decisions.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, balanced accuracy, sensitivity, specificity, precision, F1 and AUROC.",
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

    def _compute(self, predictions, references, decisions, positive: int | None = None) -> dict[str, float]:
        labels, decided = np.asarray(references), np.asarray(decisions)
        n_classes = len(predictions[0])
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, decided, labels=range(n_classes), zero_division=0
        )
        values = {
            "accuracy": accuracy_score(labels, decided),
            "balanced_accuracy": balanced_accuracy_score(labels, decided),
            "auroc": auroc(labels, np.asarray(predictions)),
        }
        if positive is None:
            values |= {"macro_precision": precision.mean(), "macro_recall": recall.mean(), "macro_f1": f1.mean()}
        else:
            values |= {"sensitivity": recall[positive], "specificity": recall[1 - positive]}
            values |= {"precision": precision[positive], "f1": f1[positive]}
        return {name: float(value) for name, value in values.items()}


def auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve; for more than two classes the mean of one class against the rest.

    Args:
        labels: (N,) class indices; every class must occur.
        probabilities: (N, K).
    """
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(labels == k, scores) for k, scores in enumerate(probabilities.T)]))


def bootstrap(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    units: np.ndarray,
    positive: int | None,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals of the metrics of `ChestXrayMetrics`, resampling whole units (patients).

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        decisions: (N,) class indices.
        units: (N,) key of each picture's patient; pictures of one unit are drawn together.
        positive: Index of the positive class for two classes, else None.
        seed: Seed of the resampling.

    Returns:
        {metric: (low, high)}.
    """
    _, unit_of = np.unique(units, return_inverse=True)
    n_units = unit_of.max() + 1
    draws = np.random.default_rng(seed).multinomial(n_units, np.full(n_units, 1 / n_units), size=RESAMPLES)
    weights = draws[:, unit_of].astype(np.float64)
    values = _weighted_metrics(labels, probabilities, decisions, weights, positive)
    return {name: tuple(np.nanpercentile(sample, [2.5, 97.5]).tolist()) for name, sample in values.items()}


def _weighted_metrics(labels, probabilities, decisions, weights, positive) -> dict[str, np.ndarray]:
    """Every metric for every resample: weights (R, N) -> {metric: (R,)}."""
    n_classes = probabilities.shape[1]
    cells = labels * n_classes + decisions
    confusion = (weights @ np.eye(n_classes**2)[cells]).reshape(-1, n_classes, n_classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / confusion.sum(axis=2)
        precision = np.nan_to_num(hits / confusion.sum(axis=1))
        f1 = 2 * hits / (confusion.sum(axis=1) + confusion.sum(axis=2))
    values = {
        "accuracy": hits.sum(axis=1) / weights.sum(axis=1),
        "balanced_accuracy": np.nanmean(recall, axis=1),
    }
    if positive is None:
        values |= {"macro_precision": precision.mean(1), "macro_recall": recall.mean(1), "macro_f1": f1.mean(1)}
    else:
        values |= {"sensitivity": recall[:, positive], "specificity": recall[:, 1 - positive]}
        values |= {"precision": precision[:, positive], "f1": f1[:, positive]}
    classes = [1] if n_classes == 2 else range(n_classes)
    values["auroc"] = np.mean([_weighted_auroc(labels == k, probabilities[:, k], weights) for k in classes], axis=0)
    return values


def _weighted_auroc(is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of each resample (R,): the share of positive-negative pairs in the right order, ties counting half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positives = np.add.reduceat((weights * is_positive)[:, order], starts, axis=1)
    negatives = np.add.reduceat((weights * ~is_positive)[:, order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    with np.errstate(invalid="ignore"):
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return (positives * (below + 0.5 * negatives)).sum(axis=1) / pairs


def youden_threshold(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """The threshold that maximises sensitivity + specificity (Youden, Cancer 3(1), 1950).

    Args:
        is_positive: (N,) bool.
        scores: (N,) probabilities of the positive class.

    Returns:
        A value halfway between the lowest score called positive and the highest called negative.
    """
    false_rate, true_rate, thresholds = roc_curve(is_positive, scores, drop_intermediate=False)
    best = thresholds[np.argmax(true_rate - false_rate)]
    below = scores[scores < best]
    return float((min(best, 1.0) + (below.max() if len(below) else 0.0)) / 2)


def evaluate_split(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    patients: list[str | None],
    positive: int | None,
) -> dict[str, dict]:
    """Values and intervals of one split under one decision rule.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        decisions: (N,) class indices.
        patients: N patient keys; a picture without one is a unit of its own.
        positive: Index of the positive class for two classes, else None.

    Returns:
        {metric: {"value", "low", "high", "n", "unit"}}; n counts the units that were resampled.
    """
    units = np.array([patient or f"picture {index}" for index, patient in enumerate(patients)])
    unit = "patient" if all(patients) else "patient, or image where unknown" if any(patients) else "image"
    values = ChestXrayMetrics().compute(
        references=labels, predictions=probabilities, decisions=decisions, positive=positive
    )
    intervals = bootstrap(labels, probabilities, decisions, units, positive)
    n = len(np.unique(units))
    return {
        name: {"value": value, "low": intervals[name][0], "high": intervals[name][1], "n": n, "unit": unit}
        for name, value in values.items()
    }
