"""The tables of a run folder."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from train.data.dataset import Data


def write_predictions(path: Path, data: Data, probabilities: dict[str, np.ndarray]) -> None:
    """Write predictions.csv: `source,split,patient,label,predicted,prob:<label>…`; `predicted` is the argmax.

    Args:
        path: The file.
        data: The dataset; its rows stand in the order of the probabilities.
        probabilities: {split: (N, K)}.
    """
    head = ["source", "split", "patient", "label", "predicted", *(f"prob:{label}" for label in data.labels)]
    _write(path, head, _predictions(data, probabilities))


def _predictions(data: Data, probabilities: dict[str, np.ndarray]) -> Iterable[Sequence]:
    for name, values in probabilities.items():
        rows = data.splits[name].select_columns(["source", "patient", "label"])
        for row, scores in zip(rows, values, strict=True):
            names = [data.labels[row["label"]], data.labels[int(scores.argmax())]]
            yield row["source"], name, row["patient"], *names, *(f"{score:.9f}" for score in scores)


def write_classification_report(path: Path, results: dict) -> None:
    """Write classification_report.csv: every metric of every split and rule, of all classes together and of each."""
    rows = []
    for split, rules in results["splits"].items():
        for rule, overall in rules.items():
            for label, metrics in {"": overall, **results["classes"][split][rule]}.items():
                rows += [
                    (
                        split,
                        rule,
                        label,
                        name,
                        *(f"{one[key]:.6f}" for key in ("value", "low", "high")),
                        one["n"],
                        one["unit"],
                    )
                    for name, one in metrics.items()
                ]
    _write(path, ["split", "rule", "class", "metric", "value", "low", "high", "n", "unit"], rows)


def write_confusion(path: Path, results: dict) -> None:
    """Write confusion_matrix.csv: a row per split, rule and true class, a column per decided class."""
    labels = results["labels"]
    rows = [
        (split, rule, label, *row)
        for split, rules in results["confusion"].items()
        for rule, counts in rules.items()
        for label, row in zip(labels, counts, strict=True)
    ]
    _write(path, ["split", "rule", "true", *(f"decided:{label}" for label in labels)], rows)


def write_history(path: Path, history: list[dict]) -> None:
    """Write history.csv: a row per epoch."""
    names = [name for name in history[0] if history[0][name] is not None]
    _write(path, names, [[row[name] for name in names] for row in history])


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
