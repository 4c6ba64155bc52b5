"""Hospitals that training leaves out, and origins that can be judged by themselves."""

import datasets
import numpy as np
import pytest

from space.errors import UsageError
from train.data.dataset import Data
from train.data.origins import LEFT_OUT, comparable_origins, leave_out, origins_of

LABELS = ["NORMAL", "PNEUMONIA"]


def rows(*groups: tuple[str, str, int], start: int = 0) -> datasets.Dataset:
    """Rows of (origin, hospital, n), classes in turn, every image of another patient."""
    columns = {name: [] for name in ("label", "patient", "source", "origin", "hospital")}
    for origin, hospital, n in groups:
        for k in range(n):
            number = start + len(columns["label"])
            values = (k % 2, f"p{number}", f"{number}.png", origin, hospital)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    kinds = dict.fromkeys(columns, datasets.Value("string")) | {"label": datasets.ClassLabel(names=LABELS)}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def merged() -> Data:
    splits = {
        "train": rows(("a", "A", 8), ("b", "B", 6), ("c", "B", 4)),
        "validation": rows(("a", "A", 4), ("b", "B", 4), start=100),
        "test": rows(("a", "A", 2), ("b", "B", 2), start=200),
    }
    return Data("merged", LABELS, splits, "print", "", "", "")


@pytest.mark.parametrize(("name", "train", "out"), [("B", {"a"}, {"b", "c"}), ("c", {"a", "b"}, {"c"})])
def test_a_hospital_or_an_origin_leaves_train_and_validation_and_stays_in_test(name, train, out):
    data = leave_out(merged(), [name])
    assert set(data.splits["train"]["origin"]) == train
    assert not out & set(data.splits["validation"]["origin"])
    assert set(data.splits[LEFT_OUT]["origin"]) == out
    assert data.splits["test"] is not None
    assert set(data.splits["test"]["origin"]) == {"a", "b"}
    n = sum(len(data.splits[split]) for split in ("train", "validation", LEFT_OUT))
    assert n == 26
    assert (list(data.splits)[-1], data.left_out) == ("test", (name,))
    counts = data.summary(with_test=False).counts
    assert sum(counts[LEFT_OUT].values()) == len(data.splits[LEFT_OUT])


def test_a_patient_whom_training_saw_is_not_among_the_left_out():
    data = merged()
    train = data.splits["train"]
    shared = ["p0" if source == "9.png" else patient for source, patient in zip(train["source"], train["patient"])]  # noqa: B905
    data.splits["train"] = train.remove_columns("patient").add_column("patient", shared)
    left = leave_out(data, ["B"])
    assert "9.png" not in left.splits[LEFT_OUT]["source"]
    assert len(left.splits[LEFT_OUT]) == 13
    assert "0.png" in left.splits["train"]["source"]


def test_nothing_to_leave_out_changes_nothing():
    data = merged()
    assert leave_out(data, []) is data


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Bb"], r"no hospital or origin 'Bb'; did you mean b\? It has hospitals: A, B; origins: a, b, c\."),
        (["A", "B"], "split train of merged would have no image of class NORMAL, PNEUMONIA"),
    ],
)
def test_what_cannot_be_left_out_is_refused_with_what_can(names, message):
    with pytest.raises(UsageError, match=message):
        leave_out(merged(), names)


def test_a_dataset_without_origins_has_none_to_leave_out():
    data = merged()
    splits = {name: split.remove_columns(["origin", "hospital"]) for name, split in data.splits.items()}
    plain = Data("plain", LABELS, splits, "", "", "", "")
    assert set(origins_of(plain.splits["train"])) == {""}
    with pytest.raises(
        UsageError, match=r"plain has no column origin or hospital\. Give a dataset that `python -m hub"
    ):
        leave_out(plain, ["A"])


def test_origins_are_compared_from_twenty_images_of_each_class_on():
    labels = np.repeat([0, 1, 0, 1, 0, 1], [20, 20, 90, 19, 30, 40])
    origins = np.repeat(["a", "b", ""], [40, 109, 70])
    compared = comparable_origins(origins, labels, 2)
    assert {name: rows.tolist() for name, rows in compared.items()} == {"a": list(range(40))}
    assert comparable_origins(origins[40:], labels[40:], 2).keys() == {""}
    assert len(comparable_origins(origins[40:], labels[40:], 2)[""]) == 179
