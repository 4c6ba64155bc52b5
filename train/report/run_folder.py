"""From trained weights to a finished run folder: calibration, evaluation, and every file beside the weights."""

import hashlib
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from transformers import AutoModelForImageClassification

from space.inference.guard import FILE as GUARD_FILE
from space.inference.operating_point import OperatingPoint
from space.results import Results, write_results
from train.common.arguments import IMAGENET
from train.data.dataset import Data
from train.data.lung_masks import masked_images
from train.data.pixel_cache import Normaliser, PixelDataset
from train.engine.control import METRICS
from train.engine.run_spec import RunSpec
from train.engine.trainer import Fit
from train.evaluation.bootstrap import RESAMPLES
from train.evaluation.calibration import fit_calibration
from train.evaluation.evaluate_model import DecisionSpec, SplitPredictions, evaluate, predict_split
from train.evaluation.external_test import External, judge_external
from train.evaluation.fit_guard import describe, fit_guard, some_rows
from train.evaluation.inference import predict_logits
from train.evaluation.occlusion_controls import shortcut_controls
from train.evaluation.operating_point import choose_threshold
from train.evaluation.saliency_checks import lung_energy, weight_randomisation
from train.models.chest_cnns import CHEST_CNNS
from train.models.factory import base_model, classifier_layer, save
from train.models.golden import write_golden
from train.report.figures import Shown, save_figures
from train.report.mistakes import draw_mistakes
from train.report.model_card import METRIC_NAMES, write_cards
from train.report.tables import (
    write_classification_report,
    write_confusion,
    write_history,
    write_predictions,
)

PACKAGES = ("torch", "torchvision", "timm", "transformers", "accelerate", "datasets", "scikit-learn", "Pillow")
PRINTED = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "f1", "macro_f1", "auroc", "auprc", "ece")


def finish_run(
    run: RunSpec,
    fitted: Fit,
    processor,
    pixels: dict[str, PixelDataset],
    normalise: Normaliser,
    device: torch.device,
    external: External | None = None,
) -> dict:
    """Calibrate and evaluate the weights in the run folder in fp32, and write everything that it holds besides.

    Temperature and operating point come from validation alone; the test split is read here, after all choices.

    Returns:
        The content of results.json.
    """
    torch.backends.cudnn.allow_tf32 = False  # on a GPU "fp32" would else compute convolutions with 10 bits of mantissa
    model = AutoModelForImageClassification.from_pretrained(run.folder).to(device)
    task = _settle(run, model, pixels["validation"], normalise)
    model.config.operating_point = asdict(task.point) if task.point else None
    save(model, processor, run.folder)
    write_golden(run.folder / "golden.safetensors", model, normalise, run.recipe.model.image_size)
    (run.folder / "recipe.toml").write_text(run.recipe_text(), encoding="utf-8")
    facts = _facts(run, fitted, {name: len(split) for name, split in pixels.items()}) | {
        "environment": environment(device)
    }
    return evaluate_run(
        run.folder, facts, EvaluationInputs(model, task, normalise, run.data, pixels), external, run.with_samples
    )


def _settle(run: RunSpec, model: nn.Module, validation: PixelDataset, normalise: Normaliser) -> DecisionSpec:
    """Fix on validation what the finished model is: its calibration, folded in here, and its operating point."""
    wanted, labels, truth = run.recipe.evaluation, run.data.labels, validation.labels.numpy()
    logits = predict_logits(model, validation, normalise)
    calibration = fit_calibration(wanted.calibration, logits, truth)
    calibration.fold(classifier_layer(model))
    task = DecisionSpec(labels, run.positive, None, calibration)
    if run.positive is None or wanted.operating_point == "argmax":
        return task
    scores = softmax(calibration.apply(logits.astype(np.float64)), axis=1)[:, run.positive]
    threshold = choose_threshold(wanted.operating_point, truth == run.positive, scores)
    point = OperatingPoint(wanted.operating_point, labels[run.positive], threshold)
    return DecisionSpec(labels, run.positive, point, calibration)


def _facts(run: RunSpec, fitted: Fit, images: dict[str, int]) -> dict:
    """What results.json says of the training."""
    return {
        "recipe": run.recipe.to_dict(),
        "recipe_sha256": hashlib.sha256(run.recipe_text().encode()).hexdigest(),
        "labels": run.data.labels,
        "remote_code": run.recipe.model.architecture in CHEST_CNNS,
        "command": run.command,
        "seed": run.seed,
        "init": run.init_name,
        "base_model": base_model(run.recipe.model.architecture) if run.init == IMAGENET else None,
        "max_steps": run.max_steps,
        "processes": run.processes,
        "precision": run.precision_name,
        "dataset": run.data.summary(with_test="test" in images),
        "images": images,
        "train_seconds": sum(row["seconds"] for row in fitted.history),
        "selection": {"metric": METRICS[run.recipe.control.selection][0], "stopped": fitted.stopped} | fitted.kept,
        "history": fitted.history,
    }


@dataclass(frozen=True)
class EvaluationInputs:
    """A finished model and what it is evaluated on.

    Attributes:
        model: The classifier, calibrated.
        task: What it was made for.
        normalise: Pixels -> its input.
        data: The dataset that it was trained on.
        pixels: Splits of it; those of "validation" and "test" that are there are evaluated. The guard is fitted on
            "train" and "validation".
    """

    model: nn.Module
    task: DecisionSpec
    normalise: Normaliser
    data: Data
    pixels: dict[str, PixelDataset]


