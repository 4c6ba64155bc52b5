"""From trained weights to a finished run folder: calibration, evaluation, and every file beside the weights."""

import csv
import json
import platform
import shlex
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from transformers import AutoModelForImageClassification

from space.classifier import decide
from space.errors import UsageError
from train.batches import Normaliser, PixelDataset
from train.calibration import fit_temperature, fold_temperature, negative_log_likelihood
from train.control import METRICS
from train.data import Data
from train.figures import save_figures
from train.folders import public_name
from train.golden import write_golden
from train.inference import predict_logits
from train.job import Fit
from train.metrics import RESAMPLES, evaluate_split, youden_threshold
from train.model_card import METRIC_NAMES, render_card
from train.models import CHEST_CNNS, classifier_layer, save
from train.recipe import RECIPES, Recipe
from train.sampling import epoch_length

PACKAGES = ("torch", "torchvision", "timm", "transformers", "accelerate", "datasets", "scikit-learn", "Pillow")


@dataclass(frozen=True)
class Run:
    """What was asked for.

    Raises:
        UsageError: The recipe's positive label is no class of a binary dataset.

    Attributes:
        folder: Where the run folder is being written.
        recipe: The recipe, read from `recipe_path` with `changes` made to it.
        changes: The command line's `--set key=value`.
        data: The dataset.
        seed, init, max_steps: As on the command line.
        precision: accelerate's mixed precision: "no", "bf16" or "fp16".
        processes: Number of processes; each takes its own batches.
    """

    folder: Path
    recipe: Recipe
    recipe_path: Path
    changes: tuple[str, ...]
    data: Data
    seed: int
    init: str
    max_steps: int | None
    precision: str
    processes: int

    def __post_init__(self):
        wanted, labels = self.recipe.evaluation.positive_label, self.data.labels
        if len(labels) == 2 and wanted not in labels:
            raise UsageError(
                f"positive_label = {wanted!r} in the recipe, which is made for other classes; it must be one of: "
                f"{', '.join(labels)}. Take a recipe for these, or add --set positive_label={labels[-1]!r}."
            )
        if len(labels) > 2 and (wanted or self.recipe.evaluation.operating_point != "argmax"):
            raise UsageError(
                f"the dataset has {len(labels)} classes: positive_label and operating_point are for two. Leave them "
                'out, or write positive_label = "" and operating_point = "argmax".'
            )

    @property
    def positive(self) -> int | None:
        """Index of the positive class of a binary task; None for more classes."""
        return self.data.labels.index(self.recipe.evaluation.positive_label) if len(self.data.labels) == 2 else None

    @property
    def precision_name(self) -> str:
        """The precision of training, as people name it."""
        return "fp32" if self.precision == "no" else self.precision

    @property
    def recipe_name(self) -> str:
        """The recipe as a command names it: by its name, or by its file where it is none of ours."""
        return self.recipe.name if self.recipe_path.resolve().parent == RECIPES else self.recipe_path.name

    @property
    def init_name(self) -> str:
        """The starting weights, a local file or folder by its name alone."""
        return public_name(self.init)

    @property
    def command(self) -> str:
        """The command that made the run, with folders by their names alone: a card is no place for local paths."""
        alone = ["accelerate", "launch"]
        words = alone if self.processes == 1 else ["torchrun", "--nproc_per_node", str(self.processes)]
        words = [*words, "train/finetune.py", "--recipe", self.recipe_name, "--dataset", self.data.name]
        words += ["--output", self.folder.name.removesuffix(".partial")]
        words += ["--seed", str(self.seed), "--init", self.init_name]
        words += ["--max-steps", str(self.max_steps)] if self.max_steps else []
        return shlex.join(words + [word for change in self.changes for word in ("--set", change)])

    @property
    def identity(self) -> dict:
        """What an interrupted run must agree on to be gone on with, as plain JSON values."""
        settings = {"seed": self.seed, "init": self.init, "max_steps": self.max_steps}
        where = {"precision": self.precision, "processes": self.processes}
        values = {"recipe": self.recipe.to_dict(), "dataset": self.data.fingerprint} | settings | where
        return json.loads(json.dumps(values))

    def recipe_text(self) -> str:
        """The recipe as it was run, as a recipe file: the story of the file it came from, then every key."""
        story = [line for line in self.recipe_path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        story += [f"# Changed here: {' '.join(change.split())}" for change in self.changes]
        return "\n".join([*story, "", self.recipe.to_toml()])


def print_plan(run: Run, splits: dict[str, PixelDataset], device: torch.device) -> None:
    """Say what is about to happen, before anything long starts."""
    model, training = run.recipe.model, run.recipe.training
    train, labels = splits["train"].labels.numpy(), run.data.labels
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    classes = ", ".join(f"{label} {n:,}" for label, n in zip(labels, np.bincount(train), strict=True))
    steps = epoch_length(train, training.class_balance) // (
        training.batch_size * training.accumulation_steps * run.processes
    )
    limit = f", at most {run.max_steps} steps" if run.max_steps else ""
    batches = f"{training.batch_size} x {run.processes} x {training.accumulation_steps}"
    print(f"model    {model.architecture}, {model.image_size} px, {' / '.join(labels)}; start: {run.init}")
    print(f"images   {counts}; training: {classes}")
    print(f"training {training.epochs} epochs of {max(1, steps)} steps, batches of {batches}{limit}; seed {run.seed}")
    print(f"         {training.optimizer}, {training.schedule} schedule, class balance: {training.class_balance}")
    print(f"device   {device}, {run.processes} process(es), {run.precision_name}, {torch.get_num_threads()} threads")


