"""What a study found: statistics over seeds, and the table, figure and text made from them."""

import csv
import io
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from space.results.checked_json import to_json
from train.common.atomic_output import partial_of, write_text_whole
from train.common.templates import render_template
from train.report.hospitals import draw_matrix, matrix_tables
from train.study.plan import describe, setting_name
from train.study.results import Comparison, LevelRow, RunRecord, SeedMean, StudyResults
from train.study.study_file import BASE, LEFT_OUT_AUROC, METRICS, SWAP_MEASURES, Study

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


def over_hospitals(runs: list[RunRecord]) -> list[RunRecord]:
    """One record for all runs of a setting and seed, which left different hospitals out.

    On the hospitals that were left out the worst counts: a setting that gives up one hospital for another is no better.
    Other values are means over the runs.
    """
    together: dict[tuple[str, int], list[RunRecord]] = {}
    for run in runs:
        together.setdefault((setting_name(run.setting), run.seed), []).append(run)
    return [
        replace(same[0], values={name: _over_runs(name, same) for name in same[-1].values})
        for same in together.values()
    ]


def _over_runs(measure: str, runs: list[RunRecord]) -> float:
    """The worst or the mean value; a run that leaves no hospital out has no `LEFT_OUT_AUROC`."""
    values = [run.values[measure] for run in runs if measure in run.values]
    return min(values) if measure == LEFT_OUT_AUROC else float(np.mean(values))


def summarise(study: Study, runs: list[RunRecord]) -> tuple[dict[str, SeedMean], list[LevelRow]]:
    """Compare every level with the base, by the metric that ranks and by what else was measured.

    Returns:
        {measure: the base's mean}, and a row for each level, the best first.
    """
    runs = over_hospitals(runs)
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

    Where hospitals were left out, also hospitals.png, and hospitals.json, which `python -m train.report.model_card`
    puts on a model's card.

    Args:
        folder: The study's output folder.
        results: What its results.json holds.
    """
    write_text_whole(folder / "runs.csv", _table(results))
    figures = {"differences.png": _figure(results)} if results.rows else {}
    if results.hospitals:
        figures["hospitals.png"] = draw_matrix(results.hospitals.results)
        write_text_whole(folder / "hospitals.json", to_json(asdict(results.hospitals)))
    for name, figure in figures.items():
        image = partial_of(folder / name)
        figure.savefig(image, dpi=120, format="png")
        image.replace(folder / name)
    write_text_whole(folder / "README.md", render_report(results))


def render_report(results: StudyResults) -> str:
    """Render a study's README.md from its results."""
    template = Path(__file__).with_name("study_report.md.jinja")
    metric = results.study.metric
    titles = {name: (METRICS | SWAP_MEASURES | TEST_MEASURES)[name] for name in results.base}
    return render_template(
        template,
        titles=titles,
        others=[name for name in titles if name != metric and name not in TEST_MEASURES],
        test_measures=[name for name in titles if name in TEST_MEASURES],
        metric=metric,
        on_left_out=metric == LEFT_OUT_AUROC,
        no_difference=NO_DIFFERENCE,
        matrices=matrix_tables(results.hospitals),
        **vars(results),
    )


def _table(results: StudyResults) -> str:
    """One row per run: its levels, seed, lengths and values."""
    factors = list(results.study.factors)
    values = list(results.base)
    columns = [
        "seed",
        *(["left_out"] if results.study.leave_out else []),
        "image_size",
        "epochs",
        "kept_epoch",
        "steps",
        "train_seconds",
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *factors, *columns, *values])
    for run in results.runs:
        levels = [run.setting.get(factor, BASE) for factor in factors]
        writer.writerow(
            [run.name, *levels, *(_cell(run, name) for name in columns), *(run.values.get(name, "") for name in values)]
        )
    return text.getvalue()


def _cell(run: RunRecord, column: str) -> str | float:
    return ", ".join(run.left_out) if column == "left_out" else getattr(run, column)


def _figure(results: StudyResults) -> Figure:
    """Differences to the base with their intervals, the best on top."""
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
    axes.set_xlabel(f"difference to base in {METRICS[metric]},\n{shown}")
    axes.set_title(results.study.name)
    return figure
