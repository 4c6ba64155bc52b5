"""95% intervals by drawing whole patients with replacement: every metric, for all resamples at once.

A resample is a row of weights: how often each image was drawn. Every metric is written for weights (R, N), so that
thousands of resamples are a few products of matrices instead of thousands of calls.
"""

from collections.abc import Iterator

import numpy as np

from train.evaluation.calibration import bin_gaps

RESAMPLES = 2000
MOST_WEIGHTS = 2**23  # weights held at a time: 64 MiB


def bootstrap(
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: dict[str, np.ndarray],
    units: np.ndarray,
    positive: int | None,
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Percentile intervals of the metrics of `train.evaluation.metrics.ChestXrayMetrics`.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        decisions: {rule: (N,) class indices}.
        units: (N,) key of each image's patient; images of one unit are drawn together.
        positive: Index of the positive class for two classes, else None.
        seed: Seed of the resampling.

    Returns:
        {rule: {metric: (2,) or, for metrics of single classes, (2, K)}}: 2.5th and 97.5th percentile over the resamples
        in which the metric is defined; NaN if it never is.
    """
    samples: dict[str, dict[str, list]] = {rule: {} for rule in decisions}
    for weights in _resamples(units, seed):
        shared = probability_metrics(labels, probabilities, weights, positive)
        for rule, decided in decisions.items():
            values = decision_metrics(labels, decided, weights, probabilities.shape[1], positive) | shared
            for name, value in values.items():
                samples[rule].setdefault(name, []).append(value)
    return {
        rule: {name: _interval(np.concatenate(blocks)) for name, blocks in values.items()}
        for rule, values in samples.items()
    }


def _resamples(units: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Weights (R, N) of the resamples, a block of them at a time."""
    _, unit_of = np.unique(units, return_inverse=True)
    n_units, random = unit_of.max() + 1, np.random.default_rng(seed)
    most, left = max(1, MOST_WEIGHTS // len(units)), RESAMPLES
    while left:
        size = min(most, left)
        draws = random.multinomial(n_units, np.full(n_units, 1 / n_units), size=size)
        yield draws[:, unit_of].astype(np.float64)
        left -= size


def mean_interval(values: np.ndarray, units: np.ndarray, seed: int = 0) -> np.ndarray:
    """Percentile interval (2,) of the mean of values (N,), drawing whole units (N,)."""
    means = [weights @ values / weights.sum(axis=1) for weights in _resamples(units, seed)]
    return _interval(np.concatenate(means))


def _interval(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values).all(axis=0)
    limits = np.full((2, *values.shape[1:]), np.nan)
    limits[:, defined] = np.nanpercentile(values[:, defined], [2.5, 97.5], axis=0)
    return limits


def decision_metrics(
    labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray, n_classes: int, positive: int | None
) -> dict[str, np.ndarray]:
    """The metrics of decided labels for every resample.

    Args:
        labels: (N,) class indices.
        decisions: (N,) class indices.
        weights: (R, N).
        n_classes: K.
        positive: Index of the positive class for two classes, else None.

    Returns:
        {metric: (R,)}, and (R, K) for "class_…". Precision of a class that was never decided for is 0, as
        scikit-learn's with `zero_division=0`; what needs images of a class is NaN where there are none.
    """
    cells = labels * n_classes + decisions
    confusion = (weights @ np.eye(n_classes**2)[cells]).reshape(-1, n_classes, n_classes)
    hits, true, called = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1)
    n = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = hits / true, np.nan_to_num(hits / called)
        f1 = np.where(true > 0, 2 * hits / (true + called), np.nan)
        specificity = (n[:, None] - true - called + hits) / (n[:, None] - true)
        shares = true / n[:, None]
        expected = (true * called).sum(axis=1)
        right = n * hits.sum(axis=1)
        spread = np.sqrt((n**2 - (true**2).sum(axis=1)) * (n**2 - (called**2).sum(axis=1)))
        mcc = np.where(spread > 0, (right - expected) / spread, 0.0)
        kappa = (right - expected) / (n**2 - expected)
    values = {
        "accuracy": hits.sum(axis=1) / n,
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "mcc": mcc,
        "cohen_kappa": kappa,
        "class_precision": precision,
        "class_recall": recall,
        "class_specificity": specificity,
        "class_f1": f1,
    }
    for name, per_class in (("precision", precision), ("recall", recall), ("f1", f1)):
        values[f"macro_{name}"] = np.nanmean(per_class, axis=1)
        values[f"weighted_{name}"] = np.nansum(per_class * shares, axis=1)
    if positive is not None:
        values |= {"sensitivity": recall[:, positive], "specificity": specificity[:, positive]}
        values |= {"precision": precision[:, positive], "f1": f1[:, positive]}
    return values


def probability_metrics(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, positive: int | None
) -> dict[str, np.ndarray]:
    """The metrics of probabilities for every resample.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        weights: (R, N).
        positive: Index of the positive class for two classes, else None.

    Returns:
        {metric: (R,)}, and (R, K) for "class_…".
    """
    truth = np.eye(probabilities.shape[1])[labels]
    n = weights.sum(axis=1)
    curves = [_curve_areas(truth[:, k] > 0, probabilities[:, k], weights) for k in range(probabilities.shape[1])]
    roc, pr = (np.stack(areas, axis=1) for areas in zip(*curves, strict=True))
    # scikit-learn's convention: with two classes the squared error counts once, with more for each class.
    squared = ((probabilities - truth) ** 2).sum(axis=1) / (1 if positive is None else 2)
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], np.finfo(np.float64).eps, 1)
    return {
        "auroc": roc.mean(axis=1) if positive is None else roc[:, positive],
        "auprc": pr.mean(axis=1) if positive is None else pr[:, positive],
        "brier": weights @ squared / n,
        "nll": weights @ -np.log(chosen) / n,
        "ece": np.abs(weights @ bin_gaps(labels, probabilities, positive)).sum(axis=1) / n,
        "class_auroc": roc,
        "class_auprc": pr,
    }


def _curve_areas(is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curve (R,), ties counting half, and average precision (R,) of each resample."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) < 0])
    positives = np.add.reduceat((weights * is_positive)[:, order], starts, axis=1)
    negatives = np.add.reduceat((weights * ~is_positive)[:, order], starts, axis=1)
    true, false = positives.cumsum(axis=1), negatives.cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        above = true - positives / 2  # positives that rank above each group of equal scores, half of its own with them
        roc = (negatives * above).sum(axis=1) / (true[:, -1] * false[:, -1])
        precision = np.nan_to_num(true / (true + false))
        average_precision = (precision * positives).sum(axis=1) / true[:, -1]
    return roc, average_precision
