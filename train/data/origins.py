"""Where images come from: the columns `origin` and `hospital` of a dataset, and hospitals that training leaves out.

An origin is a source that was merged into the dataset, a hospital a group of one or more origins. A dataset without
these columns, or without two origins that can be compared, is treated as one origin.
"""

from collections.abc import Sequence
from dataclasses import replace

import datasets
import numpy as np

from space.errors import UsageError
from train.common.arguments import did_you_mean
from train.data.dataset import Data

ORIGIN, HOSPITAL = "origin", "hospital"
# The split of what was taken out of train and validation: development data of a hospital that the model never saw.
LEFT_OUT = "left-out"
# Images of each class from which an origin is judged by itself. With 20 and 20, an AUROC of 0.9 has a standard error of
# 0.05 (Hanley & McNeil, Radiology 143, 1982): fewer would turn "the worst origin" into "the smallest origin".
LEAST_IMAGES = 20


def origins_of(split: datasets.Dataset) -> np.ndarray:
    """The origin of each image of a split, (N,) strings; "" where it is not known."""
    values = split[ORIGIN] if ORIGIN in split.features else [""] * len(split)
    return np.array([value or "" for value in values], dtype=str)


def comparable_origins(origins: np.ndarray, labels: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """The origins that are large enough to be judged by themselves.

    Args:
        origins: (N,) strings, "" where the origin is not known.
        labels: (N,) class indices.
        n_classes: K.

    Returns:
        {origin: its rows, (M,)}, of origins with at least `LEAST_IMAGES` images of each class; all rows under "" where
        there is no such origin.
    """
    rows = {name: np.flatnonzero(origins == name) for name in np.unique(origins) if name}
    large = {
        str(name): mine
        for name, mine in rows.items()
        if np.bincount(labels[mine], minlength=n_classes).min() >= LEAST_IMAGES
    }
    return large or {"": np.arange(len(labels))}


def leave_out(data: Data, names: Sequence[str]) -> Data:
    """Take hospitals or origins out of train and validation; the test split keeps everything.

    Args:
        data: The dataset.
        names: Hospitals or origins; none changes nothing.

    Returns:
        The dataset with smaller splits "train" and "validation", and a split `LEFT_OUT` of the images taken out.
        Images of patients who also have images that stay in are in neither, so that the split holds nobody whom
        training saw.

    Raises:
        UsageError: A name is not one of the dataset's, or train or validation would lose a class.
    """
    if not names:
        return data
    _check_names(data, names)
    sides = {side: data.splits[side] for side in ("train", "validation")}
    out = {side: _is_named(split, names) for side, split in sides.items()}
    stay = {side: split.select(np.flatnonzero(~out[side])) for side, split in sides.items()}
    patients = {patient for split in stay.values() for patient in split["patient"] if patient}
    parts = [
        split.select(
            [row for row, patient in enumerate(split["patient"]) if out[side][row] and patient not in patients]
        )
        for side, split in sides.items()
    ]
    for side, split in stay.items():
        if absent := [label for k, label in enumerate(data.labels) if k not in set(split["label"])]:
            raise UsageError(
                f"leave_out = {list(names)}: split {side} of {data.name} would have no image of class "
                f"{', '.join(absent)}. Leave out less."
            )
    rest = {name: split for name, split in data.splits.items() if name not in sides}
    return replace(data, splits=stay | {LEFT_OUT: datasets.concatenate_datasets(parts)} | rest, left_out=tuple(names))


def _is_named(split: datasets.Dataset, names: Sequence[str]) -> np.ndarray:
    """Whether the origin or the hospital of each image is one of these, (N,) bool."""
    columns = [split[column] for column in (ORIGIN, HOSPITAL) if column in split.features]
    return np.any([np.isin([value or "" for value in values], names) for values in columns], axis=0)


def _check_names(data: Data, names: Sequence[str]) -> None:
    present = {
        column: sorted({value for side in ("train", "validation") for value in data.splits[side][column] if value})
        for column in (HOSPITAL, ORIGIN)
        if column in data.splits["train"].features
    }
    if not present:
        raise UsageError(
            f"leave_out = {list(names)}: {data.name} has no column {ORIGIN} or {HOSPITAL}. Give a dataset that "
            "`python -m hub.merge` made, or leave_out = []."
        )
    allowed = list(dict.fromkeys(value for values in present.values() for value in values))
    for name in names:
        if name not in allowed:
            listed = "; ".join(f"{column}s: {', '.join(values)}" for column, values in present.items())
            hint = did_you_mean(name, allowed)
            raise UsageError(f"leave_out: {data.name} has no hospital or origin {name!r}{hint or '.'} It has {listed}.")
