"""Values with 95% intervals, as results.json holds them."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from space.results.evaluation_records import ByRule, Estimate, Metrics
from train.evaluation.bootstrap import BootstrapClusters, PairedClusters, percentile_interval
from train.evaluation.metrics import ALL_METRICS, CLASS_METRICS, CLASS_PREFIX, METRICS, ChestXrayMetrics, ScoredImages


@dataclass(frozen=True)
class Scores:
    """Metrics of a split.

    Attributes:
        rules: {rule: {metric: estimate}}.
        classes: {rule: {label: {metric: estimate}}}, each class against the rest.
    """

    rules: ByRule
    classes: dict[str, dict[str, Metrics]]


def estimate_all(images: ScoredImages, units: BootstrapClusters, names: list[str]) -> Scores:
    """Every metric of a split.

    Args:
        images: What the model said of them.
        units: What is resampled.
        names: K class names.
    """
    rules: ByRule = {}
    classes: dict[str, dict[str, Metrics]] = {}
    for rule, (values, limits) in _values_and_limits(images, units, ALL_METRICS).items():
        rules[rule] = _make_estimates({name: values[name] for name in METRICS if name in values}, limits, units)
        classes[rule] = {
            label: _make_estimates(
                {name: values[CLASS_PREFIX + name][k] for name in CLASS_METRICS},
                {name: limits[CLASS_PREFIX + name][:, k] for name in CLASS_METRICS},
                units,
            )
            for k, label in enumerate(names)
        }
    return Scores(rules, classes)


def estimate_accuracy_and_auroc(images: ScoredImages, units: BootstrapClusters) -> ByRule:
    """Accuracy, and AUROC where every class occurs, of images that may lack a class."""
    return estimate_some(images, units, ("accuracy", "auroc"))


def estimate_some(images: ScoredImages, units: BootstrapClusters | PairedClusters, names: Collection[str]) -> ByRule:
    """Some metrics of images, or pairs of them, that may lack a class; those that are not defined are left out."""
    measured = _values_and_limits(images, units, names)
    return {rule: _make_estimates(values, limits, units) for rule, (values, limits) in measured.items()}


def estimate_mean(values: np.ndarray, units: BootstrapClusters) -> Estimate:
    """The mean of values (N,) with its interval."""
    limits = percentile_interval([weights @ values / weights.sum(axis=1) for weights in units.resamples()])
    return _make_estimates({"mean": float(values.mean())}, {"mean": limits}, units)["mean"]


def _values_and_limits(
    images: ScoredImages, units: BootstrapClusters | PairedClusters, names: Collection[str]
) -> dict[str, tuple[dict, dict]]:
    """{rule: ({metric: value, or K values}, {metric: limits (2,) or (2, K)})}."""
    blocks = [images.measure(weights, names) for weights in units.resamples()]
    of_rules = {}
    for rule, decisions in images.decisions.items():
        values = ChestXrayMetrics().compute(
            references=images.labels,
            predictions=images.probabilities,
            decisions=decisions,
            positive=images.positive,
            names=names,
        )
        of_rules[rule] = values, {name: percentile_interval([block[rule][name] for block in blocks]) for name in values}
    return of_rules


def _make_estimates(
    values: dict[str, float], limits: dict[str, np.ndarray], units: BootstrapClusters | PairedClusters
) -> Metrics:
    """Join values and limits; what is not defined is left out."""
    n = len(units)
    return {
        name: Estimate(value=value, low=float(limits[name][0]), high=float(limits[name][1]), n=n, unit=units.name)
        for name, value in values.items()
        if not np.isnan(value) and not np.isnan(limits[name]).any()
    }
