"""Classify any number of chest X-rays into a CSV file, with the model that a run folder or repository holds.

python -m train.predict MODEL SOURCE --output predictions.csv
"""

import argparse
import csv
import errno
import os
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from scipy.special import softmax
from tqdm import tqdm
from transformers.utils.logging import disable_progress_bar

from space.errors import ChestXrayError, UsageError, XrayError, run_cli
from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from space.inference.operating_point import OperatingPoint, decide
from space.parallel import in_order
from train.common.atomic_output import partial_of
from train.data.find_images import SourceImage, find_images

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's control, format and surrogate characters, and line separators
FORMULA = tuple("=+-@")  # what spreadsheets compute instead of showing


@dataclass(frozen=True)
class Prediction:
    """What became of one image.

    Attributes:
        image: Where it came from.
        probabilities: (K,) float64, sums to 1, in the order of the model's labels; None if it could not be classified.
        error: Why, in one sentence; else "".
    """

    image: SourceImage
    probabilities: np.ndarray | None
    error: str = ""


@dataclass
class Tally:
    """What the summary says.

    Attributes:
        total, unreadable: Numbers of images.
        known: {split, "" where there is none: classified images whose label is one of the model's}.
        right: How many of these argmax gets right.
        decided_right: How many of these the operating point gets right.
        first_error: The first unreadable image's reason.
    """

    total: int = 0
    unreadable: int = 0
    known: Counter = field(default_factory=Counter)
    right: Counter = field(default_factory=Counter)
    decided_right: Counter = field(default_factory=Counter)
    first_error: str = ""


def predict(classifier: Classifier, images: Iterable[SourceImage]) -> Iterator[Prediction]:
    """Classify images in order; memory does not grow with their number.

    Args:
        classifier: The model.
        images: Asked for only a little ahead of what is yielded.

    Yields:
        One prediction per image. An image that cannot be read gives one with an error.
    """
    return in_order(partial(_predict_one, classifier), images)


def _predict_one(classifier: Classifier, image: SourceImage) -> Prediction:
    # One image at a time is the fastest on a CPU: the feature maps of a batch outgrow its caches.
    try:
        logits = classifier.logits([read_xray(image.read()).image])[0].numpy().astype(np.float64)
    except XrayError as error:
        return Prediction(image, None, str(error))
    except OSError as error:
        return Prediction(image, None, f"The file cannot be read: {os.strerror(error.errno or errno.EIO)}.")
    if not np.isfinite(logits).all():
        return Prediction(image, None, "The model's output is not a number; its weights are damaged.")
    return Prediction(image, softmax(logits))


def predict_to_csv(classifier: Classifier, source: str, output: Path) -> Tally:
    """Classify a whole source into a CSV file, which appears when it is complete.

    Args:
        classifier: The model.
        source: See `train.data.find_images.find_images`.
        output: The file to make; see `write_csv`.

    Returns:
        What was counted.

    Raises:
        UsageError: The output exists, or there is no such source.
        ChestXrayError: No image could be read; nothing is written then.
    """
    _check_absent(output)
    total, images = find_images(source, classifier.labels)
    with _whole_file(output) as file:
        predictions = tqdm(predict(classifier, images), total=total, desc="predicting", unit="img")
        tally = write_csv(file, predictions, classifier.labels, classifier.operating_point)
        if tally.unreadable == tally.total:
            raise ChestXrayError(f"none of the {total:,} images could be read. The first, {tally.first_error}")
    return tally