def finish_run(
    run: Run, fitted: Fit, processor, splits: dict[str, PixelDataset], normalise: Normaliser, device: torch.device
) -> dict:
    """Calibrate and evaluate the weights in the run folder in fp32, and write everything that it holds besides.

    Temperature and operating point come from validation alone; the test split is read here, after all choices.

    Returns:
        The content of results.json.
    """
    torch.backends.cudnn.allow_tf32 = False  # on a GPU "fp32" would else compute convolutions with 10 bits of mantissa
    model = AutoModelForImageClassification.from_pretrained(run.folder).to(device)
    calibration = _calibrate(model, splits["validation"], normalise)
    probabilities = {
        name: softmax(predict_logits(model, splits[name], normalise).astype(np.float64), axis=1)
        for name in ("validation", "test")
        if name in splits
    }
    point = _operating_point(run, splits["validation"].labels.numpy(), probabilities["validation"])
    model.config.operating_point = point
    save(model, processor, run.folder)
    write_golden(run.folder / "golden.safetensors", model, normalise, run.recipe.model.image_size)
    (run.folder / "recipe.toml").write_text(run.recipe_text(), encoding="utf-8")
    found = {
        "environment": environment(device),
        "calibration": calibration,
        "operating_point": point,
        "splits": {name: _rules(run, name, splits[name], probabilities[name], point) for name in probabilities},
    }
    results = _results(run, fitted, {name: len(split) for name, split in splits.items()}, found)
    _write_reports(run, results, splits, probabilities)
    return results


def _results(run: Run, fitted: Fit, images: dict[str, int], found: dict) -> dict:
    """The content of results.json: what was asked for, how it went, and what evaluation `found`."""
    return {
        "recipe": run.recipe.to_dict(),
        "labels": run.data.labels,
        "remote_code": run.recipe.model.architecture in CHEST_CNNS,
        "command": run.command,
        "seed": run.seed,
        "init": run.init_name,
        "max_steps": run.max_steps,
        "processes": run.processes,
        "precision": run.precision_name,
        "dataset": run.data.summary(with_test="test" in found["splits"]),
        "images": images,
        "train_seconds": sum(row["seconds"] for row in fitted.history),
        "selection": {"metric": METRICS[run.recipe.control.selection][0], "stopped": fitted.stopped} | fitted.kept,
        "resamples": RESAMPLES,
        **found,
        "history": fitted.history,
    }


