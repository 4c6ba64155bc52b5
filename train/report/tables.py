"""The CSV tables of a run folder."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from space.results.evaluation_records import Metrics
from space.results.results_file import Results
from space.results.training_records import EpochRecord
from train.data.dataset import Data
from train.evaluation.inference import SplitPredictions


def write_tables(folder: Path, data: Data, results: Results, predictions: dict[str, SplitPredictions]) -> None:
    """Write predictions.csv, classification_report.csv, confusion_matrix.csv and history.csv.

    Args:
        folder: The run folder.
        data: The dataset; its rows stand in the order of the predictions.
        results: What the other tables are read from.
        predictions: {split: answers}.
    """
    probabilities = {name: split.probabilities for name, split in predictions.items()}
    write_predictions(folder / "predictions.csv", data, probabilities)
    write_classification_report(folder / "classification_report.csv", results)
    write_confusion(folder / "confusion_matrix.csv", results)
    write_history(folder / "history.csv", results.history)


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


def write_classification_report(path: Path, results: Results) -> None:
    """Write classification_report.csv: every metric of every split and rule, of all classes together and of each."""
    rows: list[Sequence] = []
    for split, rules in results.splits.items():
        for rule, overall in rules.items():
            rows += _metric_rows((split, rule, ""), overall)
            for label, metrics in results.classes[split][rule].items():
                rows += _metric_rows((split, rule, label), metrics)
    _write(path, ["split", "rule", "class", "metric", "value", "low", "high", "n", "unit"], rows)


def _metric_rows(place: Sequence[str], metrics: Metrics) -> Iterable[Sequence]:
    for name, estimate in metrics.items():
        digits = (f"{number:.6f}" for number in (estimate.value, estimate.low, estimate.high))
        yield *place, name, *digits, estimate.n, estimate.unit


def write_confusion(path: Path, results: Results) -> None:
    """Write confusion_matrix.csv: a row per split, rule and true class, a column per decided class."""
    rows = [
        (split, rule, label, *row)
        for split, rules in results.confusion.items()
        for rule, counts in rules.items()
        for label, row in zip(results.labels, counts, strict=True)
    ]
    _write(path, ["split", "rule", "true", *(f"decided:{label}" for label in results.labels)], rows)


def write_history(path: Path, history: list[EpochRecord]) -> None:
    """Write history.csv: a row per epoch, without what was not measured; a column for the AUROC of each origin."""
    names = [field.name for field in fields(EpochRecord) if getattr(history[0], field.name) is not None]
    names.remove("origin_auroc")
    origins = history[0].origin_auroc
    head = [*names, *(f"origin_auroc:{origin}" for origin in origins)]
    rows = [
        [*(getattr(row, name) for name in names), *(row.origin_auroc[origin] for origin in origins)] for row in history
    ]
    _write(path, head, rows)


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
