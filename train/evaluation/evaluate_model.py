"""What a finished model is worth: every number of results.json that comes from its answers."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from space.inference.operating_point import OperatingPoint, decide
from space.results.evaluation_records import (
    ByRule,
    CalibrationMeasures,
    CalibrationRecord,
    Evaluation,
    Shift,
    SplitCalibration,
    Subgroup,
)
from train.evaluation.calibration import Calibration, bin_counts
from train.evaluation.estimates import estimate_all, estimate_some
from train.evaluation.inference import SplitPredictions
from train.evaluation.metrics import ScoredImages

SMALLEST_SUBGROUP = 10  # images; fewer are not worth a number
SUBGROUP_METRICS = ("auroc", "accuracy", "sensitivity", "specificity")

# Metrics that tell whether what was fixed on validation holds on test, and whether more is better.
SHIFTING = {"sensitivity": True, "specificity": True, "balanced_accuracy": True, "ece": False}


@dataclass(frozen=True)
class DecisionSpec:
    """What the model was made for.

    Attributes:
        labels: K class names in the order of the logits.
        positive: Index of the positive class of a binary task, else None.
        point: None where argmax decides.
        calibration: What was folded into the model.
    """

    labels: list[str]
    positive: int | None
    point: OperatingPoint | None
    calibration: Calibration

    @property
    def rule(self) -> str:
        """The decision rule in use."""
        return "operating_point" if self.point else "argmax"

    def decisions(self, probabilities: np.ndarray) -> dict[str, np.ndarray]:
        """{rule: (N,) class indices}."""
        rules = {"argmax": None} | ({"operating_point": self.point} if self.point else {})
        return {rule: decide(probabilities, point, self.labels) for rule, point in rules.items()}

    def scored(self, truth: np.ndarray, probabilities: np.ndarray) -> ScoredImages:
        """Images of classes `truth` (N,) by every rule."""
        return ScoredImages(truth, probabilities, self.decisions(probabilities), self.positive)


def evaluate(task: DecisionSpec, predictions: dict[str, SplitPredictions]) -> Evaluation:
    """Compute everything that results.json says of a model's answers.

    Args:
        task: What the model was made for.
        predictions: {split: answers}.
    """
    scores = {
        name: estimate_all(task.scored(split.truth, split.probabilities), split.units, task.labels)
        for name, split in predictions.items()
    }
    rules = {name: of_split.rules for name, of_split in scores.items()}
    biases = dict(zip(task.labels, task.calibration.biases.tolist(), strict=True))
    return Evaluation(
        splits=rules,
        classes={name: of_split.classes for name, of_split in scores.items()},
        confusion={name: _confusion(task, split) for name, split in predictions.items()},
        subgroups={name: of_split for name, split in predictions.items() if (of_split := _subgroups(task, split))},
        calibration=CalibrationRecord(
            temperature=task.calibration.temperature,
            biases=biases,
            fitted_on="validation",
            not_fitted=task.calibration.not_fitted,
            splits={name: _calibration(task, split) for name, split in predictions.items()},
        ),
        shift=_shifts(task.rule, rules),
    )


def _confusion(task: DecisionSpec, split: SplitPredictions) -> dict[str, list[list[int]]]:
    """{rule: K x K counts}, a row per true class."""
    classes, decisions = range(len(task.labels)), task.decisions(split.probabilities)
    return {
        rule: confusion_matrix(split.truth, decided, labels=classes).tolist() for rule, decided in decisions.items()
    }


def _calibration(task: DecisionSpec, split: SplitPredictions) -> SplitCalibration:
    """How well probabilities fit outcomes, by the network's own logits and by the finished model's."""
    shares = np.bincount(split.truth, minlength=len(task.labels)) / len(split.truth)
    own = softmax(task.calibration.undo(split.logits), axis=1)
    return SplitCalibration(
        before=_measure_calibration(task, split.truth, own),
        after=_measure_calibration(task, split.truth, split.probabilities),
        prevalence=dict(zip(task.labels, shares.tolist(), strict=True)),
        mean_probability=dict(zip(task.labels, split.probabilities.mean(axis=0).tolist(), strict=True)),
        bins=bin_counts(split.truth, split.probabilities, task.positive),
    )


def _measure_calibration(task: DecisionSpec, truth: np.ndarray, probabilities: np.ndarray) -> CalibrationMeasures:
    values = task.scored(truth, probabilities).values(("nll", "brier", "ece"))["argmax"]
    return CalibrationMeasures(**values)


def _subgroups(task: DecisionSpec, split: SplitPredictions) -> dict[str, dict[str, Subgroup]]:
    """{column: {value: subgroup}}.

    Where a subgroup lacks classes, AUROC is that against all images of these classes, which "against" names. Left out
    are subgroups of few images, and those that are all of a class and nothing else.
    """
    subgroups: dict[str, dict[str, Subgroup]] = {}
    for column, values in split.columns.items():
        for value, n in sorted(Counter(value for value in values if value).items()):
            rows = np.flatnonzero(np.array([other == value for other in values]))
            is_class = np.array_equal(rows, np.flatnonzero(split.truth == split.truth[rows[0]]))
            if n >= SMALLEST_SUBGROUP and not is_class:
                subgroups.setdefault(column, {})[value] = _subgroup(task, split, rows)
    return subgroups


def _subgroup(task: DecisionSpec, split: SplitPredictions, rows: np.ndarray) -> Subgroup:
    counts = {label: int((split.truth[rows] == k).sum()) for k, label in enumerate(task.labels)}
    lacking = [k for k, label in enumerate(task.labels) if not counts[label]]
    wider_rows = np.union1d(rows, np.flatnonzero(np.isin(split.truth, lacking)))
    own = _estimate(task, split, rows, SUBGROUP_METRICS)
    wider = _estimate(task, split, wider_rows, ("auroc",)) if lacking else {rule: {} for rule in own}
    return Subgroup(
        images=len(rows),
        units=len(split.units.of_rows(rows)),
        labels=counts,
        against=[task.labels[k] for k in lacking],
        **{rule: own[rule] | wider[rule] for rule in own},
    )


def _estimate(task: DecisionSpec, split: SplitPredictions, rows: np.ndarray, names: tuple[str, ...]) -> ByRule:
    return estimate_some(task.scored(split.truth[rows], split.probabilities[rows]), split.units.of_rows(rows), names)


def _shifts(rule: str, splits: dict[str, ByRule]) -> list[Shift]:
    """Where validation and test visibly differ: metrics of the rule in use whose intervals do not overlap."""
    if not {"validation", "test"} <= splits.keys():
        return []
    pairs = [(name, splits["validation"][rule].get(name), splits["test"][rule].get(name)) for name in SHIFTING]
    return [
        Shift(
            rule=rule,
            metric=name,
            validation=validation.value,
            test=test.value,
            worse=(test.value < validation.value) == SHIFTING[name],
        )
        for name, validation, test in pairs
        if validation and test and (validation.low > test.high or test.low > validation.high)
    ]
