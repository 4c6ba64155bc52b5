"""What a finished model is worth: every number of results.json that comes from its answers."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import datasets
import numpy as np
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import confusion_matrix
from torch import nn

from space.inference.operating_point import OperatingPoint, decide
from train.data.duplicates import Fingerprint, find_copies, group_pairs, thumbnail
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.calibration import Calibration, bin_counts, expected_calibration_error, negative_log_likelihood
from train.evaluation.inference import predict_logits
from train.evaluation.metrics import BootstrapClusters, Scores, accuracy_and_auroc, evaluate_split

# Columns of a dataset whose values are reported one by one, and how many images of a value make it worth a number.
SUBGROUP_COLUMNS, LEAST_IMAGES = ("subtype", "origin", "view"), 10

# Metrics that tell whether what was fixed on validation holds on test, and whether more is better.
SHIFTING = {"sensitivity": True, "specificity": True, "balanced_accuracy": True, "ece": False}


@dataclass(frozen=True)
class SplitPredictions:
    """What a model answered to the images of a split.

    Attributes:
        truth: (N,) class indices.
        logits: (N, K) of the finished model.
        units: What is resampled for intervals.
        columns: {column of `SUBGROUP_COLUMNS`: N values, None where nothing is known}.
    """

    truth: np.ndarray
    logits: np.ndarray
    units: BootstrapClusters
    columns: dict[str, list[str | None]]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, K)."""
        return softmax(self.logits, axis=1)


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


def predict_split(
    model: nn.Module, pixels: PixelDataset, normalise: Normaliser, rows: datasets.Dataset
) -> SplitPredictions:
    """Have a finished model classify a split, in the precision of its weights.

    Args:
        model: The classifier.
        pixels: The split's pixels.
        normalise: Pixels -> the model's input.
        rows: The split itself.
    """
    logits = predict_logits(model, pixels, normalise).astype(np.float64)
    columns = {name: list(rows[name]) for name in SUBGROUP_COLUMNS if name in rows.features}
    return SplitPredictions(pixels.labels.numpy(), logits, units_of(list(rows["patient"]), pixels), columns)


def units_of(patients: list[str | None], pixels: PixelDataset) -> BootstrapClusters:
    """What is resampled: patients and, where none is named, groups of copies."""
    if all(patients):
        return BootstrapClusters.of(patients)
    return BootstrapClusters.of(
        patients, group_pairs(len(pixels), find_copies(fingerprints(pixels), image_of(pixels)).pairs())
    )


def fingerprints(pixels: PixelDataset) -> list[Fingerprint]:
    """What `train.data.duplicates` compares, of images as the model sees them."""
    images = (Image.fromarray(array) for array in pixels.pixels)
    return [Fingerprint(sha256(image.tobytes()).digest(), image.size, thumbnail(image)) for image in images]


def image_of(pixels: PixelDataset):
    """A function that gives the i-th image."""
    return lambda index: Image.fromarray(pixels.pixels[index])


def evaluate(task: DecisionSpec, answers: dict[str, SplitPredictions]) -> dict:
    """Everything that can be said of a model's answers.

    Args:
        task: What the model was made for.
        answers: {split: answers}.

    Returns:
        `splits`, `classes`, `confusion`, `subgroups`, `calibration` and `shift` of results.json.
    """
    scores = {name: _scores(task, one) for name, one in answers.items()}
    splits = {name: one.rules for name, one in scores.items()}
    return {
        "splits": splits,
        "classes": {name: one.classes for name, one in scores.items()},
        "confusion": {name: _confusion(task, one) for name, one in answers.items()},
        "subgroups": {name: found for name, one in answers.items() if (found := _subgroups(task, one))},
        "calibration": {
            "temperature": task.calibration.temperature,
            "biases": dict(zip(task.labels, task.calibration.biases.tolist(), strict=True)),
            "fitted_on": "validation",
            "splits": {name: _calibration(task, one, splits[name]["argmax"]) for name, one in answers.items()},
        },
        "shift": _shift(task.rule, splits),
    }


def _scores(task: DecisionSpec, one: SplitPredictions) -> Scores:
    decisions = task.decisions(one.probabilities)
    return evaluate_split(one.truth, one.probabilities, decisions, one.units, task.labels, task.positive)