def evaluate_run(
    folder: Path, facts: dict, subject: EvaluationInputs, external: External | None, with_samples: bool
) -> dict:
    """Evaluate a finished model and write results.json, the tables, the figures and the card.

    Args:
        folder: The run folder.
        facts: What results.json says of the training, and under "external" what is known of other datasets already.
        subject: The model.
        external: Another dataset to test it on.
        with_samples: Whether images of single patients may be published with the run.

    Returns:
        The content of results.json.
    """
    model, task, normalise = subject.model, subject.task, subject.normalise
    names = [name for name in ("validation", "test") if name in subject.pixels]
    answers = {name: predict_split(model, subject.pixels[name], normalise, subject.data.splits[name]) for name in names}
    shown = Shown(names[-1], task, answers[names[-1]])
    found = evaluate(task, answers)
    others = facts.get("external", {})
    if external:
        judged = judge_external(external, model, normalise, task, found["splits"].get("test"))
        others = others | {external.summary["name"]: judged}
    results = facts | {
        "evaluated": datetime.now(UTC).isoformat(timespec="seconds"),
        "resamples": RESAMPLES,
        "operating_point": asdict(task.point) if task.point else None,
        **found,
        "external": others,
        **(_examine(subject, answers["test"]) if "test" in answers else {"saliency": None, "shortcuts": None}),
        "guard": _guard(folder, subject, names),
        "figures": save_figures(folder / "figures", facts["history"], shown),
    }
    images = subject.pixels[shown.split]
    results["samples"] = draw_mistakes(folder / "figures", shown, images, model, normalise, with_samples)
    results = asdict(Results(**results))
    _write_tables(folder, subject.data, results, answers)
    write_cards(folder, Results(**results))
    return results


def _guard(folder: Path, subject: EvaluationInputs, names: list[str]) -> dict:
    """Write guard.safetensors; returns its threshold and the share of each split's images that it lets pass."""
    model, pixels, normalise = subject.model, subject.pixels, subject.normalise
    described = {name: describe(model, pixels[name], normalise) for name in names}
    seen = describe(model, pixels["train"], normalise, some_rows(pixels["train"]))
    guard = fit_guard(seen, described["validation"])
    guard.save(folder / GUARD_FILE)
    accepted = {name: float(np.mean(guard.distances(*one) <= guard.threshold)) for name, one in described.items()}
    return {"threshold": guard.threshold, "accepted": accepted}


def _examine(subject: EvaluationInputs, answers: SplitPredictions) -> dict:
    """Saliency and shortcuts on the test split."""
    task, model, normalise, test, units = (
        subject.task,
        subject.model,
        subject.normalise,
        subject.pixels["test"],
        answers.units,
    )
    masked = masked_images(test, subject.data.splits["test"])
    energy = None
    if masked:
        energy = lung_energy(model, masked, normalise, units.of_rows(masked.rows))
        energy["labels"] = {label: int((test.labels[masked.rows] == k).sum()) for k, label in enumerate(task.labels)}
    randomised = weight_randomisation(model, test.pixels, normalise, units)
    return {
        "saliency": {"lung_energy": energy, "randomisation": randomised},
        "shortcuts": shortcut_controls(model, test, masked, normalise, answers),
    }


def _write_tables(folder: Path, data: Data, results: dict, answers: dict[str, SplitPredictions]) -> None:
    write_results(folder / "results.json", Results(**results))
    write_predictions(folder / "predictions.csv", data, {name: one.probabilities for name, one in answers.items()})
    write_classification_report(folder / "classification_report.csv", results)
    write_confusion(folder / "confusion_matrix.csv", results)
    write_history(folder / "history.csv", results["history"])


def print_results(results: dict, output: Path) -> None:
    """Print the most important numbers of a finished run."""
    for name, rules in results["splits"].items():
        for rule, metrics in rules.items():
            print(f"\n{name}, {rule.replace('_', ' ')}")
            for metric, found in ((name, metrics[name]) for name in PRINTED if name in metrics):
                print(f"  {METRIC_NAMES[metric]:22} {found['value']:.4f}  [{found['low']:.4f}, {found['high']:.4f}]")
    for name, other in results["external"].items():
        found = other["rules"]["argmax"]["auroc"]
        drop = f", {-other['drop']['argmax']['auroc']:+.4f} against test" if other["drop"] else ""
        print(f"\nexternal: {name}, {other['images']:,} images of all its splits")
        print(f"  {'AUROC':22} {found['value']:.4f}  [{found['low']:.4f}, {found['high']:.4f}]{drop}")
    print(f"\nwritten: {output}")


def hide_hostname(folder: Path) -> None:
    """Rename TensorBoard's files: they carry this machine's name, and run folders are made to be published."""
    for number, path in enumerate(sorted(folder.rglob("events.out.tfevents.*"))):
        path.rename(path.with_name(f"events.out.tfevents.{number}"))


def environment(device: torch.device) -> dict[str, str]:
    """Device and package versions, as results.json records them."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"
    return {"device": name, "python": platform.python_version()} | {package: version(package) for package in PACKAGES}
