"""Trained on some hospitals, tested on others: the matrix of runs that leave hospitals out, as a table and a figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from space.results.evaluation_records import Estimate, HospitalMatrix, HospitalResult
from space.results.results_file import Results
from train.common.templates import cell
from train.data.origins import LEFT_OUT

MEASURES = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}


def hospital_results(results: Results) -> list[HospitalResult]:
    """A run on every origin and hospital of its development data: those that it left out, and those of validation."""
    rule = "operating_point" if results.operating_point else "argmax"
    rows = []
    for split in (LEFT_OUT, "validation"):
        for name, group in results.by_origin(split).items():
            metrics = getattr(group, rule)
            rates = {measure: metrics[measure] for measure in MEASURES if measure in metrics}
            if group.against:  # its AUROC is not that of its own images
                rates.pop("auroc", None)
            rows.append(
                HospitalResult(
                    left_out=results.recipe.left_out,
                    tested_on=name,
                    never_seen=split == LEFT_OUT,
                    images=group.images,
                    **rates,
                )
            )
    return rows


def unseen_hospitals(matrix: Sequence[HospitalResult]) -> list[HospitalResult]:
    """What trainings never saw, where AUROC is defined: a hospital of several origins as a whole, else its origin."""
    unseen = [result for result in matrix if result.never_seen and result.auroc]
    whole = {tuple(result.left_out) for result in unseen if result.tested_on in result.left_out}
    return [result for result in unseen if result.tested_on in result.left_out or tuple(result.left_out) not in whole]


def arrange(matrix: Sequence[HospitalResult]) -> tuple[list[str], dict[str, dict[str, HospitalResult]]]:
    """The columns of a matrix, and its rows {what was left out: {tested on: result}}."""
    rows: dict[str, dict[str, HospitalResult]] = {}
    for result in matrix:
        title = f"all but {', '.join(result.left_out)}" if result.left_out else "all"
        rows.setdefault(title, {})[result.tested_on] = result
    return sorted({result.tested_on for result in matrix}), rows


def matrix_table(matrix: Sequence[HospitalResult], measure: str) -> str:
    """A Markdown table of one of `MEASURES`: a row per training, a column per hospital; bold where it never saw it."""
    columns, rows = arrange(matrix)
    lines = ["| trained on | " + " | ".join(f"tested on {cell(name)}" for name in columns) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for title, results in rows.items():
        cells = [_shown(results.get(name), measure) for name in columns]
        lines.append(f"| {cell(title)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def matrix_tables(matrix: HospitalMatrix | None) -> dict[str, str]:
    """{what is measured: its `matrix_table`}; {} without a matrix."""
    return {name: matrix_table(matrix.results, measure) for measure, name in MEASURES.items()} if matrix else {}


def _shown(result: HospitalResult | None, measure: str) -> str:
    estimate: Estimate | None = getattr(result, measure, None)
    if result is None or estimate is None:
        return "not defined" if result else "too few images"
    text = f"{estimate.value:.3f}"
    return f"{f'**{text}**' if result.never_seen else text} ({estimate.low:.3f} to {estimate.high:.3f})"


def draw_matrix(matrix: Sequence[HospitalResult]) -> Figure:
    """AUROC and specificity as two maps of colour; a frame marks hospitals that training never saw."""
    columns, rows = arrange(matrix)
    figure = Figure(figsize=(2 + 2.6 * len(columns), 1.6 + 0.7 * len(rows)), layout="constrained")
    figure.suptitle("framed: never seen in training", fontsize=9, color="tab:red")
    for axes, measure in zip(figure.subplots(1, 2), ("auroc", "specificity"), strict=True):
        _draw(axes, columns, rows, measure)
    return figure


def _draw(axes: Axes, columns: list[str], rows: dict[str, dict[str, HospitalResult]], measure: str) -> None:
    values = np.full((len(rows), len(columns)), np.nan)
    for row, results in enumerate(rows.values()):
        for name, result in results.items():
            estimate: Estimate | None = getattr(result, measure)
            if estimate is None:
                continue
            column = columns.index(name)
            values[row, column] = estimate.value
            text = f"{estimate.value:.2f}\n{estimate.low:.2f} to {estimate.high:.2f}"
            colour = "white" if estimate.value > 0.8 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
            if result.never_seen:
                frame = [column - 0.46, column + 0.46, column + 0.46, column - 0.46, column - 0.46]
                axes.plot(frame, [row - 0.46, row - 0.46, row + 0.46, row + 0.46, row - 0.46], color="tab:red")
    axes.imshow(values, cmap="Blues", vmin=0.3, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=20, fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set(title=MEASURES[measure], xlabel="tested on", ylabel="trained on")
    axes.title.set_fontsize(9)
