"""Evaluate a finished run again, without changing its weights, calibration or operating point."""

import csv
from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from space.errors import UsageError
from space.inference.operating_point import OperatingPoint
from space.results.results_file import Results, read_results
from space.results.training_records import TrainingRecord
from train.common.atomic_output import rewritten_whole
from train.data.dataset import Data, load_data
from train.data.origins import leave_out
from train.data.pixel_cache import load_pixels
from train.engine.runtime import use_all_cores
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec
from train.evaluation.external_set import load_external
from train.evaluation.finished_model import load_finished
from train.report.run_folder import EvaluationInputs, evaluate_run
from train.report.summary import print_results
from train.report.training_record import environment


def reevaluate(args: Namespace) -> None:
    """Write results.json, tables, figures and card of a run folder again, whole or not at all.

    Args:
        args: `evaluate_only` (the run folder), `dataset`, `also`, `also_labels`, `also_drop_copies`, `with_samples`.

    Raises:
        UsageError: The folder holds no finished run, or the dataset is not the one that it was trained on.
    """
    run: Path = args.evaluate_only.resolve()
    recorded = read_results(run / "results.json")
    data = leave_out(load_data(args.dataset), recorded.recipe.left_out)
    _check_same(run, data, args)
    finished = load_finished(run)
    threads = use_all_cores()
    pixels = load_pixels(data, finished.processor, threads)
    external = None
    if args.also:
        external = load_external(
            args.also, args.also_labels, data, pixels, finished.processor, threads, args.also_drop_copies
        )
    inputs = EvaluationInputs(finished, _task(recorded, finished.model), data, pixels, external, args.with_samples)
    training = TrainingRecord(**{field.name: getattr(recorded, field.name) for field in fields(TrainingRecord)})
    training = replace(
        training,
        images=recorded.images | {name: len(split) for name, split in pixels.items()},
        dataset=data.summary(),
        evaluated_in=environment(finished.normalise.device),
    )
    with rewritten_whole(run) as copy:
        results = evaluate_run(copy, training, inputs, recorded)
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
            "there. Give the dataset it was trained on; to test on another one, use --also."
        )


def _task(recorded: Results, model) -> DecisionSpec:
    """What the model was made for, as its run recorded it."""
    labels, folded = recorded.labels, recorded.calibration
    biases = np.array([folded.biases.get(label, 0.0) for label in labels])
    positive = labels.index(recorded.positive_label) if recorded.positive_label else None
    point = OperatingPoint.of_config(model.config.operating_point, labels)
    return DecisionSpec(labels, positive, point, Calibration(folded.temperature, biases, folded.not_fitted))
