"""A study from its plan to its report: missing runs are made, results collected once, the report written."""

import argparse
import shlex
import time
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from space.errors import UsageError
from space.results.results_file import Results
from train.common.atomic_output import write_text_whole
from train.data.dataset import Data, load_data
from train.data.origins import LEFT_OUT, leave_out
from train.study.collect import collect, measures_of, values_of
from train.study.plan import PlannedRun
from train.study.report import write_report
from train.study.results import StudyResults, read_study, write_study
from train.study.runner import Workplace, default_jobs, run_all
from train.study.study_file import METRICS, Study


def conduct(args: argparse.Namespace, study: Study, planned: list[PlannedRun], mark: Path) -> None:
    """Make the runs that are missing, evaluate them, and write the report.

    Args:
        args: `study`, `dataset`, `output` and `jobs` of the command line.
        study: The study.
        planned: Its runs.
        mark: Where the study's own file is kept in its folder.
    """
    disable_progress_bar()
    data = load_data(args.dataset)
    place = Workplace(args.output, study.header.base, args.dataset, data.fingerprint, args.jobs or default_jobs())
    metric = study.header.metric
    for names in study.leave_out:
        check_left_out(leave_out(data, names))
    if (results := finished_results(place, planned, metric)) is None:
        args.output.mkdir(parents=True, exist_ok=True)
        write_text_whole(mark, args.study.read_text(encoding="utf-8"))
        run_all(place, planned, _Progress(place, planned, measures_of(study)))
        results = collect(study, planned, place, data, _command(args, data.name))
        write_study(args.output / "results.json", results)
    write_report(args.output, results)
    _print_rows(results, args.output)


def check_left_out(data: Data) -> None:
    """Refuse left-out hospitals that have no AUROC, before anything is trained.

    Raises:
        UsageError: Their train and validation images lack a class.
    """
    present = set(data.splits[LEFT_OUT]["label"]) if data.left_out else set(range(len(data.labels)))
    if absent := [label for k, label in enumerate(data.labels) if k not in present]:
        raise UsageError(
            f"leave_out: {', '.join(data.left_out)} has no train or validation image of class {', '.join(absent)}, so "
            "no AUROC can be measured there. Leave it out together with another hospital."
        )


def _command(args: argparse.Namespace, dataset: str) -> str:
    """The command that was given, with folders by their names alone: a report is no place for local paths."""
    words = ["python", "-m", "train.study", args.study.name, "--dataset", dataset]
    words += ["--output", args.output.resolve().name]
    return shlex.join(words + (["--jobs", str(args.jobs)] if args.jobs else []))


def finished_results(place: Workplace, planned: list[PlannedRun], metric: str) -> StudyResults | None:
    """The results of a study that is finished; None if it is not.

    Raises:
        UsageError: They are of other runs than are planned now. The test split has been read, so nothing is added.
    """
    for run in planned:
        place.results(run)  # refuses a run that was made with other settings
    path = place.folder / "results.json"
    if not path.is_file():
        return None
    results = read_study(path)
    if results.study.metric != metric or {run.name for run in results.runs} != {run.name for run in planned}:
        if results.patients is None:  # it has not read a test split, and may grow
            return None
        raise UsageError(
            f"--output {place.folder} holds a finished study of {len(results.runs)} runs, and the study file now asks "
            "for other runs or another metric. The test split has been read, so no runs can be added. Name another "
            "--output."
        )
    return results


class _Progress:
    """Prints a line for each run that ends, and the time that is left."""

    def __init__(self, place: Workplace, planned: list[PlannedRun], measures: list[str]):
        self.measures, self.total = measures, len(planned)
        self.done = self.before = sum(place.results(run) is not None for run in planned)
        self.started = time.monotonic()
        print(f"{self.total} runs, {self.before} of them already finished; {place.jobs} at a time")

    def __call__(self, run: PlannedRun, results: Results) -> None:
        self.done += 1
        pace = (time.monotonic() - self.started) / (self.done - self.before)
        left = f", about {pace * (self.total - self.done) / 60:.0f} min left" if self.done < self.total else ""
        values = ", ".join(f"{name} {value:.4f}" for name, value in values_of(results, self.measures).items())
        print(f"[{self.done}/{self.total}] {run.name}: {values}{left}", flush=True)


def _print_rows(results: StudyResults, output: Path) -> None:
    metric = results.study.metric
    print(f"\n{METRICS[metric]}: base {results.base[metric].mean:.4f}")
    for row in results.rows:
        compared = row.measures[metric]
        change, name = compared.difference, f"{row.factor}: {row.level}"
        interval = "" if change.low is None else f"[{change.low:+.4f}, {change.high:+.4f}]  "
        print(f"  {name:34} {change.mean:+.4f}  {interval}{compared.reading}")
    print(f"\nwritten: {output}")
