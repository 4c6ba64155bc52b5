"""From trained weights to a finished run folder: calibration, operating point, and what shows a copy to be faithful."""

import copy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from space.inference.graph import FILE as GRAPH_FILE
from space.inference.operating_point import OperatingPoint
from space.results.results_file import Results
from train.data.dataset import some_images
from train.data.origins import comparable_origins
from train.data.pixel_cache import PixelDataset
from train.engine.run_spec import RunSpec
from train.engine.trainer import Fit
from train.evaluation.calibration import fit_calibration
from train.evaluation.evaluate_model import DecisionSpec
from train.evaluation.external_set import ExternalSet
from train.evaluation.finished_model import FinishedModel, load_finished
from train.evaluation.inference import predict_logits
from train.evaluation.operating_point import choose_threshold
from train.models.factory import classifier_layer, save
from train.models.golden import write_golden
from train.models.graph import export_graph
from train.report.run_folder import EvaluationInputs, evaluate_run
from train.report.training_record import record_training


def finish_run(
    run: RunSpec,
    fit: Fit,
    pixels: dict[str, PixelDataset],
    device: torch.device,
    external: ExternalSet | None = None,
) -> Results:
    """Calibrate and evaluate the weights in the run folder in fp32, and write everything that it holds besides.

    Temperature and operating point come from validation alone; the test split is read here, after all choices.
    """
    finished = load_finished(run.folder, device)
    task = _choose_on_validation(run, finished, pixels["validation"])
    finished.model.config.operating_point = asdict(task.point) if task.point else None
    save(finished.model, finished.processor, run.folder)
    print(f"exporting {GRAPH_FILE}", flush=True)
    export_graph(copy.deepcopy(finished.model).cpu(), finished.processor, run.folder, some_images(run.data.splits))
    write_golden(run.folder / "golden.safetensors", finished.model, finished.normalise, run.recipe.model.image_size)
    (run.folder / "recipe.toml").write_text(run.recipe_text(), encoding="utf-8")
    training = record_training(run, fit, {name: len(split) for name, split in pixels.items()}, device)
    inputs = EvaluationInputs(finished, task, run.data, pixels, external, run.with_samples)
    return evaluate_run(run.folder, training, inputs)


def _choose_on_validation(run: RunSpec, finished: FinishedModel, validation: PixelDataset) -> DecisionSpec:
    """Choose the calibration, which is folded into the model here, and the operating point."""
    recipe, labels, truth = run.recipe.evaluation, run.data.labels, validation.labels.numpy()
    logits = predict_logits(finished.model, validation, finished.normalise)
    calibration = fit_calibration(recipe.calibration, logits, truth)
    calibration.fold(classifier_layer(finished.model))
    point = None
    if run.positive is not None and recipe.operating_point != "argmax":
        scores = softmax(calibration.apply(logits.astype(np.float64)), axis=1)[:, run.positive]
        origins = comparable_origins(validation.origins, truth, len(labels)).values()
        threshold = choose_threshold(recipe.operating_point, truth == run.positive, scores, list(origins))
        point = OperatingPoint(recipe.operating_point, labels[run.positive], threshold)
    return DecisionSpec(labels, run.positive, point, calibration)


def hide_hostname(folder: Path) -> None:
    """Rename TensorBoard's files: they carry this machine's name, and run folders are made to be published."""
    for number, path in enumerate(sorted(folder.rglob("events.out.tfevents.*"))):
        path.rename(path.with_name(f"events.out.tfevents.{number}"))
