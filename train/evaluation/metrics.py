"""Every metric, defined once: for weighted images, and for many weightings at a time.

A row of weights says how often each image counts. Weights of one give a metric's value; the draws of a bootstrap give
its interval, thousands of them in a few products of matrices. scikit-learn's definitions hold; tests compare with it.
To add a metric, add a row to `METRICS` or `CLASS_METRICS`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import datasets
import evaluate
import numpy as np

from train.evaluation.calibration import bin_gaps


class WeightedDecisions:
    """Decided labels and true ones, counted for every row of weights; R rows, K classes.

    Args:
        labels: (N,) class indices.
        decisions: (N,) class indices.
        weights: (R, N).
        n_classes: K.
        positive: Index of the positive class for two classes, else None.
    """

    def __init__(
        self, labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray, n_classes: int, positive: int | None
    ):
        cells = labels * n_classes + decisions
        confusion = (weights @ np.eye(n_classes**2)[cells]).reshape(-1, n_classes, n_classes)
        self.positive = positive
        self.n = weights.sum(axis=1)  # (R,)
        self.hits = np.diagonal(confusion, axis1=1, axis2=2)  # (R, K), as the two below
        self.true, self.called = confusion.sum(axis=2), confusion.sum(axis=1)

    @cached_property
    def recall(self) -> np.ndarray:
        """(R, K); NaN where there is no image of a class."""
        return self.hits / self.true

    @cached_property
    def precision(self) -> np.ndarray:
        """(R, K); 0 where a class was never decided for."""
        return np.nan_to_num(self.hits / self.called)

    @cached_property
    def f1(self) -> np.ndarray:
        """(R, K); NaN where there is no image of a class."""
        return np.where(self.true > 0, 2 * self.hits / (self.true + self.called), np.nan)

    @cached_property
    def specificity(self) -> np.ndarray:
        """(R, K), of each class against the rest; NaN where there is no image of another class."""
        return (self.n[:, None] - self.true - self.called + self.hits) / (self.n[:, None] - self.true)

    @cached_property
    def agreement(self) -> np.ndarray:
        """(R,) n times the right decisions, less what would be right by chance: the numerator of MCC and kappa."""
        return self.n * self.hits.sum(axis=1) - self.by_chance

    @cached_property
    def by_chance(self) -> np.ndarray:
        """(R,) n times the decisions that would be right by chance."""
        return (self.true * self.called).sum(axis=1)

    def mcc(self) -> np.ndarray:
        """Matthews correlation (R,); 0 where all images are of one class, or all are called one."""
        spread = np.sqrt((self.n**2 - (self.true**2).sum(axis=1)) * (self.n**2 - (self.called**2).sum(axis=1)))
        return np.where(spread > 0, self.agreement / spread, 0.0)

    def kappa(self) -> np.ndarray:
        """Cohen's kappa (R,)."""
        return self.agreement / (self.n**2 - self.by_chance)

    def weighted(self, per_class: np.ndarray) -> np.ndarray:
        """Mean (R,) over the classes of values (R, K), each weighted by its images."""
        return np.nansum(per_class * (self.true / self.n[:, None]), axis=1)