def write_csv(
    file: TextIO, predictions: Iterable[Prediction], labels: Sequence[str], operating_point: OperatingPoint | None
) -> Tally:
    """Write predictions as they come.

    The columns are those of a run folder's predictions.csv, `source,split,patient,label,predicted,prob:<label>…`, and
    then `decision`, by the operating point where there is one, and `error`.

    Args:
        file: Where to; opened with newline="".
        predictions: The rows.
        labels: Class names in the order of the probabilities.
        operating_point: Of a binary task, or None.

    Returns:
        What was counted.
    """
    tally, writer = Tally(), csv.writer(file)
    names = [f"prob:{plain(label)}" for label in labels]
    writer.writerow(["source", "split", "patient", "label", "predicted", *names, "decision", "error"])
    for one in predictions:
        image, scores = one.image, one.probabilities
        tally.total += 1
        facts = [plain(image.source, "./"), *map(plain, (image.split, image.patient, image.label))]
        if scores is None:
            tally.unreadable += 1
            tally.first_error = tally.first_error or f"{facts[0]}: {one.error}"
            writer.writerow([*facts, "", *[""] * len(labels), "", plain(one.error)])
            continue
        predicted = labels[int(scores.argmax())]
        decision = labels[int(decide(scores[None], operating_point, labels)[0])] if operating_point else ""
        split = image.split or ""
        tally.known[split] += image.label in labels
        tally.right[split] += image.label == predicted
        tally.decided_right[split] += image.label == decision
        digits = [f"{score:.9f}" for score in scores]
        writer.writerow([*facts, plain(predicted), *digits, plain(decision), ""])
    return tally


def plain(text: str, guard: str = "'") -> str:
    r"""Make a text safe for a CSV file, whoever wrote it.

    Args:
        text: A file name, a label.
        guard: What is put before texts that begin with =, +, - or @, which spreadsheets would compute. "./" leaves a
            path the path of the same file.

    Returns:
        The text, with invisible characters (line breaks, terminal codes, changes of direction) written as `\n`, `\x1b`.
    """
    shown = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in INVISIBLE else char for char in text
    )
    return guard + shown if shown.startswith(FORMULA) else shown


@contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """Open a file for writing that appears when the block ends without an error."""
    partial = partial_of(path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            yield file
        _check_absent(path)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise UsageError(f"--output {path} exists already. Name another file, or delete that one first.")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.predict",
        description="Classify chest X-rays into a CSV file: source, split, patient, label, predicted (the highest "
        "probability), prob:<label>, decision (at the model's operating point) and error.",
        epilog="In a folder or zip, images are files ending in .png, .jpg, .jpeg and .dcm; a pattern takes all "
        "files. An image whose folder is named exactly like one of the model's classes counts as labelled by it. "
        "Names that a spreadsheet would compute (=, +, -, @) are written with ./ before them, other such texts with '; "
        "invisible characters are written as escapes. Files that cannot be read become rows with an error.",
    )
    parser.add_argument("model", metavar="MODEL", help="run folder, or model repository OWNER/NAME on the Hub")
    parser.add_argument(
        "source", metavar="SOURCE", help="dataset folder or repository, folder, .zip, image, or 'pattern' in quotes"
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV file to make")
    parser.add_argument("--revision", help="branch, tag or commit of MODEL on the Hub")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run MODEL's own code, if it is this project's, unchanged"
    )
    return parser.parse_args()


def main() -> None:
    """Load the model, classify, and say how it went."""
    args = parse_args()
    disable_progress_bar()  # transformers would draw one for the weights
    _check_absent(args.output)
    classifier = Classifier.load(args.model, args.revision, args.trust_remote_code)
    started = time.perf_counter()
    tally = predict_to_csv(classifier, args.source, args.output)
    rate = tally.total / (time.perf_counter() - started)
    print(f"{tally.total:,} images, {tally.unreadable:,} unreadable; {rate:.0f} images/s ({classifier.backend})")
    for split, known in tally.known.items():
        if known:  # never one number over images that the model was trained on and others
            accuracy = f"{tally.right[split] / known:.4f} at argmax"
            if classifier.operating_point:
                accuracy += f", {tally.decided_right[split] / known:.4f} at the operating point"
            print(f"{split} accuracy {accuracy}, over {known:,} images of known label".lstrip())
    print(f"written: {args.output}")


if __name__ == "__main__":
    run_cli(main)
