"""Another dataset as a test, its classes mapped to the model's; copies of the model's own images are refused."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np

from space.errors import UsageError
from space.results.evaluation_records import ByRule, ExternalTest, Metrics
from space.results.training_records import DatasetRecord
from train.data.dataset import SPLITS, Data, load_data
from train.data.duplicates import find_copies
from train.data.label_map import read_map
from train.data.pixel_cache import PixelDataset, load_pixels
from train.evaluation.evaluate_model import DecisionSpec, evaluate
from train.evaluation.finished_model import FinishedModel
from train.evaluation.inference import fingerprints, image_of, predict_split
from train.evaluation.metrics import METRICS
from train.evaluation.saliency_checks import box_energy

SHOWN = 5  # pairs of copies that a refusal names
# What still means something where a class of the model has no image.
OF_SOME_CLASSES = {"accuracy", "sensitivity", "specificity", "brier", "nll", "ece"}


@dataclass(frozen=True)
class ExternalSet:
    """A dataset that no choice was made on.

    Attributes:
        summary: See `train.data.dataset.Data.summary`.
        mapping: {its class: the model's class, or None where its images are left out}.
        rows: Its images, of all splits, that are kept.
        pixels: Their pixels, and their labels as the model's class indices.
        compared: Splits of the model's own dataset of which it has no copy.
        dropped: Images left out because they, or others of their patients, are such copies.
    """

    summary: DatasetRecord
    mapping: dict[str, str | None]
    rows: datasets.Dataset
    pixels: PixelDataset
    compared: tuple[str, ...] = ()
    dropped: int = 0


def load_external(
    dataset: str,
    labels_file: Path | None,
    own: Data,
    own_pixels: dict[str, PixelDataset],
    processor,
    threads: int,
    drop_copies: bool = False,
) -> ExternalSet:
    """Open another dataset for testing; any splits will do, and classes may be missing.

    Args:
        dataset: Folder made by hub.convert, or a Hub repository.
        labels_file: See `train.data.label_map.read_map`; None: classes are called as the model calls them.
        own: The dataset that the model was trained on.
        own_pixels: Pixels of its splits; nothing may be a copy of an image in "train", "validation" or "test".
        processor: The model's image processor.
        threads: Images decoded at a time.
        drop_copies: Leave such copies out, with the other images of their patients.

    Raises:
        UsageError: It cannot be opened, its classes do not fit, some of its images are such copies, or none is left.
    """
    data = load_data(dataset, "--also", to_train=False)
    mapping = _mapping(dataset, data.labels, labels_file, own.labels)
    decoded = load_pixels(data, processor, threads)
    rows, pixels, truth = [], [], []
    index_of = [own.labels.index(name) if (name := mapping[label]) else -1 for label in data.labels]
    for name, split in data.splits.items():
        mapped = np.array([index_of[label] for label in split["label"]])
        kept = np.flatnonzero(mapped >= 0)
        rows.append(split.select(kept))
        pixels.append(decoded[name].pixels[kept])
        truth.append(mapped[kept])
    kept_pixels = PixelDataset(np.concatenate(pixels), np.concatenate(truth))
    external = ExternalSet(data.summary(), mapping, datasets.concatenate_datasets(rows), kept_pixels)
    if len(external.rows):
        external = _without_copies(dataset, external, own, own_pixels, drop_copies)
    if not len(external.rows):
        raise UsageError(f"--also {dataset}: no image is left to test on; its classes are {', '.join(data.labels)}.")
    return external


def _mapping(dataset: str, theirs: list[str], labels_file: Path | None, ours: list[str]) -> dict[str, str | None]:
    mapping = read_map(labels_file, "--also-labels") if labels_file else {}
    if unknown := [name for name in mapping if name not in theirs]:
        raise UsageError(
            f"--also-labels: {dataset} has no class {', '.join(unknown)}. Its classes: {', '.join(theirs)}."
        )
    complete = {label: mapping.get(label, label) for label in theirs}
    if others := [name for name in complete.values() if name is not None and name not in ours]:
        raise UsageError(
            f"--also {dataset}: the model has no class {', '.join(others)}. Its classes: {', '.join(ours)}. In a file "
            "for --also-labels, map the class to one of these, or leave it out with = false."
        )
    return complete


def _without_copies(
    dataset: str, external: ExternalSet, own: Data, own_pixels: dict[str, PixelDataset], drop: bool
) -> ExternalSet:
    """The set, once it holds no copy of the model's own images.

    Raises:
        UsageError: With the evidence, if it holds some and they are not to be dropped.
    """
    compared = tuple(name for name in SPLITS if name in own_pixels)
    prints, theirs = fingerprints(external.pixels), external.rows["source"]
    split_of: dict[int, str] = {}
    pairs = []
    for name in compared:
        pixels, ours = own_pixels[name], own.splits[name]["source"]
        copies = find_copies(prints, image_of(external.pixels), fingerprints(pixels), image_of(pixels)).pairs()
        pairs += [f"{theirs[i]} = {ours[j]}" for i, j in copies[:SHOWN]]
        split_of |= {i: name for i, _ in copies if i not in split_of}
    if split_of and not drop:
        of_splits = ", ".join(f"{n:,} in {name}" for name, n in Counter(split_of.values()).items())
        shown = "; ".join(pairs[:SHOWN]) + ("; …" if len(pairs) > SHOWN else "")
        raise UsageError(
            f"--also {dataset} is not an external test set: {len(split_of):,} of its {len(prints):,} images are copies "
            f"of images in the model's own dataset, {of_splits} ({shown}). "
            "Add --also-drop-copies to leave them out, or use another dataset."
        )
    patients = external.rows["patient"]
    shared = {patients[i] for i in split_of} - {None, ""}
    kept = [i for i, patient in enumerate(patients) if i not in split_of and patient not in shared]
    return replace(
        external,
        rows=external.rows.select(kept),
        pixels=PixelDataset(external.pixels.pixels[kept], external.pixels.labels[kept]),
        compared=compared,
        dropped=len(patients) - len(kept),
    )


def evaluate_external(
    external: ExternalSet, finished: FinishedModel, task: DecisionSpec, test: ByRule | None
) -> ExternalTest:
    """Evaluate the model on another dataset.

    Args:
        external: The dataset.
        finished: The classifier.
        task: What the model was made for.
        test: Metrics of its own test split, to compare with; None if it has none.
    """
    name = "external"
    predictions = predict_split(finished.model, external.pixels, finished.normalise, external.rows)
    evaluation = evaluate(task, {name: predictions})
    counts = np.bincount(external.pixels.labels.numpy(), minlength=len(task.labels))
    absent = [label for label, n in zip(task.labels, counts, strict=True) if not n]
    rules, classes = evaluation.splits[name], evaluation.classes[name]
    if absent:
        rules = {rule: _only(metrics, OF_SOME_CLASSES) for rule, metrics in rules.items()}
        classes = {rule: _of_some_classes(of_labels, absent) for rule, of_labels in classes.items()}
    comparable = {"sensitivity", "specificity"} if absent else set(METRICS)  # others depend on the mix of classes
    drop = {
        rule: {
            metric: test[rule][metric].value - here.value
            for metric, here in metrics.items()
            if metric in test[rule] and metric in comparable
        }
        for rule, metrics in (rules.items() if test else ())
    }
    return ExternalTest(
        dataset=external.summary,
        labels=external.mapping,
        images=len(external.pixels),
        absent=absent,
        compared=list(external.compared),
        dropped=external.dropped,
        rules=rules,
        classes=classes,
        confusion=evaluation.confusion[name],
        calibration=evaluation.calibration.splits[name],
        drop=drop,
        box_energy=box_energy(finished, external.pixels, external.rows, predictions.units, task.labels),
    )


def _of_some_classes(of_labels: dict[str, Metrics], absent: list[str]) -> dict[str, Metrics]:
    """Metrics of each class that still mean something: of absent ones, and beside absent ones alone, few do."""
    alone = len(of_labels) - len(absent) == 1
    return {
        label: _only(metrics, {"specificity"} if label in absent else {"recall"} if alone else metrics)
        for label, metrics in of_labels.items()
    }


def _only(metrics: Metrics, names) -> Metrics:
    return {name: estimate for name, estimate in metrics.items() if name in names}
