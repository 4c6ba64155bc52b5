"""Another dataset as a test, its classes mapped to the model's; refused if the model was trained on its images."""

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np

from space.errors import UsageError
from space.results.evaluation_records import ByRule, ExternalTest
from space.results.training_records import DatasetRecord
from train.data.dataset import Data, load_data
from train.data.duplicates import find_copies
from train.data.label_map import read_map
from train.data.pixel_cache import PixelDataset, load_pixels
from train.evaluation.evaluate_model import DecisionSpec, evaluate
from train.evaluation.finished_model import FinishedModel
from train.evaluation.inference import fingerprints, image_of, predict_split
from train.evaluation.saliency_checks import box_energy

SHOWN = 5  # pairs of copies that a refusal names


@dataclass(frozen=True)
class ExternalSet:
    """A dataset that no choice was made on.

    Attributes:
        summary: See `train.data.dataset.Data.summary`.
        mapping: {its class: the model's class, or None where its images are left out}.
        rows: Its images, of all splits, that are kept.
        pixels: Their pixels, and their labels as the model's class indices.
    """

    summary: DatasetRecord
    mapping: dict[str, str | None]
    rows: datasets.Dataset
    pixels: PixelDataset


def load_external(
    dataset: str, labels_file: Path | None, own: Data, own_pixels: dict[str, PixelDataset], processor, threads: int
) -> ExternalSet:
    """Open another dataset for testing.

    Args:
        dataset: Folder made by hub.convert, or a Hub repository.
        labels_file: See `train.data.label_map.read_map`; None: classes are called as the model calls them.
        own: The dataset that the model was trained on.
        own_pixels: Pixels of its splits; nothing may be a copy of an image in "train" or "validation".
        processor: The model's image processor.
        threads: Images decoded at a time.

    Raises:
        UsageError: It cannot be opened, its classes do not fit, or some of its images are such copies.
    """
    data = load_data(dataset, "--also")
    labels = own.labels
    mapping = _mapping(dataset, data.labels, labels_file, labels)
    decoded = load_pixels(data, processor, threads)
    rows, pixels, truth = [], [], []
    index_of = [labels.index(name) if (name := mapping[label]) else -1 for label in data.labels]
    for name, split in data.splits.items():
        mapped = np.array([index_of[label] for label in split["label"]])
        kept = np.flatnonzero(mapped >= 0)
        rows.append(split.select(kept))
        pixels.append(decoded[name].pixels[kept])
        truth.append(mapped[kept])
    kept_pixels = PixelDataset(np.concatenate(pixels), np.concatenate(truth))
    external = ExternalSet(data.summary(), mapping, datasets.concatenate_datasets(rows), kept_pixels)
    if absent := [label for k, label in enumerate(labels) if not (kept_pixels.labels == k).any()]:
        raise UsageError(
            f"--also {dataset} has no image of class {', '.join(absent)}; its classes are {', '.join(data.labels)}. "
            'Map each in a file with a line `"its class" = "the model\'s class"`, and give the file as --also-labels.'
        )
    _refuse_copies(dataset, external, own, own_pixels)
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


def _refuse_copies(dataset: str, external: ExternalSet, own: Data, own_pixels: dict[str, PixelDataset]) -> None:
    """Raise a UsageError with the evidence if any image was seen in training or validation."""
    prints = fingerprints(external.pixels)
    for name in ("train", "validation"):
        pixels = own_pixels[name]
        copies = find_copies(prints, image_of(external.pixels), fingerprints(pixels), image_of(pixels)).pairs()
        if not copies:
            continue
        theirs, ours = external.rows["source"], own.splits[name]["source"]
        pairs = "; ".join(f"{theirs[i]} = {ours[j]}" for i, j in copies[:SHOWN])
        n = len({i for i, _ in copies})
        raise UsageError(
            f"--also {dataset} is not an external test set: {n:,} of its {len(external.pixels):,} images are copies "
            f"of images in the model's {name} split ({pairs}{'; …' if len(copies) > SHOWN else ''}). Leave out their "
            "classes (--also-labels), or use another dataset."
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
    rules = evaluation.splits[name]
    drop = {
        rule: {
            metric: test[rule][metric].value - here.value for metric, here in metrics.items() if metric in test[rule]
        }
        for rule, metrics in (rules.items() if test else ())
    }
    return ExternalTest(
        dataset=external.summary,
        labels=external.mapping,
        images=len(external.pixels),
        rules=rules,
        classes=evaluation.classes[name],
        confusion=evaluation.confusion[name],
        calibration=evaluation.calibration.splits[name],
        drop=drop,
        box_energy=box_energy(finished, external.pixels, external.rows, predictions.units, task.labels),
    )