class WeightedProbabilities:
    """Probabilities and true labels for every row of weights; R rows, K classes.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        weights: (R, N).
        positive: Index of the positive class for two classes, else None.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, positive: int | None):
        self.labels, self.probabilities, self.weights, self.positive = labels, probabilities, weights, positive
        self.n = weights.sum(axis=1)

    @cached_property
    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """Areas under the ROC curve and average precisions, (R, K) each, of each class against the rest."""
        areas = [_curve_areas(self.labels == k, scores, self.weights) for k, scores in enumerate(self.probabilities.T)]
        roc, pr = (np.stack(of_classes, axis=1) for of_classes in zip(*areas, strict=True))
        return roc, pr

    def summary(self, per_class: np.ndarray) -> np.ndarray:
        """Of values (R, K) those of the positive class, or their mean where there is none: (R,)."""
        return per_class.mean(axis=1) if self.positive is None else per_class[:, self.positive]

    def brier(self) -> np.ndarray:
        """Brier score (R,), as scikit-learn has it: in [0, 1] for two classes, in [0, 2] for more."""
        truth = np.eye(self.probabilities.shape[1])[self.labels]
        squared = ((self.probabilities - truth) ** 2).sum(axis=1) / (1 if self.positive is None else 2)
        return self.weights @ squared / self.n

    def nll(self) -> np.ndarray:
        """Mean negative log-likelihood (R,) in nats."""
        chosen = self.probabilities[np.arange(len(self.labels)), self.labels]
        return self.weights @ -np.log(np.clip(chosen, np.finfo(chosen.dtype).eps, 1)) / self.n

    def ece(self) -> np.ndarray:
        """Expected calibration error (R,), see `train.evaluation.calibration.bin_gaps`."""
        gaps = bin_gaps(self.labels, self.probabilities, self.positive)
        return np.abs(self.weights @ gaps).sum(axis=1) / self.n


def _curve_areas(is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curve (R,), ties counting half, and average precision (R,) of each row of weights."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) < 0])
    positives = np.add.reduceat((weights * is_positive)[:, order], starts, axis=1)
    negatives = np.add.reduceat((weights * ~is_positive)[:, order], starts, axis=1)
    true, false = positives.cumsum(axis=1), negatives.cumsum(axis=1)
    above = true - positives / 2  # positives that rank above each group of equal scores, half of its own with them
    roc = (negatives * above).sum(axis=1) / (true[:, -1] * false[:, -1])
    precision = np.nan_to_num(true / (true + false))
    average_precision = (precision * positives).sum(axis=1) / true[:, -1]
    return roc, average_precision


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        title: What people call it.
        compute: (R,), or (R, K) in `CLASS_METRICS`, from `WeightedDecisions` or `WeightedProbabilities`; NaN where it
            is not defined.
        of_probabilities: Whether it depends on probabilities alone, not on how they become decisions.
        binary: Whether it needs a positive class.
        hub_name: The name by which the Hub's evaluation tools know it; None: ours.
    """

    title: str
    compute: Callable[[WeightedDecisions | WeightedProbabilities], np.ndarray]
    of_probabilities: bool = False
    binary: bool = False
    hub_name: str | None = None


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", lambda of: of.hits.sum(axis=1) / of.n),
    "balanced_accuracy": Metric("balanced accuracy", lambda of: np.nanmean(of.recall, axis=1)),
    "sensitivity": Metric("sensitivity (recall)", lambda of: of.recall[:, of.positive], binary=True),
    "specificity": Metric("specificity", lambda of: of.specificity[:, of.positive], binary=True),
    "precision": Metric("precision", lambda of: of.precision[:, of.positive], binary=True),
    "f1": Metric("F1", lambda of: of.f1[:, of.positive], binary=True),
    "macro_precision": Metric("macro precision", lambda of: np.nanmean(of.precision, axis=1)),
    "macro_recall": Metric("macro recall", lambda of: np.nanmean(of.recall, axis=1)),
    "macro_f1": Metric("macro F1", lambda of: np.nanmean(of.f1, axis=1)),
    "weighted_precision": Metric("weighted precision", lambda of: of.weighted(of.precision)),
    "weighted_recall": Metric("weighted recall", lambda of: of.weighted(of.recall)),
    "weighted_f1": Metric("weighted F1", lambda of: of.weighted(of.f1)),
    "mcc": Metric("Matthews correlation", WeightedDecisions.mcc, hub_name="matthews_correlation"),
    "cohen_kappa": Metric("Cohen's kappa", WeightedDecisions.kappa),
    "auroc": Metric("AUROC", lambda of: of.summary(of.curves[0]), of_probabilities=True, hub_name="roc_auc"),
    "auprc": Metric("AUPRC", lambda of: of.summary(of.curves[1]), of_probabilities=True),
    "brier": Metric("Brier score", WeightedProbabilities.brier, of_probabilities=True, hub_name="brier_score"),
    "nll": Metric("NLL (nats)", WeightedProbabilities.nll, of_probabilities=True),
    "ece": Metric("ECE", WeightedProbabilities.ece, of_probabilities=True),
}
# Of each class against the rest.
CLASS_METRICS: dict[str, Metric] = {
    "precision": Metric("precision", lambda of: of.precision),
    "recall": Metric("recall (sensitivity)", lambda of: of.recall),
    "specificity": Metric("specificity", lambda of: of.specificity),
    "f1": Metric("F1", lambda of: of.f1),
    "auroc": Metric("AUROC", lambda of: of.curves[0], of_probabilities=True),
    "auprc": Metric("AUPRC", lambda of: of.curves[1], of_probabilities=True),
}
CLASS_PREFIX = "class_"
ALL_METRICS = METRICS | {CLASS_PREFIX + name: metric for name, metric in CLASS_METRICS.items()}