def _confusion(task: DecisionSpec, one: SplitPredictions) -> dict[str, list[list[int]]]:
    """{rule: K x K counts}, a row per true class."""
    classes = range(len(task.labels))
    decisions = task.decisions(one.probabilities)
    return {rule: confusion_matrix(one.truth, decided, labels=classes).tolist() for rule, decided in decisions.items()}


def _calibration(task: DecisionSpec, one: SplitPredictions, metrics: dict[str, dict]) -> dict:
    """How well probabilities fit outcomes, by the network's own logits and by the finished model's, whose `metrics`
    these are."""
    shares = np.bincount(one.truth, minlength=len(task.labels)) / len(one.truth)
    logits = task.calibration.undo(one.logits)
    probabilities = softmax(logits, axis=1)
    squared = ((probabilities - np.eye(len(shares))[one.truth]) ** 2).sum(axis=1)
    before = {
        "nll": negative_log_likelihood(logits, one.truth),
        "brier": float(squared.mean() / (1 if task.positive is None else 2)),
        "ece": expected_calibration_error(one.truth, probabilities, task.positive),
    }
    after = {name: metrics[name]["value"] for name in before}
    prevalence = dict(zip(task.labels, shares.tolist(), strict=True))
    mean = dict(zip(task.labels, one.probabilities.mean(axis=0).tolist(), strict=True))
    bins = bin_counts(one.truth, one.probabilities, task.positive)
    return {"before": before, "after": after, "prevalence": prevalence, "mean_probability": mean, "bins": bins}


def _subgroups(task: DecisionSpec, one: SplitPredictions) -> dict:
    """{column: {value: {"images", "units", "labels", "against", rule: {metric: entry}}}}: accuracy and AUROC.

    Where a subgroup lacks classes, AUROC is that against all images of these classes, which "against" names. Left out
    are subgroups of few images, and those that are all of a class and nothing else.
    """
    found: dict[str, dict] = {}
    for column, values in one.columns.items():
        for value, n in sorted(Counter(value for value in values if value).items()):
            rows = np.flatnonzero(np.array([other == value for other in values]))
            is_class = np.array_equal(rows, np.flatnonzero(one.truth == one.truth[rows[0]]))
            if n >= LEAST_IMAGES and not is_class:
                found.setdefault(column, {})[value] = _subgroup(task, one, rows)
    return found


def _subgroup(task: DecisionSpec, one: SplitPredictions, rows: np.ndarray) -> dict:
    counts = {label: int((one.truth[rows] == k).sum()) for k, label in enumerate(task.labels)}
    lacking = [k for k, label in enumerate(task.labels) if not counts[label]]
    own, wider = (_accuracy_and_auroc(task, one, of) for of in (rows, _with_classes(one, rows, lacking)))
    found = {"images": len(rows), "units": len(one.units.of_rows(rows)), "labels": counts}
    found["against"] = [task.labels[k] for k in lacking]
    return found | {rule: wider[rule] | {"accuracy": own[rule]["accuracy"]} for rule in own}


def _with_classes(one: SplitPredictions, rows: np.ndarray, classes: list[int]) -> np.ndarray:
    return np.union1d(rows, np.flatnonzero(np.isin(one.truth, classes)))


def _accuracy_and_auroc(task: DecisionSpec, one: SplitPredictions, rows: np.ndarray) -> dict:
    probabilities = one.probabilities[rows]
    return accuracy_and_auroc(one.truth[rows], probabilities, task.decisions(probabilities), one.units.of_rows(rows))


def _shift(rule: str, splits: dict[str, dict]) -> list[dict]:
    """Where validation and test visibly differ: metrics whose intervals do not overlap.

    Returns:
        [{"rule", "metric", "validation", "test", "worse"}]: what the decision `rule` gives away on test ("worse": or
        wins), and calibration.
    """
    if not {"validation", "test"} <= splits.keys():
        return []
    pairs = [(name, splits["validation"][rule].get(name), splits["test"][rule].get(name)) for name in SHIFTING]
    return [
        {"rule": rule, "metric": name, "validation": validation["value"], "test": test["value"]}
        | {"worse": (test["value"] < validation["value"]) == SHIFTING[name]}
        for name, validation, test in pairs
        if validation and test and (validation["low"] > test["high"] or test["low"] > validation["high"])
    ]
