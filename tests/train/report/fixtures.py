"""What a run would record, from seeded scores, and the cards that are made of it; and a run finished on phantoms."""

import re
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import datasets
import numpy as np
import torch

from space.inference.operating_point import OperatingPoint
from space.results.evaluation_records import Subgroup
from space.results.results_file import Results
from tests.conftest import TINY_RECIPE
from tests.hostile import png_bytes
from tests.phantoms import draw_phantom
from train.config.recipe_file import load_recipe
from train.data.dataset import Data
from train.data.pixel_cache import PixelDataset
from train.engine.run_spec import RunSpec
from train.engine.trainer import Fit
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec, evaluate
from train.evaluation.inference import SplitPredictions
from train.models.factory import build, classifier_layer, save
from train.report.finish import finish_run
from train.report.model_card import render_card, render_evaluation

LABELS, SIZE = ["NORMAL", "PNEUMONIA"], 64
MOST_LINES, WIDTH = 25, 120  # of what a reader needs first; a longer line counts as several
ENTRY = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 40, "unit": "patient"}


def answers(seed: int, classes: int) -> SplitPredictions:
    random = np.random.default_rng(seed)
    truth = np.arange(120) % classes
    logits = random.normal(0, 1, (120, classes)) + 1.5 * np.eye(classes)[truth]
    columns = {"subtype": [None if k == 0 else ("virus", "bacteria")[i % 4 > 1] for i, k in enumerate(truth)]}
    return SplitPredictions(truth, logits, BootstrapClusters.of([f"p{i // 2}" for i in range(120)]), columns)


@cache
def evaluations(classes: int, test: bool) -> tuple[DecisionSpec, dict, dict]:
    """What was decided, and what `evaluate` says of seeded scores: of the dataset's own splits, and of another's."""
    labels = ["NORMAL", "PNEUMONIA", "COVID-19"][:classes]
    point = OperatingPoint("youden", "PNEUMONIA", 0.4321) if classes == 2 else None
    task = DecisionSpec(labels, 1 if classes == 2 else None, point, Calibration(1.25, np.zeros(classes)))
    splits = {"validation": answers(0, classes)} | ({"test": answers(1, classes)} if test else {})
    return task, asdict(evaluate(task, splits)), asdict(evaluate(task, {"external": answers(2, classes)}))


