"""What a study found: statistics over seeds, and the table, image and text made from them."""

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

TEST_MEASURES = {"test_auroc": "AUROC on test", "test_accuracy": "accuracy on test, at argmax"}
NO_DIFFERENCE = "no difference shown"


def t_interval(values: list[float]) -> dict[str, float]:
    """Mean of independent values with its 95% Student interval.

    Args:
        values: n >= 2 values, one per seed.

    Returns:
        {"mean", "low", "high", "n"}.
    """
    n, mean = len(values), float(np.mean(values))
    half = float(student.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def compare(runs: list[dict], factor: str, level: str, measure: str) -> dict:
    """One level of a factor against the base, paired by seed.

    In a grid, a seed's value is the mean over the settings of the other factors, each with its own partner that differs
    in this factor alone.

    Args:
        runs: Of each run `setting`, `seed` and `values`.
        factor: Name of the factor.
        level: Name of its level.
        measure: A key of `values`.

    Returns:
        {"level": interval, "base": mean of the partners, "difference": interval, "reading"}.
    """
    values = {(setting_name(run["setting"]), run["seed"]): run["values"][measure] for run in runs}
    levels: dict[int, list[float]] = {}
    partners: dict[int, list[float]] = {}
    for run in runs:
        if run["setting"].get(factor) == level:
            partner = {name: value for name, value in run["setting"].items() if name != factor}
            levels.setdefault(run["seed"], []).append(run["values"][measure])
            partners.setdefault(run["seed"], []).append(values[setting_name(partner), run["seed"]])
    by_seed = [float(np.mean(levels[seed])) for seed in levels]
    base = [float(np.mean(partners[seed])) for seed in levels]
    difference = t_interval([ours - theirs for ours, theirs in zip(by_seed, base, strict=True)])
    reading = "higher" if difference["low"] > 0 else "lower" if difference["high"] < 0 else NO_DIFFERENCE
    return {
        "level": t_interval(by_seed),
        "base": float(np.mean(base)),
        "difference": difference,
        "reading": reading,
    }


def summarise(study: Study, runs: list[dict]) -> dict:
    """Compare every level with the base, by the validation metric that ranks and by what was measured on test.

    Args:
        study: The study.
        runs: As in results.json.

    Returns:
        {"base": {measure: interval}, "rows": one per level, the best on validation first}.
    """
    measures = list(runs[0]["values"])
    base = [run for run in runs if not run["setting"]]
    rows = [
        {
            "factor": factor,
            "level": level,
            "changes": describe(changes),
            "measures": {measure: compare(runs, factor, level, measure) for measure in measures},
        }
        for factor, levels in study.factors.items()
        for level, changes in levels.items()
    ]
    rows.sort(key=lambda row: -row["measures"][study.header.metric]["difference"]["mean"])
    return {"base": {name: t_interval([run["values"][name] for run in base]) for name in measures}, "rows": rows}


def write_report(folder: Path, results: dict) -> None:
    """Write runs.csv, differences.png and README.md of a study, every number read from its results.

    Args:
        folder: The study's output folder.
        results: The content of its results.json.
    """
    write_text_whole(folder / "runs.csv", _table(results))
    image = partial_of(folder / "differences.png")
    _figure(results).savefig(image, dpi=120, format="png")
    image.replace(folder / "differences.png")
    write_text_whole(folder / "README.md", render_report(results))


def render_report(results: dict) -> str:
    """Render a study's README.md from the content of its results.json."""
    template = Path(__file__).with_name("study_report.md.jinja")
    metric = results["study"]["metric"]
    titles = {metric: f"{METRICS[metric]} on validation"} | TEST_MEASURES
    measured = {name: titles[name] for name in results["base"]}
    return render_template(template, titles=measured, metric=metric, no_difference=NO_DIFFERENCE, **results)


def _table(results: dict) -> str:
    """One row per run: its levels, seed, lengths and values."""
    factors = list(results["study"]["factors"])
    values = list(results["base"])
    plain = ["seed", "image_size", "epochs", "kept_epoch", "steps", "train_seconds"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *factors, *plain, *values])
    for run in results["runs"]:
        levels = [run["setting"].get(factor, BASE) for factor in factors]
        writer.writerow([run["name"], *levels, *(run[k] for k in plain), *(run["values"][k] for k in values)])
    return text.getvalue()


def _figure(results: dict) -> Figure:
    """Differences to the base on validation with their intervals, the best on top."""
    metric, rows = results["study"]["metric"], results["rows"][::-1]
    found = [row["measures"][metric] for row in rows]
    figure = Figure(figsize=(8, 1.6 + 0.35 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for height, one in enumerate(found):
        difference = one["difference"]
        colour = "gray" if one["reading"] == NO_DIFFERENCE else "tab:blue"
        axes.plot([difference["low"], difference["high"]], [height, height], color=colour)
        axes.plot(difference["mean"], height, marker="o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row['factor']}: {row['level']}" for row in rows])
    seeds = len(results["study"]["seeds"])
    axes.set_xlabel(
        f"difference to base in {METRICS[metric]} on validation,\nmean of {seeds} seeds with its 95% interval"
    )
    axes.set_title(results["study"]["name"])
    return figure
