"""Evaluate a finished run again, without changing its weights, calibration or operating point."""

import csv
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoModelForImageClassification

from space.errors import UsageError, first_line
from space.inference.operating_point import OperatingPoint
from space.results import read_results
from train.common.atomic_output import rewritten_whole
from train.data.dataset import Data, load_data
from train.data.pixel_cache import Normaliser, load_pixels
from train.engine.runtime import use_all_cores
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec
from train.evaluation.external_test import load_external
from train.models.preprocessing import normalisation
from train.report.run_folder import EvaluationInputs, environment, evaluate_run, print_results


def reevaluate(args: Namespace) -> None:
    """Write results.json, tables, figures and card of a run folder anew, whole or not at all.

    Args:
        args: `evaluate_only` (the run folder), `dataset`, `also`, `also_labels`, `with_samples`.

    Raises:
        UsageError: The folder holds no finished run, or the dataset is not the one that it was trained on.
    """
    run: Path = args.evaluate_only.resolve()
    recorded = asdict(read_results(run / "results.json"))
    data = load_data(args.dataset)
    _check_same(run, data, args)
    model, processor = _load(run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False
    threads = use_all_cores()
    pixels = load_pixels(data, processor, threads)
    external = None
    if args.also:
        external = load_external(args.also, args.also_labels, data, pixels, processor, threads)
    normalise = Normaliser(*normalisation(processor), device)
    subject = EvaluationInputs(model.to(device).eval(), _task(recorded, model), normalise, data, pixels)
    images = recorded["images"] | {name: len(split) for name, split in pixels.items()}
    facts = recorded | {"images": images, "dataset": data.summary(), "evaluated_in": environment(device)}
    with rewritten_whole(run) as copy:
        results = evaluate_run(copy, facts, subject, external, args.with_samples)
    print_results(results, run)


def _check_same(run: Path, data: Data, args: Namespace) -> None:
    """Refuse another dataset than the run's. Columns may have come to it since, such as lung masks."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        recorded = [(row["split"], row["source"], row["label"]) for row in csv.DictReader(file)]
    rows = ((name, data.splits[name]) for name in {split for split, _, _ in recorded} if name in data.splits)
    present = {
        (name, source, data.labels[label])
        for name, split in rows
        for source, label in zip(split["source"], split["label"], strict=True)
    }
    if present != set(recorded):
        raise UsageError(
            f"--dataset {args.dataset} is not what {args.evaluate_only} was trained on: of the {len(recorded):,} "
            f"images in its predictions.csv, {len(present.intersection(recorded)):,} have the same split and label "
            "there. Give the dataset of its training; to test on another one, use --also."
        )


def _load(run: Path):
    """The model and the processor of a run folder, from safetensors alone; our own networks with our own code."""
    try:
        model = AutoModelForImageClassification.from_pretrained(run, use_safetensors=True)
        return model, AutoImageProcessor.from_pretrained(run, backend="pil")
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UsageError(f"--evaluate-only {run}: the model cannot be loaded. {first_line(error)}") from None


def _task(recorded: dict, model) -> DecisionSpec:
    """What the model was made for, as its run recorded it."""
    labels, calibration = recorded["labels"], recorded["calibration"]
    biases = np.array([calibration.get("biases", {}).get(label, 0.0) for label in labels])
    wanted = recorded["recipe"]["evaluation"]["positive_label"]
    positive = labels.index(wanted) if len(labels) == 2 else None
    point = OperatingPoint.of_config(model.config.operating_point, labels)
    return DecisionSpec(labels, positive, point, Calibration(calibration["temperature"], biases))
