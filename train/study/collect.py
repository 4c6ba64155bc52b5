"""What the finished runs of a study recorded, and the test split, read once for each of them if the study reads it."""

from dataclasses import asdict

import numpy as np

from space.results.evaluation_records import HospitalMatrix, Metrics
from space.results.results_file import Results
from train.data.dataset import Data
from train.data.origins import LEFT_OUT
from train.data.pixel_cache import load_pixels
from train.engine.runtime import use_all_cores
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec, evaluate
from train.evaluation.finished_model import load_finished
from train.evaluation.inference import predict_split
from train.report.hospitals import hospital_results
from train.study.plan import PlannedRun, describe
from train.study.report import summarise
from train.study.results import BaseRun, Machine, RunRecord, StudyRecord, StudyResults
from train.study.runner import Workplace
from train.study.study_file import LEFT_OUT_AUROC, SWAP_MEASURES, Study


def collect(study: Study, planned: list[PlannedRun], place: Workplace, data: Data, command: str) -> StudyResults:
    """Gather what finished runs recorded, and read the test split of each of them, once, if the study reads it."""
    recorded = {run.name: place.results(run) for run in planned}
    tests: dict[str, Metrics] = {}
    reads_test = "test" in data.splits and study.reads_test
    if reads_test:
        tests = {run.name: evaluate_on_test(data, place, run) for run in planned}
    runs = [_record(run, recorded[run.name], measures_of(study), tests.get(run.name)) for run in planned]
    base, first = runs[0], recorded[runs[0].name]
    machines = [Machine(precision=run.precision, environment=run.environment) for run in recorded.values()]
    averages, rows = summarise(study, runs)
    return StudyResults(
        study=_describe(study, first),
        command=command,
        dataset=data.summary(with_test=reads_test),
        images={name: len(split) for name, split in data.splits.items() if reads_test or name != "test"},
        machines=[machine for index, machine in enumerate(machines) if machine not in machines[:index]],
        train_seconds=sum(run.train_seconds for run in runs),
        base_run=BaseRun(**vars(base), recipe=first.recipe, init=first.init),
        patients=tests[base.name]["auroc"] if tests else None,
        runs=runs,
        base=averages,
        rows=rows,
        hospitals=_matrix(study, [recorded[run.name] for run in planned if not run.setting])
        if study.leaves_out
        else None,
    )


def _matrix(study: Study, base: list[Results]) -> HospitalMatrix:
    """The base's runs with the first seed on every hospital."""
    first = base[0]
    return HospitalMatrix(
        study=study.name,
        recipe=first.recipe.name,
        image_size=first.recipe.model["image_size"],
        epochs=first.recipe.training["epochs"],
        seed=first.seed,
        results=[result for run in base if run.seed == first.seed for result in hospital_results(run)],
    )


def _describe(study: Study, first: Results) -> StudyRecord:
    return StudyRecord(
        name=study.name,
        **asdict(study.header) | {"base": first.recipe.name},
        seeds=study.seeds,
        base_changes=describe(study.base_changes),
        factors={factor: list(levels) for factor, levels in study.factors.items()},
        leave_out=[list(names) for names in study.leave_out] if study.leaves_out else [],
    )


def measures_of(study: Study) -> list[str]:
    """What is measured on development data: the metric that ranks, more where hospitals are left out, the swap test."""
    more = ("validation_auroc", "worst_origin_auroc", LEFT_OUT_AUROC) if study.leaves_out else ()
    return list(dict.fromkeys([study.header.metric, *more, *SWAP_MEASURES]))


def values_of(results: Results, measures: list[str]) -> dict[str, float]:
    """{measure: value} of a run: `LEFT_OUT_AUROC` only where it left a hospital out, the swap test only where made."""
    left_out, swap = results.splits.get(LEFT_OUT), results.swaps.get("validation")
    values = {name: getattr(results.selection, name) for name in measures if hasattr(results.selection, name)}
    if left_out:
        values[LEFT_OUT_AUROC] = left_out["argmax"]["auroc"].value
    if swap:
        values |= dict(zip(SWAP_MEASURES, (swap.lungs.value, swap.surroundings.value), strict=True))
    return {name: values[name] for name in measures if name in values}


def _record(run: PlannedRun, results: Results, measures: list[str], test: Metrics | None) -> RunRecord:
    """What results.json says of one run."""
    values = values_of(results, measures)
    if test:
        values |= {"test_auroc": test["auroc"].value, "test_accuracy": test["accuracy"].value}
    return RunRecord(
        name=run.name,
        setting=run.setting,
        seed=run.seed,
        left_out=list(run.recipe.data.leave_out),
        image_size=run.recipe.model.image_size,
        epochs=len(results.history),
        kept_epoch=results.selection.epoch,
        steps=results.history[-1].step,
        train_seconds=results.train_seconds,
        values=values,
        test=test,
    )


def evaluate_on_test(data: Data, place: Workplace, run: PlannedRun) -> Metrics:
    """Evaluate a finished run on the test split, in fp32, at argmax."""
    finished = load_finished(place.run_folder(run))
    pixels = load_pixels(data, finished.processor, use_all_cores(), ["test"])["test"]
    predictions = predict_split(finished.model, pixels, finished.normalise, data.splits["test"])
    # The second class of two is the positive one; accuracy and AUROC are the same either way.
    positive = 1 if len(data.labels) == 2 else None
    task = DecisionSpec(data.labels, positive, None, Calibration(1.0, np.zeros(len(data.labels))))
    return evaluate(task, {"test": predictions}).splits["test"]["argmax"]
