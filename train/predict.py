"""Classify any number of chest X-rays into a CSV file, with the model that a run folder or repository holds.

python -m train.predict MODEL SOURCE --output predictions.csv
"""

import argparse
import csv
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from tqdm import tqdm

from space.errors import ChestXrayError, CommandParser, UsageError, XrayError, run_cli
from space.inference.classify import classify_files
from space.inference.guard import Doubt
from space.inference.operating_point import OperatingPoint, decide
from space.inference.repository import check_model
from space.parallel import in_order
from train.common.atomic_output import naming, partial_of
from train.common.csv_cells import csv_safe
from train.data.find_images import SourceImage, check_source, find_images

if TYPE_CHECKING:  # takes seconds to import, and mistakes on the command line are reported before
    from space.inference.classifier import Classifier


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        image: Where it came from.
        probabilities: (K,) float64, sums to 1, in the order of the model's labels; None if there are none.
        doubt: Why the image is hardly a frontal chest radiograph, or None.
        error: Why there are none, in one sentence; else "".
    """

    image: SourceImage
    probabilities: np.ndarray | None
    doubt: Doubt | None = None
    error: str = ""


@dataclass
class Tally:
    """The counts of the summary.

    Attributes:
        total, unreadable, doubted: Numbers of images.
        labelled: {split, "" where there is none: classified images whose label is one of the model's}.
        correct: How many of these the highest probability gets right.
        correct_decisions: How many of these the operating point gets right.
        first_error: The first unreadable image, and why it is.
    """

    total: int = 0
    unreadable: int = 0
    doubted: int = 0
    labelled: Counter = field(default_factory=Counter)
    correct: Counter = field(default_factory=Counter)
    correct_decisions: Counter = field(default_factory=Counter)
    first_error: str = ""


def predict(classifier: "Classifier", images: Iterable[SourceImage], guarded: bool = True) -> Iterator[Prediction]:
    """Classify images in order; memory does not grow with their number.

    Args:
        classifier: The model.
        images: Asked for only a little ahead of what is yielded.
        guarded: Whether images that are hardly frontal chest radiographs are doubted.

    Yields:
        One prediction per image, also for an image that cannot be read.
    """
    return in_order(partial(_predict_one, classifier, guarded), images)


def _predict_one(classifier: "Classifier", guarded: bool, image: SourceImage) -> Prediction:
    # One image at a time is the fastest on a CPU: the feature maps of a batch outgrow its caches.
    (result,) = classify_files(classifier, [image.file], guarded=guarded)
    if isinstance(result, XrayError):
        return Prediction(image, None, error=str(result))
    return Prediction(image, result.output.probabilities, result.output.doubt)


def predict_to_csv(classifier: "Classifier", source: str, output: Path, guarded: bool = True) -> Tally:
    """Classify a whole source into a CSV file, which appears when it is complete.

    Args:
        classifier: The model.
        source: See `train.data.find_images.find_images`.
        output: The file to make; see `write_csv`.
        guarded: See `predict`.

    Returns:
        What was counted.

    Raises:
        UsageError: The output exists or cannot be written, or there is no such source.
        ChestXrayError: No image could be read; nothing is written then.
    """
    check_output(output)
    with find_images(source, classifier.labels) as (total, images), _whole_file(output) as file:
        predictions = tqdm(predict(classifier, images, guarded), total=total, desc="predicting", unit="img")
        tally = write_csv(file, predictions, classifier.labels, classifier.operating_point)
        if tally.unreadable == tally.total:
            raise ChestXrayError(f"none of the {total:,} images could be read. First error: {tally.first_error}")
    return tally


def write_csv(
    file: TextIO, predictions: Iterable[Prediction], labels: Sequence[str], operating_point: OperatingPoint | None
) -> Tally:
    """Write predictions as they come.

    The columns are those of a run folder's predictions.csv, `source,split,patient,label,predicted,prob:<label>…`, and
    then `decision`, by the operating point where there is one, `guard` (a `Doubt`, "" where there is none) and `error`.

    Args:
        file: Where to; opened with newline="".
        predictions: The rows.
        labels: Class names in the order of the probabilities.
        operating_point: Of a binary task, or None.

    Returns:
        What was counted.
    """
    tally, writer = Tally(), csv.writer(file)
    names = [f"prob:{csv_safe(label)}" for label in labels]
    writer.writerow(["source", "split", "patient", "label", "predicted", *names, "decision", "guard", "error"])
    for prediction in predictions:
        image, scores = prediction.image, prediction.probabilities
        tally.total += 1
        facts = [csv_safe(image.source, "./"), *map(csv_safe, (image.split, image.patient, image.label))]
        if scores is None:
            tally.unreadable += 1
            tally.first_error = tally.first_error or f"{facts[0]}: {prediction.error}"
            writer.writerow([*facts, "", *[""] * len(labels), "", "", csv_safe(prediction.error)])
            continue
        predicted = labels[int(scores.argmax())]
        decision = labels[int(decide(scores[None], operating_point, labels)[0])] if operating_point else ""
        split = image.split or ""
        tally.labelled[split] += image.label in labels
        tally.correct[split] += image.label == predicted
        tally.correct_decisions[split] += image.label == decision
        digits = [f"{score:.9f}" for score in scores]
        tally.doubted += prediction.doubt is not None
        writer.writerow([*facts, csv_safe(predicted), *digits, csv_safe(decision), prediction.doubt or "", ""])
    return tally


@contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """Open a file for writing that appears when the block ends without an error."""
    partial = partial_of(path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path), partial.open("w", newline="", encoding="utf-8") as file:
            yield file
        check_output(path)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Check, before the work begins, that a file can be made.

    Raises:
        UsageError: It exists, or its folder cannot be written to.
    """
    if os.path.lexists(path):
        raise UsageError(f"--output {path} exists already. Give another name, or delete that file first.")
    nearest = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UsageError(f"--output {path} cannot be written: {nearest} is not a folder that you may write to.")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(
        prog="python -m train.predict",
        description="Classify chest X-rays into a CSV file with the columns source, split, patient, label, predicted "
        "(the most probable class), prob:<class> for each class, decision (at the model's operating point), guard "
        "(why an image does not look like a frontal chest X-ray) and error.",
        epilog="PNG, JPEG, DICOM, TIFF, BMP and WebP are read. In a folder or zip, images are told by their names, or "
        "by their first bytes (DICOM without an ending), and other files are left out; a pattern takes any file. "
        "If an image's folder has the name of a class of the model, that class is its label. A file that "
        "cannot be read becomes a row with an error. Text that a spreadsheet would compute (=, +, -, @) is written "
        "with ./ or ' before it, and invisible characters as escapes.",
    )
    parser.add_argument("model", metavar="MODEL", help="run folder, or model repository OWNER/NAME on the Hub")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder, .zip, image, 'pattern' in quotes, or dataset (a folder, or OWNER/NAME on the Hub)",
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write; must not exist")
    parser.add_argument("--revision", help="branch, tag or commit of MODEL on the Hub")
    parser.add_argument(
        "--no-guard", action="store_true", help="leave the column guard empty, which is a little faster"
    )
    return parser.parse_args()


def _load(name: str, revision: str | None) -> "Classifier":
    """Load a model; one without a graph is exported first."""
    from space.inference.classifier import Classifier, MissingGraphError

    try:
        return Classifier.load(name, revision)
    except MissingGraphError:
        from train.export import exported_copy

        print(f"{name} has no graph, so it is exported first", flush=True)
        return Classifier.load(exported_copy(name, revision))


def main() -> None:
    """Check the arguments, load the model, classify, and print a summary."""
    args = parse_args()
    check_output(args.output)
    check_model(args.model, "MODEL")
    check_source(args.source)
    classifier = _load(args.model, args.revision)
    started = time.perf_counter()
    tally = predict_to_csv(classifier, args.source, args.output, not args.no_guard)
    rate = tally.total / (time.perf_counter() - started)
    print(f"{tally.total:,} images, {tally.unreadable:,} unreadable ({rate:.0f} images/s)")
    if tally.doubted:
        print(f"{tally.doubted:,} do not look like frontal chest X-rays; their rows say why in the column guard")
    for split, labelled in tally.labelled.items():
        if labelled:  # for each split, because the model was trained on one of them
            accuracy = f"{tally.correct[split] / labelled:.4f} by the highest probability"
            if classifier.operating_point:
                accuracy += f", {tally.correct_decisions[split] / labelled:.4f} at the operating point"
            print(f"{split} accuracy {accuracy}, over {labelled:,} images with a known label".lstrip())
    print(f"written: {args.output}")


if __name__ == "__main__":
    run_cli(main)
