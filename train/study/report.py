"""What a study found: statistics over seeds, and the table, figure and text made from them."""

import csv
import io
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from train.common.atomic_output import partial_of, write_text_whole
from train.common.templates import render_template
from train.study.plan import BASE, METRICS, Study, describe, setting_name
from train.study.results import Comparison, LevelRow, RunRecord, SeedMean, StudyResults

TEST_MEASURES = {"test_auroc": "AUROC on test", "test_accuracy": "accuracy on test, at argmax"}
NO_DIFFERENCE = "no difference shown"
NOT_JUDGED = "one seed: not judged"


def seed_mean(values: list[float]) -> SeedMean:
    """The mean of n independent values, one per seed, with its 95% Student interval where n >= 2."""
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return SeedMean(mean=mean, low=None, high=None, n=n)
    half = float(student.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return SeedMean(mean=mean, low=mean - half, high=mean + half, n=n)


def compare(runs: list[RunRecord], factor: str, level: str, measure: str) -> Comparison:
    """One level of a factor against the base, paired by seed.

    In a grid, a seed's value is the mean over the settings of the other factors, each with its own partner that differs
    in this factor alone.

    Args:
        runs: All runs of the study.
        factor: Name of the factor.
        level: Name of its level.
        measure: A key of the runs' `values`.
    """
    values = {(setting_name(run.setting), run.seed): run.values[measure] for run in runs}
    levels: dict[int, list[float]] = {}
    partners: dict[int, list[float]] = {}
    for run in runs:
        if run.setting.get(factor) == level:
            partner = {name: value for name, value in run.setting.items() if name != factor}
            levels.setdefault(run.seed, []).append(run.values[measure])
            partners.setdefault(run.seed, []).append(values[setting_name(partner), run.seed])
    by_seed = [float(np.mean(levels[seed])) for seed in levels]
    base = [float(np.mean(partners[seed])) for seed in levels]
    difference = seed_mean([ours - theirs for ours, theirs in zip(by_seed, base, strict=True)])
    return Comparison(
        level=seed_mean(by_seed), base=float(np.mean(base)), difference=difference, reading=_reading(difference)
    )


def _reading(difference: SeedMean) -> str:
    """What a difference's interval allows to say."""
    if difference.low is None or difference.high is None:
        return NOT_JUDGED
    return "higher" if difference.low > 0 else "lower" if difference.high < 0 else NO_DIFFERENCE


def summarise(study: Study, runs: list[RunRecord]) -> tuple[dict[str, SeedMean], list[LevelRow]]:
    """Compare every level with the base, by the validation metric that ranks and by what was measured on test.

    Returns:
        {measure: the base's mean}, and a row for each level, the best on validation first.
    """
    measures, base = list(runs[0].values), [run for run in runs if not run.setting]
    rows = [
        LevelRow(
            factor=factor,
            level=level,
            changes=describe(changes),
            measures={measure: compare(runs, factor, level, measure) for measure in measures},
        )
        for factor, levels in study.factors.items()
        for level, changes in levels.items()
    ]
    rows.sort(key=lambda row: -row.measures[study.header.metric].difference.mean)
    return {name: seed_mean([run.values[name] for run in base]) for name in measures}, rows


def write_report(folder: Path, results: StudyResults) -> None:
    """Write runs.csv, differences.png and README.md of a study, every number read from its results.

    Args:
        folder: The study's output folder.
        results: What its results.json holds.
    """
    write_text_whole(folder / "runs.csv", _table(results))
    image = partial_of(folder / "differences.png")
    _figure(results).savefig(image, dpi=120, format="png")
    image.replace(folder / "differences.png")
    write_text_whole(folder / "README.md", render_report(results))


def render_report(results: StudyResults) -> str:
    """Render a study's README.md from its results."""
    template = Path(__file__).with_name("study_report.md.jinja")
    metric = results.study.metric
    titles = {metric: f"{METRICS[metric]} on validation"} | TEST_MEASURES
    measured = {name: titles[name] for name in results.base}
    return render_template(template, titles=measured, metric=metric, no_difference=NO_DIFFERENCE, **vars(results))


def _table(results: StudyResults) -> str:
    """One row per run: its levels, seed, lengths and values."""
    factors = list(results.study.factors)
    values = list(results.base)
    columns = ["seed", "image_size", "epochs", "kept_epoch", "steps", "train_seconds"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *factors, *columns, *values])
    for run in results.runs:
        levels = [run.setting.get(factor, BASE) for factor in factors]
        writer.writerow(
            [run.name, *levels, *(getattr(run, name) for name in columns), *(run.values[name] for name in values)]
        )
    return text.getvalue()


def _figure(results: StudyResults) -> Figure:
    """Differences to the base on validation with their intervals, the best on top."""
    metric, rows = results.study.metric, results.rows[::-1]
    figure = Figure(figsize=(8, 1.6 + 0.35 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for height, row in enumerate(rows):
        compared = row.measures[metric]
        difference = compared.difference
        colour = "gray" if compared.reading in (NO_DIFFERENCE, NOT_JUDGED) else "tab:blue"
        if difference.low is not None:
            axes.plot([difference.low, difference.high], [height, height], color=colour)
        axes.plot(difference.mean, height, marker="o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.factor}: {row.level}" for row in rows])
    seeds = len(results.study.seeds)
    shown = "one seed, no interval" if seeds == 1 else f"mean of {seeds} seeds with its 95% interval"
    axes.set_xlabel(f"difference to base in {METRICS[metric]} on validation,\n{shown}")
    axes.set_title(results.study.name)
    return figure
