"""Evaluates a finished model, and writes everything that its run folder holds beside the weights."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tqdm import tqdm

from space.inference.guard import FILE as GUARD_FILE
from space.inference.guard import Guard
from space.results.evaluation_records import ByRule, ExternalTest, GuardRecord, Saliency, ShortcutControl, SwapTest
from space.results.results_file import Results, write_results
from space.results.training_records import EpochRecord, TrainingRecord
from train.attention.deletion import deletion_tests
from train.attention.occlusion_controls import shortcut_controls
from train.attention.swap_test import MOST_IMAGES, SwapImages, swap_test
from train.data.dataset import Data, evenly_spread
from train.data.lung_masks import lung_masks_of, masked_images, own_masks
from train.data.origins import LEFT_OUT
from train.data.pixel_cache import PixelDataset
from train.evaluation.bootstrap import RESAMPLES
from train.evaluation.evaluate_model import DecisionSpec, evaluate
from train.evaluation.external_set import ExternalSet, evaluate_external
from train.evaluation.finished_model import FinishedModel
from train.evaluation.fit_guard import describe, fit_guard, spread_rows
from train.evaluation.inference import SplitPredictions, predict_split
from train.evaluation.saliency_checks import box_energy, count_classes, maps_of, region_energy, weight_randomisation
from train.report.figures import DrawnSplit, save_figures
from train.report.mistakes import draw_mistakes
from train.report.model_card import write_cards
from train.report.tables import write_tables


@dataclass(frozen=True)
class EvaluationInputs:
    """A finished model and what it is evaluated on.

    Attributes:
        finished: The classifier, calibrated.
        task: What it was made for.
        data: The dataset that it was trained on.
        pixels: Splits of it; those of "validation", `LEFT_OUT` and "test" that are there are evaluated. The guard is
            fitted on "train" and "validation".
        external: Another dataset to test it on.
        with_samples: Whether images of single patients may be published with the run.
    """

    finished: FinishedModel
    task: DecisionSpec
    data: Data
    pixels: dict[str, PixelDataset]
    external: ExternalSet | None
    with_samples: bool


def evaluate_run(
    folder: Path, training: TrainingRecord, inputs: EvaluationInputs, earlier: Results | None = None
) -> Results:
    """Evaluate a finished model and write results.json, the guard, the tables, the figures and the cards.

    Args:
        folder: The run folder.
        training: How the model was made.
        inputs: The model and its data.
        earlier: What the run recorded before, if it is evaluated again: tests on other datasets and what a study found
            are kept.
    """
    with tqdm(total=6, desc="evaluating", unit="step") as progress:
        predictions = _predict(inputs)
        progress.update()
        evaluation = evaluate(inputs.task, predictions)
        progress.update()
        saliency, shortcuts = _check(inputs, predictions)
        progress.update()
        swaps = {name: swap for name, answers in predictions.items() if (swap := _swap(inputs, name, answers))}
        progress.update()
        guard, guard_record = _fit_guard(inputs, list(predictions))
        guard.save(folder / GUARD_FILE)
        progress.update()
        figures, samples = _draw(folder / "figures", training.history, inputs, predictions)
        progress.update()
    results = Results(
        **vars(training),
        **vars(evaluation),
        evaluated=datetime.now(UTC).isoformat(timespec="seconds"),
        resamples=RESAMPLES,
        operating_point=inputs.task.point,
        external=(earlier.external if earlier else {}) | _test_elsewhere(inputs, evaluation.splits.get("test")),
        saliency=saliency,
        shortcuts=shortcuts,
        swaps=swaps,
        guard=guard_record,
        hospitals=earlier.hospitals if earlier else None,
        figures=figures,
        samples=samples,
    )
    write_tables(folder, inputs.data, results, predictions)
    write_results(folder / "results.json", results)
    write_cards(folder, results)
    return results


def _predict(inputs: EvaluationInputs) -> dict[str, SplitPredictions]:
    """{"validation" and, where there is such a split and it is read, `LEFT_OUT` and "test": the model's answers}."""
    model, normalise = inputs.finished.model, inputs.finished.normalise
    return {
        name: predict_split(model, inputs.pixels[name], normalise, inputs.data.splits[name])
        for name in ("validation", LEFT_OUT, "test")
        if name in inputs.pixels
    }


def _test_elsewhere(inputs: EvaluationInputs, own_test: ByRule | None) -> dict[str, ExternalTest]:
    """{dataset's name: the model there}, of the other dataset if there is one."""
    if (other := inputs.external) is None:
        return {}
    return {other.summary.name: evaluate_external(other, inputs.finished, inputs.task, own_test)}


def _draw(
    folder: Path, history: list[EpochRecord], inputs: EvaluationInputs, predictions: dict[str, SplitPredictions]
) -> tuple[list[str], bool]:
    """Draw the home split; returns the figures, and whether mistakes.png is public."""
    name = _home(predictions)
    split, finished = DrawnSplit(name, inputs.task, predictions[name]), inputs.finished
    figures = save_figures(folder, history, split)
    publish = inputs.with_samples
    return figures, draw_mistakes(folder, split, inputs.pixels[name], finished.explained, finished.normalise, publish)


def _home(predictions: dict[str, SplitPredictions]) -> str:
    """The split that the cards speak of first: test, or validation where test is not read."""
    return "test" if "test" in predictions else "validation"


def _check(
    inputs: EvaluationInputs, predictions: dict[str, SplitPredictions]
) -> tuple[Saliency, dict[str, ShortcutControl]]:
    """What the model looks at, and how it does without what it should look at, on the home split."""
    model, normalise, explained = inputs.finished.model, inputs.finished.normalise, inputs.finished.explained
    name = _home(predictions)
    split, rows, units = inputs.pixels[name], inputs.data.splits[name], predictions[name].units
    masked, energy = masked_images(split, rows), None
    deletion = deletion_tests(explained, split.pixels, normalise, units)
    if masked:
        own_units = units.of_rows(masked.rows)
        labels = count_classes(split.labels[masked.rows], inputs.task.labels)
        maps = maps_of(explained, masked.pixels, normalise)
        energy = region_energy(maps, masked.lung, masked.counted, own_units, labels)
        deletion += deletion_tests(explained, masked.pixels, normalise, own_units, masked.lung)
    saliency = Saliency(
        lung_energy=energy,
        randomisation=weight_randomisation(explained, split.pixels, normalise, units),
        deletion=deletion,
        box_energy=box_energy(inputs.finished, split, rows, units, inputs.task.labels),
    )
    return saliency, shortcut_controls(model, split, masked, normalise, predictions[name])


def _swap(inputs: EvaluationInputs, name: str, answers: SplitPredictions) -> SwapTest | None:
    """What the model reads in the lungs and beside them, on up to `MOST_IMAGES` of a split, evenly spread."""
    rows = evenly_spread(len(answers.truth), MOST_IMAGES)
    split, pixels = inputs.data.splits[name].select(rows), np.asarray(inputs.pixels[name].pixels[rows])
    images = SwapImages(
        pixels,
        lung_masks_of(split, pixels),
        np.isin(np.arange(len(rows)), [row for row, _ in own_masks(split, pixels.shape[1:])]),
        answers.truth[rows],
        answers.probabilities[rows],
        answers.units.of_rows(rows),
    )
    return swap_test(inputs.finished.model, images, inputs.finished.normalise, inputs.task.positive)


def _fit_guard(inputs: EvaluationInputs, names: list[str]) -> tuple[Guard, GuardRecord]:
    """A guard, with the share of the images of each of these splits that it lets pass."""
    model, normalise, pixels = inputs.finished.model, inputs.finished.normalise, inputs.pixels
    described = {name: describe(model, pixels[name], normalise) for name in names}
    training = describe(model, pixels["train"], normalise, spread_rows(pixels["train"]))
    guard = fit_guard(training, described["validation"])
    accepted = {
        name: float(np.mean(guard.distances(*description) <= guard.threshold))
        for name, description in described.items()
    }
    return guard, GuardRecord(threshold=guard.threshold, accepted=accepted)