@dataclass(frozen=True)
class ScoredImages:
    """What a model said of N images, by one or more decision rules.

    Attributes:
        labels: (N,) class indices, the truth.
        probabilities: (N, K).
        decisions: {rule: (N,) class indices}.
        positive: Index of the positive class for two classes, else None.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    decisions: dict[str, np.ndarray]
    positive: int | None

    def measure(self, weights: np.ndarray, names: Collection[str] = ALL_METRICS) -> dict[str, dict[str, np.ndarray]]:
        """Compute metrics for every row of weights.

        Args:
            weights: (R, N), how often each image counts.
            names: Of `ALL_METRICS`; those that need a positive class are left out where there is none.

        Returns:
            {rule: {metric: (R,), or (R, K) for those of each class}}, NaN where a metric is not defined.
        """
        chosen = {name: ALL_METRICS[name] for name in names}
        if self.positive is None:
            chosen = {name: metric for name, metric in chosen.items() if not metric.binary}
        n_classes = self.probabilities.shape[1]
        scored = WeightedProbabilities(self.labels, self.probabilities, weights, self.positive)
        of_rules: dict[str, dict[str, np.ndarray]] = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            shared = {name: metric.compute(scored) for name, metric in chosen.items() if metric.of_probabilities}
            for rule, decisions in self.decisions.items():
                decided = WeightedDecisions(self.labels, decisions, weights, n_classes, self.positive)
                own = {name: metric.compute(decided) for name, metric in chosen.items() if not metric.of_probabilities}
                of_rules[rule] = own | shared
        return of_rules

    def values(self, names: Collection[str] = ALL_METRICS) -> dict[str, dict[str, float | list[float]]]:
        """Metrics of the images as they are: {rule: {metric: value, or K values for those of each class}}."""
        of_rules = self.measure(np.ones((1, len(self.labels))), names)
        return {rule: {name: row[0].tolist() for name, row in metrics.items()} for rule, metrics in of_rules.items()}


def auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve; for more than two classes the mean of one class against the rest.

    Args:
        labels: (N,) class indices; every class must occur.
        probabilities: (N, K).
    """
    positive = 1 if probabilities.shape[1] == 2 else None
    images = ScoredImages(labels, probabilities, {"argmax": labels}, positive)
    return images.values(["auroc"])["argmax"]["auroc"]


class ChestXrayMetrics(evaluate.Metric):
    """`ALL_METRICS` of some images under one decision rule, as the `evaluate` library offers metrics; needs no network.

    `compute(references=..., predictions=..., decisions=..., positive=..., names=...)` takes labels (N,), probabilities
    (N, K), decided labels (N,), for two classes the index of the positive one, and which metrics to compute (all).
    It returns floats, NaN where a metric is not defined, and lists of K floats for "class_…".
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

    def _compute(
        self,
        predictions,
        references,
        decisions,
        positive: int | None = None,
        names: Collection[str] = ALL_METRICS,
    ) -> dict[str, float | list[float]]:
        decided = {"only": np.asarray(decisions)}
        images = ScoredImages(np.asarray(references), np.asarray(predictions), decided, positive)
        return images.values(names)["only"]