def _calibrate(model: nn.Module, validation: PixelDataset, normalise: Normaliser) -> dict[str, float | str]:
    """Fit the temperature on validation and fold it into the model; returns what results.json says of it."""
    logits, truth = predict_logits(model, validation, normalise), validation.labels.numpy()
    temperature = fit_temperature(logits, truth)
    fold_temperature(classifier_layer(model), temperature)
    return {
        "temperature": temperature,
        "fitted_on": "validation",
        "nll_before": negative_log_likelihood(logits, truth),
        "nll_after": negative_log_likelihood(logits / temperature, truth),
    }


def _write_reports(
    run: Run, results: dict, splits: dict[str, PixelDataset], probabilities: dict[str, np.ndarray]
) -> None:
    """Write results.json, predictions.csv, the figures and the card."""
    write_json(run.folder / "results.json", results)
    write_predictions(run.folder / "predictions.csv", run.data, probabilities)
    shown = "test" if "test" in probabilities else "validation"
    decided = decide(probabilities[shown], results["operating_point"], run.data.labels)
    truth = splits[shown].labels.numpy()
    rule = "the operating point" if results["operating_point"] else "argmax"
    figures = run.folder / "figures"
    save_figures(figures, shown, results["history"], run.data.labels, truth, probabilities[shown], decided, rule)
    (run.folder / "README.md").write_text(render_card(results), encoding="utf-8")


def _operating_point(run: Run, truth: np.ndarray, probabilities: np.ndarray) -> dict | None:
    positive, rule = run.positive, run.recipe.evaluation.operating_point
    if positive is None or rule == "argmax":
        return None
    threshold = youden_threshold(truth == positive, probabilities[:, positive])
    return {"rule": rule, "positive_label": run.data.labels[positive], "threshold": threshold}


def _rules(run: Run, name: str, split: PixelDataset, probabilities: np.ndarray, point: dict | None) -> dict[str, dict]:
    rules = {"argmax": None} | ({"operating_point": point} if point else {})
    patients, truth = run.data.splits[name]["patient"], split.labels.numpy()
    return {
        rule: evaluate_split(
            truth, probabilities, decide(probabilities, value, run.data.labels), list(patients), run.positive
        )
        for rule, value in rules.items()
    }


def print_results(results: dict, output: Path) -> None:
    """Print the table of a finished run."""
    for name, rules in results["splits"].items():
        for rule, metrics in rules.items():
            print(f"\n{name}, {rule.replace('_', ' ')}")
            for metric, found in metrics.items():
                print(f"  {METRIC_NAMES[metric]:22} {found['value']:.4f}  [{found['low']:.4f}, {found['high']:.4f}]")
    print(f"\nwritten: {output}")


def write_json(path: Path, values: dict) -> None:
    """Write plain values as readable JSON (floats keep all their digits; NaN is refused)."""
    path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_predictions(path: Path, data: Data, probabilities: dict[str, np.ndarray]) -> None:
    """Write predictions.csv: `source,split,patient,label,predicted,prob:<label>…`; `predicted` is the argmax.

    Args:
        path: The file.
        data: The dataset; its rows stand in the order of the probabilities.
        probabilities: {split: (N, K)}.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["source", "split", "patient", "label", "predicted", *(f"prob:{label}" for label in data.labels)]
        )
        for name, values in probabilities.items():
            rows = data.splits[name].select_columns(["source", "patient", "label"])
            for row, scores in zip(rows, values, strict=True):
                names = [data.labels[row["label"]], data.labels[int(scores.argmax())]]
                writer.writerow([row["source"], name, row["patient"], *names, *(f"{score:.9f}" for score in scores)])


def hide_hostname(folder: Path) -> None:
    """Rename TensorBoard's files: they carry this machine's name, and run folders are made to be published."""
    for number, path in enumerate(sorted(folder.rglob("events.out.tfevents.*"))):
        path.rename(path.with_name(f"events.out.tfevents.{number}"))


def environment(device: torch.device) -> dict[str, str]:
    """Device and package versions, as results.json records them."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"
    return {"device": name, "python": platform.python_version()} | {package: version(package) for package in PACKAGES}
