"""The folds of a cross-validation: how images are split, trained on and tested."""

import argparse
import shlex
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import datasets
import numpy as np
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold

from space.errors import UsageError
from space.results.evaluation_records import Estimate
from train.common.arguments import public_name
from train.config.recipe import Recipe
from train.data.dataset import load_data
from train.data.origins import leave_out
from train.data.pixel_cache import CORRUPTED, Normaliser, PixelDataset, load_pixels
from train.engine.runtime import mixed_precision, use_all_cores
from train.engine.trainer import Trainer
from train.engine.training_inputs import TrainingInputs
from train.evaluation.bootstrap import BootstrapClusters, percentile_interval
from train.evaluation.inference import predict_logits, units_of
from train.evaluation.metrics import ScoredImages
from train.models.chest_cnns import default_init
from train.models.factory import build
from train.models.preprocessing import normalisation
from train.report.training_record import environment

VALIDATION_PARTS = 8  # a fold's validation is one of so many parts of the images that it does not test
METRICS = ("accuracy", "balanced_accuracy", "auroc")


@dataclass(frozen=True)
class Fold:
    """Rows (indices) of one training; no group is in two of them."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> Iterator[Fold]:
    """Split images by class and group.

    Args:
        labels: (N,) class indices.
        groups: (N,) keys; images with one key stay together.
        folds: Number of folds; each image is tested in one of them.
        seed: Decides the folds.

    Raises:
        UsageError: A class has too few groups for every part to have one.
    """
    fewest = min(len(np.unique(groups[labels == k])) for k in np.unique(labels))
    least = max(folds, VALIDATION_PARTS) + 2
    if fewest < least:
        raise UsageError(
            f"--folds {folds} needs at least {least} patients (or groups of copies) in every class; the smallest has "
            f"{fewest}."
        )
    for rest, test in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups):
        inner = StratifiedGroupKFold(VALIDATION_PARTS, shuffle=True, random_state=seed)
        train, validation = next(inner.split(rest, labels[rest], groups[rest]))
        yield Fold(rest[train], rest[validation], test)


def cross_validate(args: argparse.Namespace, recipe: Recipe) -> dict:
    """Train every fold of every repeat.

    Args:
        args: `dataset`, `folds`, `repeats`, `seed`, `init`, `set` of the command line.
        recipe: The recipe, with the changes of `set`.

    Returns:
        What the command writes: how it was made, and the metrics at argmax, each with its value in every repeat, their
        mean, and a 95% bootstrap interval of the mean over patients.

    Raises:
        UsageError: The dataset is too small, or starting weights do not fit.
        ChestXrayError: An image cannot be read, or training diverged.
    """
    started = time.monotonic()
    data = leave_out(load_data(args.dataset), recipe.data.leave_out)
    init = args.init or default_init(recipe.model.architecture)
    threads = use_all_cores()
    precision = mixed_precision(recipe.training.precision, PartialState().device)
    accelerator = Accelerator(mixed_precision=precision)
    # As one split, so that the corrupted copy has all images too.
    whole = datasets.concatenate_datasets([data.splits["train"], data.splits["validation"]])
    everything = replace(data, splits={"validation": whole}, fingerprint=f"{data.fingerprint} without test")
    _, processor = build(recipe.model, data.labels, init)
    pixels = load_pixels(everything, processor, threads, ["validation", CORRUPTED])
    labels, units = pixels["validation"].labels.numpy(), units_of(list(whole["patient"]), pixels["validation"])
    answers = []
    for repeat in range(args.repeats):
        logits = np.zeros((len(labels), len(data.labels)))
        for number, fold in enumerate(make_folds(labels, units.keys, args.folds, args.seed + repeat)):
            print(f"repeat {repeat + 1} of {args.repeats}, fold {number + 1} of {args.folds}", flush=True)
            logits[fold.test] = _answers(recipe, data.labels, init, pixels, fold, args.seed + repeat, accelerator)
        answers.append(softmax(logits, axis=1))
    metrics = summarise_repeats(labels, answers, units)
    for name, (estimate, _) in metrics.items():
        print(f"{name:18} {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})")
    return {
        "command": _command(args),
        "recipe": recipe.to_dict(),
        "init": public_name(init),
        "dataset": {"name": data.name, "title": data.title, "fingerprint": data.fingerprint},
        "images": len(labels),
        "units": {"number": len(units), "name": units.name},
        "metrics": {
            name: asdict(estimate) | {"repeats": values.tolist()} for name, (estimate, values) in metrics.items()
        },
        "precision": "fp32" if precision == "no" else precision,
        "environment": environment(accelerator.device),
        "seconds": round(time.monotonic() - started, 1),
    }


def _answers(
    recipe: Recipe,
    labels: list[str],
    init: str,
    pixels: dict[str, PixelDataset],
    fold: Fold,
    seed: int,
    accelerator: Accelerator,
) -> np.ndarray:
    """Train on a fold; returns the logits (M, K) of the images that it tests."""
    set_seed(seed)
    model, processor = build(recipe.model, labels, init)
    normalise = Normaliser(*normalisation(processor), accelerator.device)

    def part(rows: np.ndarray, name: str = "validation") -> PixelDataset:
        whole = pixels[name]
        return PixelDataset(whole.pixels[rows], whole.labels[rows], whole.origins[rows])

    splits = {"train": part(fold.train), "validation": part(fold.validation)}
    if recipe.control.selection == "robust-auroc":
        splits[CORRUPTED] = part(fold.validation, CORRUPTED)
    with tempfile.TemporaryDirectory() as folder:
        inputs = TrainingInputs(recipe, model, splits, normalise, Path(folder), seed, max_steps=None, identity={})
        Trainer(accelerator, inputs).run()
    accelerator.free_memory()
    model = accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # tested in fp32, as runs are
    return predict_logits(model, part(fold.test), normalise)


def summarise_repeats(
    labels: np.ndarray, answers: list[np.ndarray], units: BootstrapClusters
) -> dict[str, tuple[Estimate, np.ndarray]]:
    """Metrics at argmax, averaged over the repeats.

    The interval is over images or patients with the trained networks as they are; it does not cover how networks
    trained on other images would differ.

    Args:
        labels: (N,) class indices.
        answers: Probabilities (N, K) of each repeat, each image's by the network that had not seen it.
        units: What is resampled.

    Returns:
        {metric: (estimate of the mean, values (R,) of the repeats)}.
    """
    positive = 1 if answers[0].shape[1] == 2 else None
    repeats = [ScoredImages(labels, p, {"argmax": p.argmax(axis=1)}, positive) for p in answers]
    values = [images.values(METRICS)["argmax"] for images in repeats]
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    for weights in units.resamples():
        measured = [images.measure(weights, METRICS)["argmax"] for images in repeats]
        for name in METRICS:
            blocks[name].append(np.mean([of_repeat[name] for of_repeat in measured], axis=0))
    summary = {}
    for name in METRICS:
        each = np.array([of_repeat[name] for of_repeat in values])
        low, high = percentile_interval(blocks[name])
        mean, n = float(each.mean()), len(units)
        summary[name] = Estimate(value=mean, low=float(low), high=float(high), n=n, unit=units.name), each
    return summary


def _command(args: argparse.Namespace) -> str:
    """The command that was given, with folders by their names alone: results are no place for local paths."""
    words = ["python", "-m", "train.study.cross_validation", "--recipe", Path(args.recipe).name]
    words += ["--dataset", public_name(args.dataset), "--output", args.output.name, "--folds", str(args.folds)]
    words += ["--repeats", str(args.repeats), "--seed", str(args.seed)]
    words += ["--init", public_name(args.init)] if args.init else []
    return shlex.join(words + [word for change in args.set for word in ("--set", change)])
