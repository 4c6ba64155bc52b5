"""Images a second of `python -m train.predict` beside transformers' `pipeline("image-classification")`, on one model.

python -m tests.benchmarks.predict [FOLDER] [--model DIR] [--rounds 3] [--images 624]

Each round runs all contestants one after the other. "loaded" is what one process does once its model stands ready;
"process" is a fresh process each, with everything it imports and loads. What is printed are medians; the ratio of a row
is to the pipeline at the batch size that is best for it.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from transformers import pipeline
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from space.inference.classifier import Classifier
from tests.conftest import DEFAULT_MODEL, KERMANY
from train.data.find_images import find_images
from train.predict import predict

BATCH_SIZES = (1, 8, 16, 32)
PIPELINE = """
import sys
from pathlib import Path
from transformers import pipeline
model, folder, batch_size = sys.argv[1:]
files = [str(path) for path in sorted(Path(folder).rglob("*.jpeg"))]
list(pipeline("image-classification", model=model)(files, batch_size=int(batch_size)))
"""


def timed(measured: dict[str, list[float]], name: str, work):
    """Run `work` and note its seconds; returns its result."""
    start = time.perf_counter()
    result = work()
    measured.setdefault(name, []).append(time.perf_counter() - start)
    return result


def loaded(model: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of both with their models loaded; prints the largest difference of a probability."""
    classifier, transformers = Classifier.load(model), pipeline("image-classification", model=str(model))
    with find_images(str(folder), classifier.labels) as (_, found):
        images = list(found)  # files in a folder, which needs no open zip
    files = [str(folder / image.source) for image in images]
    transformers(files[:8], batch_size=8), list(predict(classifier, images[:8]))
    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        for size in BATCH_SIZES:
            work = lambda size=size: list(transformers(files, batch_size=size))  # noqa: E731
            answers = timed(measured, f"pipeline, batches of {size}", work)
        ours = timed(measured, "predict", lambda: list(predict(classifier, images)))
        timed(measured, "predict, without guard", lambda: list(predict(classifier, images, guarded=False)))
    theirs = [{answer["label"]: answer["score"] for answer in image} for image in answers]
    expected = np.array([[scores[label] for label in classifier.labels] for scores in theirs])
    difference = np.abs(np.array([one.probabilities for one in ours]) - expected).max()
    print(f"{len(files):,} images, largest difference of a probability: {difference:.1e}")
    return measured


def processes(model: Path, folder: Path, rounds: int, batch_size: int) -> dict[str, list[float]]:
    """Seconds of fresh processes."""
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "predictions.csv"
        commands = {
            f"pipeline, batches of {batch_size}": ["-c", PIPELINE, model, folder, str(batch_size)],
            "python -m train.predict": ["-m", "train.predict", model, folder, "--output", output],
        }
        for _ in range(rounds):
            for name, command in commands.items():
                run = lambda command=command: subprocess.run(  # noqa: E731
                    [sys.executable, *map(str, command)], check=True, capture_output=True
                )
                timed(measured, name, run)
            with output.open() as file:
                n = sum(1 for _ in csv.DictReader(file))
            output.unlink()
    assert n, "nothing was predicted"
    return measured


def report(title: str, measured: dict[str, list[float]], n: int) -> str:
    """Print one table; returns the name of the pipeline's fastest row."""
    seconds = {name: statistics.median(runs) for name, runs in measured.items()}
    best = min((name for name in seconds if name.startswith("pipeline")), key=seconds.get)
    print(f"\n{title}")
    for name, median in seconds.items():
        print(
            f"  {name:26} {median:6.2f} s {n / median:6.0f} images/s   ratio {seconds[best] / median:5.2f}   "
            f"(best round {n / min(measured[name]):.0f} images/s)"
        )
    return best


def links_to(folder: Path, into: Path, most: int) -> int:
    """Make a folder of links to some of a folder's JPEG images, evenly spread; returns how many."""
    files = sorted(folder.rglob("*.jpeg"))
    chosen = [files[i * len(files) // most] for i in range(most)] if most < len(files) else files
    for file in chosen:
        link = into / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return len(chosen)


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=KERMANY / "chest_xray" / "test")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=624, help="take at most so many of the folder")
    args = parser.parse_args()
    disable_progress_bar()
    set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n = links_to(args.folder, folder, args.images)
        best = report("loaded", loaded(args.model, folder, args.rounds), n)
        report("process", processes(args.model, folder, args.rounds, int(best.split()[-1])), n)


if __name__ == "__main__":
    main()
