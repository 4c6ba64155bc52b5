"""Pictures of a run: learning curves, confusion matrix, ROC."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay


def save_figures(
    folder: Path,
    split: str,
    history: list[dict],
    labels: list[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
    rule: str,
) -> None:
    """Write learning_curves.png, confusion_matrix.png and roc.png.

    Args:
        folder: Where to write; is made.
        split: Name of the split that the last three arguments are of.
        history: Rows of `train.loop.Fit.history`.
        labels: Class names.
        truth: (N,) class indices.
        probabilities: (N, K).
        decisions: (N,) class indices.
        rule: How they were decided, for the title.
    """
    folder.mkdir(exist_ok=True)
    _learning_curves(history).savefig(folder / "learning_curves.png", dpi=120)
    figure, axes = _figure()
    ConfusionMatrixDisplay.from_predictions(
        truth, decisions, display_labels=labels, cmap="Blues", ax=axes, colorbar=False
    )
    axes.set_title(f"{split} split, {len(truth):,} images, at {rule}")
    figure.savefig(folder / "confusion_matrix.png", dpi=120)
    figure, axes = _figure()
    for k, label in enumerate(labels):
        if len(labels) > 2 or k == 1:
            RocCurveDisplay.from_predictions(truth == k, probabilities[:, k], name=label, ax=axes)
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray")
    axes.set(title=f"{split} split", xlabel="1 - specificity", ylabel="sensitivity")
    figure.savefig(folder / "roc.png", dpi=120)


def _figure(columns: int = 1):
    figure = Figure(figsize=(5 * columns, 4.2), layout="constrained")
    return figure, figure.subplots(1, columns)


def _learning_curves(history: list[dict]) -> Figure:
    figure, (loss, score) = _figure(columns=2)
    epochs = [row["epoch"] for row in history]
    for name, axes in (("train_loss", loss), ("validation_loss", loss), ("validation_auroc", score)):
        axes.plot(epochs, [row[name] for row in history], marker=".", label=name.replace("_", " "))
    loss.set(xlabel="epoch", ylabel="loss (nats)")
    score.set(xlabel="epoch", ylabel="AUROC")
    loss.legend()
    score.legend()
    return figure
