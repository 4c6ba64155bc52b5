"""Figures of a run: learning curves, and the curves and matrices of one split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay, confusion_matrix

from space.results.training_records import EpochRecord
from train.evaluation.calibration import ECE_BINS, confidences
from train.evaluation.evaluate_model import DecisionSpec
from train.evaluation.inference import SplitPredictions

DPI = 120


@dataclass(frozen=True)
class DrawnSplit:
    """A split and what is drawn of it.

    Attributes:
        name: Its name.
        task: What the model was made for.
        answers: What it answered.
    """

    name: str
    task: DecisionSpec
    answers: SplitPredictions

    @property
    def curves(self) -> list[int]:
        """Classes that get a curve of their own: the positive one, or all where there is none."""
        return list(range(len(self.task.labels))) if self.task.positive is None else [self.task.positive]

    @property
    def decided(self) -> np.ndarray:
        """Decisions (N,) by the rule in use."""
        return self.task.decisions(self.answers.probabilities)[self.task.rule]


def save_figures(folder: Path, history: list[EpochRecord], split: DrawnSplit) -> list[str]:
    """Draw the learning curves, and the curves and matrices of a split.

    Args:
        folder: Where to write; is made.
        history: The epochs of training.
        split: The split to draw.

    Returns:
        The names of the files without .png, in the order in which EVALUATION.md shows them.
    """
    folder.mkdir(exist_ok=True)
    figures = {
        "learning_curves": _learning_curves(history),
        "confusion_matrix": _confusion(split),
        "roc": _roc(split),
        "precision_recall": _precision_recall(split),
        "reliability": _reliability(split),
        "scores": _scores(split),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=DPI)
    return list(figures)


def _figure(columns: int = 1) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(5 * columns, 4.2), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _learning_curves(history: list[EpochRecord]) -> Figure:
    figure, (loss, score) = _figure(columns=2)
    epochs = [row.epoch for row in history]
    series = (("train_loss", loss), ("validation_loss", loss), ("validation_auroc", score), ("corrupted_auroc", score))
    for name, axes in series:
        if getattr(history[0], name) is not None:
            axes.plot(epochs, [getattr(row, name) for row in history], marker=".", label=name.replace("_", " "))
    for origin in history[0].origin_auroc:
        score.plot(epochs, [row.origin_auroc[origin] for row in history], linewidth=0.8, label=f"validation, {origin}")
    loss.set(xlabel="epoch", ylabel="loss (nats)")
    score.set(xlabel="epoch", ylabel="AUROC")
    loss.legend()
    score.legend()
    return figure


def _confusion(split: DrawnSplit) -> Figure:
    labels, truth = split.task.labels, split.answers.truth
    counts = confusion_matrix(truth, split.decided, labels=range(len(labels)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _figure()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]:,}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=20 if len(labels) > 2 else 0)
    axes.set_yticks(range(len(labels)), labels)
    title = f"{split.name}, {len(truth):,} images, at the {split.task.rule.replace('_', ' ')}; % of each row"
    axes.set(title=title, xlabel="decided", ylabel="true")
    axes.title.set_fontsize(9)
    return figure


def _roc(split: DrawnSplit) -> Figure:
    figure, (axes,) = _figure()
    truth, probabilities = split.answers.truth, split.answers.probabilities
    for k in split.curves:
        RocCurveDisplay.from_predictions(truth == k, probabilities[:, k], name=split.task.labels[k], ax=axes)
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray")
    if point := _point(split):
        axes.plot(1 - point["specificity"], point["sensitivity"], "ko", label=point["name"])
        axes.legend()
    axes.set(title=f"{split.name} split", xlabel="1 - specificity", ylabel="sensitivity")
    return figure


def _precision_recall(split: DrawnSplit) -> Figure:
    figure, (axes,) = _figure()
    truth, probabilities = split.answers.truth, split.answers.probabilities
    for k in split.curves:
        name = f"{split.task.labels[k]} (prevalence {np.mean(truth == k):.0%})"
        PrecisionRecallDisplay.from_predictions(truth == k, probabilities[:, k], name=name, ax=axes)
    if point := _point(split):
        axes.plot(point["sensitivity"], point["precision"], "ko", label=point["name"])
    axes.legend(loc="lower left")
    axes.set(title=f"{split.name} split", xlabel="sensitivity (recall)", ylabel="precision")
    return figure


def _point(split: DrawnSplit) -> dict | None:
    """Where a binary task's rule in use lies on the curves."""
    positive = split.task.positive
    if positive is None:
        return None
    is_positive, called = split.answers.truth == positive, split.decided == positive
    rates = {"sensitivity": called[is_positive].mean(), "specificity": (~called)[~is_positive].mean()}
    threshold, name = (split.task.point.threshold, "operating point") if split.task.point else (0.5, "argmax")
    return rates | {
        "precision": is_positive[called].mean() if called.any() else 1.0,
        "name": f"{name} ({threshold:.3f})",
    }


def _reliability(split: DrawnSplit) -> Figure:
    """Probability against frequency in bins of equal width, before and after calibration."""
    figure, (axes,) = _figure()
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray")
    own = softmax(split.task.calibration.undo(split.answers.logits), axis=1)
    for name, probabilities in (("before", own), ("after calibration", split.answers.probabilities)):
        scores, right = confidences(split.answers.truth, probabilities, split.task.positive)
        frequency, mean = calibration_curve(right, scores, n_bins=ECE_BINS)
        axes.plot(mean, frequency, marker="o", label=name)
    what = "the most likely class" if split.task.positive is None else split.task.labels[split.task.positive]
    axes.set(title=f"{split.name} split", xlabel=f"probability of {what}", ylabel="observed share")
    axes.legend()
    return figure


def _scores(split: DrawnSplit) -> Figure:
    """Histograms of the score of each class that has a curve, by true class."""
    figure, all_axes = _figure(columns=len(split.curves))
    for k, axes in zip(split.curves, all_axes, strict=True):
        _histogram(axes, split, k)
    return figure


def _histogram(axes: Axes, split: DrawnSplit, k: int) -> None:
    for truth, label in enumerate(split.task.labels):
        scores = split.answers.probabilities[split.answers.truth == truth, k]
        axes.hist(scores, bins=np.linspace(0, 1, 26), alpha=0.5, label=f"truly {label}")
    if split.task.point:
        axes.axvline(split.task.point.threshold, color="black", linestyle="--", label="operating point")
    axes.set(title=f"{split.name} split", xlabel=f"probability of {split.task.labels[k]}", ylabel="images")
    axes.legend()
