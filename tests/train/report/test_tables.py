"""The CSV tables, recomputed by hand."""

import csv
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest

from space.results.results_file import Results
from tests.train.report.fixtures import answers, make_results
from train.data.dataset import Data
from train.report.tables import write_classification_report, write_confusion, write_history, write_predictions

RESULTS = Results(**make_results())
LABELS = ["NORMAL", "PNEUMONIA"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predictions_are_written_in_the_order_of_the_dataset(tmp_path):
    columns = {"source": ["b.png", 'a "1", old.png'], "patient": ["p1", None], "label": [1, 0]}
    features = {"source": datasets.Value("string"), "patient": datasets.Value("string")}
    features["label"] = datasets.ClassLabel(names=LABELS)
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    data = Data("phantoms", LABELS, {"train": rows, "test": rows}, "", "", "", "")
    write_predictions(tmp_path / "p.csv", data, {"test": np.array([[0.25, 0.75], [1 / 3, 2 / 3]])})
    assert (tmp_path / "p.csv").read_bytes().decode().split("\r\n") == [
        "source,split,patient,label,predicted,prob:NORMAL,prob:PNEUMONIA",
        "b.png,test,p1,PNEUMONIA,PNEUMONIA,0.250000000,0.750000000",
        '"a ""1"", old.png",test,,NORMAL,PNEUMONIA,0.333333333,0.666666667',
        "",
    ]


def test_predictions_that_do_not_fit_the_dataset_are_refused(tmp_path):
    rows = datasets.Dataset.from_dict({"source": ["a"], "patient": ["p"], "label": [0]})
    data = Data("phantoms", LABELS, {"test": rows}, "", "", "", "")
    with pytest.raises(ValueError, match="longer"):
        write_predictions(tmp_path / "p.csv", data, {"test": np.ones((2, 2)) / 2})


def test_the_report_has_every_metric_with_its_interval(tmp_path):
    write_classification_report(tmp_path / "report.csv", RESULTS)
    rows = {(row["split"], row["rule"], row["class"], row["metric"]): row for row in read(tmp_path / "report.csv")}
    expected = sum(
        len(metrics) + sum(map(len, RESULTS.classes[split][rule].values()))
        for split, rules in RESULTS.splits.items()
        for rule, metrics in rules.items()
    )
    assert len(rows) == expected > 100
    split = answers(1, 2)  # what the test split of RESULTS was made of
    called = split.probabilities.argmax(axis=1) == 1
    accuracy = rows["test", "argmax", "", "accuracy"]
    assert accuracy["value"] == f"{np.mean(called == split.truth):.6f}"
    assert rows["test", "argmax", "NORMAL", "recall"]["value"] == f"{np.mean(~called[split.truth == 0]):.6f}"
    assert rows["test", "argmax", "", "sensitivity"]["value"] == f"{np.mean(called[split.truth == 1]):.6f}"
    interval = RESULTS.splits["test"]["argmax"]["accuracy"]
    assert (accuracy["low"], accuracy["high"]) == (f"{interval.low:.6f}", f"{interval.high:.6f}")
    assert (accuracy["n"], accuracy["unit"]) == ("60", "patient")


def test_the_confusion_matrix_counts_decisions_by_every_rule(tmp_path):
    write_confusion(tmp_path / "confusion.csv", RESULTS)
    rows = read(tmp_path / "confusion.csv")
    assert list(rows[0]) == ["split", "rule", "true", "decided:NORMAL", "decided:PNEUMONIA"]
    split = answers(1, 2)
    called = split.probabilities[:, 1] >= RESULTS.operating_point.threshold
    decided = [called[split.truth == k] for k in range(2)]
    wanted = [
        ("test", "operating_point", label, str(np.sum(~of_class)), str(np.sum(of_class)))
        for label, of_class in zip(LABELS, decided, strict=True)
    ]
    assert [tuple(row.values()) for row in rows if (row["split"], row["rule"]) == ("test", "operating_point")] == wanted
    assert len(rows) == 2 * 2 * 2


def test_the_history_leaves_out_what_was_not_measured(tmp_path):
    write_history(tmp_path / "history.csv", RESULTS.history)
    assert [(row["epoch"], row["robust_auroc"]) for row in read(tmp_path / "history.csv")] == [
        ("1", "0.85"),
        ("2", "0.85"),
    ]
    clean = [replace(row, corrupted_auroc=None, robust_auroc=None) for row in RESULTS.history]
    write_history(tmp_path / "history.csv", clean)
    assert list(read(tmp_path / "history.csv")[0]) == [
        "epoch", "step", "train_loss", "learning_rate", "validation_loss", "validation_accuracy", "validation_auroc",
        "seconds",
    ]  # fmt: skip