def make_results(classes: int = 2, test: bool = True, examined: bool = True, external: bool = True, **changes) -> dict:
    """What a run would record, from seeded scores."""
    task, own, elsewhere = deepcopy(evaluations(classes, test))
    labels = task.labels
    row = {"epoch": 2, "step": 20, "train_loss": 0.4, "learning_rate": 0.001, "validation_loss": 0.5}
    row |= {
        "validation_accuracy": 0.8,
        "validation_auroc": 0.9,
        "corrupted_auroc": 0.8,
        "robust_auroc": 0.85,
        "seconds": 60.0,
    }
    dataset = {
        "name": "someone/xrays", "fingerprint": "0" * 64, "title": "Some X-rays", "license": "cc-by-4.0",
        "citation": "Somebody, 2020.", "test_image_size": "224 x 224 (120 of 120)",
        "audit": {
            "exact_duplicates": 3, "near_duplicates": 1, "label_conflicts": 0, "dropped": 2,
            "patients_across_splits": {"train/test": 0}, "known_patients": 300, "unknown_patients": 5, "shared_keys": 7,
            "warnings": ["The frame tells."], "link": "https://www.kaggle.com/datasets/someone/xrays",
            "about": {"population": "adults of one hospital", "reference": "two physicians"},
        },
        "counts": {name: dict.fromkeys(labels, 120 // classes) for name in ("train", "validation", "test")},
    }  # fmt: skip
    recipe = asdict(load_recipe(TINY_RECIPE)) | {"name": "golden"}
    if classes > 2:
        recipe["evaluation"] |= {"positive_label": "", "operating_point": "argmax"}
    control = {
        "images": 40,
        "changed": {"auroc": ENTRY, "accuracy": ENTRY},
        "unchanged": {"auroc": ENTRY, "accuracy": ENTRY},
    }
    swap = {"images": 40, "pairs": 80, "own_masks": 30} | dict.fromkeys(("unchanged", "lungs", "surroundings"), ENTRY)
    energy = dict.fromkeys(("inside", "area", "shuffled", "gain", "over_area"), ENTRY) | {
        "images": 40,
        "empty": 0,
        "labels": dict.fromkeys(labels, 20),
    }
    boxes = energy | {"images": 12, "empty": 1, "labels": dict.fromkeys(labels, 0) | {"PNEUMONIA": 13}}
    falls = dict.fromkeys(("lead", "hottest", "other", "difference"), ENTRY) | {"images": 120, "empty": 0}
    deletion = [
        falls | {"method": method, "others": others} for others in ("anywhere", "lungs") for method in ("blur", "fill")
    ]
    stages = [{"stage": name, "correlation": ENTRY} for name in ("head", "blocks.1", "stem")]
    saliency = {"lung_energy": energy, "randomisation": stages, "deletion": deletion, "box_energy": boxes}
    other = {
        "dataset": dataset | {"name": "others", "title": "Other X-rays"}, "labels": {label: label for label in labels},
        "images": 120, "rules": elsewhere["splits"]["external"], "classes": elsewhere["classes"]["external"],
        "confusion": elsewhere["confusion"]["external"],
        "calibration": elsewhere["calibration"]["splits"]["external"],
        "drop": {"argmax": {"auroc": 0.1, "accuracy": -0.05}}, "box_energy": boxes,
    }  # fmt: skip
    return {
        "recipe": recipe, "recipe_sha256": "0" * 64, "labels": labels, "remote_code": False, "seed": 0,
        "init": "scratch", "command": "accelerate launch", "base_model": None, "max_steps": None, "processes": 1,
        "precision": "fp32",
        "dataset": dataset, "images": {"train": 400, "validation": 120} | ({"test": 120} if test else {}),
        "train_seconds": 120.0, "selection": {"metric": "robust_auroc", "stopped": ""} | row,
        "history": [row | {"epoch": 1, "step": 10}, row], "environment": {"device": "CPU", "torch": "2"},
        "evaluated": "2026-01-01T00:00:00+00:00", "resamples": 2000, **own,
        "operating_point": asdict(task.point) if task.point else None,
        "external": {"others": other} if external else {},
        "saliency": saliency if examined else None,
        "shortcuts": dict.fromkeys(["lungs_removed", "frame_only"], control) if examined else None,
        "swaps": dict.fromkeys(("validation", "test")[:1 + test], swap) if examined else {},
        "guard": {"threshold": 5.0, "accepted": {"validation": 0.995} | ({"test": 0.975} if test else {})},
        "figures": ["roc"], "samples": False,
    } | changes  # fmt: skip


VARIANTS = {
    "binary": {},
    "three classes": {"classes": 3},
    "no test split": {"test": False, "external": False},
    "no audit, no external test": {"external": False, "dataset": make_results()["dataset"] | {"audit": None}},
    "own network, not calibrated, samples": {"remote_code": True, "samples": True},
    "nothing examined": {"examined": False},
}


def card_of(results: dict) -> str:
    """README.md of a run that recorded this."""
    return render_card(Results(**results))


def evaluation_of(results: dict) -> str:
    """EVALUATION.md of a run that recorded this."""
    return render_evaluation(Results(**results))


def body_of(card: str) -> str:
    """A card without its front matter."""
    return card.split("\n---\n", 1)[1]


def lines_of_summary(card: str) -> int:
    """How many lines of text stand before the second heading; a table's row is one."""
    summary = re.split(r"^(?:## |<details)", body_of(card), maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in summary.splitlines() if line.strip()]
    return sum(1 if line.startswith("|") else -(-len(line) // WIDTH) for line in lines)


def group(images: int, auroc: float) -> Subgroup:
    """A subgroup of as many images of each class."""
    metrics = dict.fromkeys(("accuracy", "sensitivity", "specificity"), ENTRY) | {"auroc": ENTRY | {"value": auroc}}
    counts = {"NORMAL": images, "PNEUMONIA": images}
    return Subgroup(images=2 * images, units=9, labels=counts, argmax=metrics, operating_point=metrics)


def page(card: str) -> str:
    """A text as one line."""
    return " ".join(card.split())


@dataclass(frozen=True)
class FinishedRun:
    """What `finish_run` was given, and what it returned.

    Attributes:
        network: The weights before they were calibrated.
    """

    run: RunSpec
    fit: Fit
    pixels: dict[str, PixelDataset]
    network: torch.nn.Module
    results: Results


def phantoms(seed: int, n: int) -> tuple[datasets.Dataset, PixelDataset]:
    """Phantoms, every other one ill and two of a patient, as rows of a dataset and as pixels."""
    random, truth = np.random.default_rng(seed), np.arange(n) % 2
    pixels = np.stack([np.asarray(draw_phantom(random, bool(label), SIZE, SIZE)) for label in truth])
    columns = {
        "image": [{"bytes": png_bytes(image), "path": None} for image in pixels],
        "label": truth.tolist(),
        "patient": [f"p{number // 2}" for number in range(n)],
        "source": [f"{seed}/{number}.png" for number in range(n)],
    }
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=LABELS)}
    kinds |= dict.fromkeys(("patient", "source"), datasets.Value("string"))
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    return rows, PixelDataset(pixels, truth)


def finish_phantoms(folder: Path, test_seed: int = 2) -> FinishedRun:
    """Finish a run of random weights on phantoms: 40 to train on, 100 to validate and 40 to test with."""
    splits = {"train": phantoms(0, 40), "validation": phantoms(1, 100), "test": phantoms(test_seed, 40)}
    rows = {name: rows for name, (rows, _) in splits.items()}
    data = Data("phantoms", LABELS, rows, f"phantoms {test_seed}", "Phantoms", "mit", "")
    pixels = {name: of_split for name, (_, of_split) in splits.items()}
    recipe = load_recipe(TINY_RECIPE)
    run = RunSpec(folder, recipe, TINY_RECIPE, (), data, 3, "scratch", None, "no", 1)
    torch.manual_seed(0)
    model, processor = build(recipe.model, LABELS, "scratch")
    with torch.no_grad():
        classifier_layer(model).weight *= 100  # else all images get nearly the same score
    network = deepcopy(model)
    save(model, processor, folder)
    row = {"epoch": 1, "step": 2, "train_loss": 0.7, "learning_rate": 0.003, "validation_loss": 0.6}
    row |= {"validation_accuracy": 0.5, "validation_auroc": 0.5, "seconds": 9.0}
    fit = Fit([row, row | {"epoch": 2, "step": 4}], row, "")
    return FinishedRun(run, fit, pixels, network, finish_run(run, fit, pixels, torch.device("cpu")))
