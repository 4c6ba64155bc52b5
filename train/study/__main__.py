"""Run a study: which factors change a recipe's accuracy, over several seeds, with intervals.

python -m train.study train/studies/pneumonia-factors.toml --dataset DIR --output DIR

Started again with the same output, a study continues where it stopped. Its folder then holds README.md (the report),
results.json, runs.csv, differences.png, runs/ (a run folder each) and logs/.
"""

import argparse
import json
import shlex
import signal
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification
from transformers.utils.logging import disable_progress_bar

from space.errors import UsageError, run_cli
from train.common.atomic_output import check_free, write_text_whole
from train.data.dataset import Data, load_data
from train.data.pixel_cache import Normaliser, load_pixels
from train.engine.runtime import use_all_cores
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec, evaluate, predict_split
from train.models.preprocessing import normalisation
from train.study.plan import PlannedRun, Study, describe, load_study, plan_runs
from train.study.report import summarise, write_report
from train.study.runner import Workplace, default_jobs, run_all

MARK = "study.toml"  # the copy of the study's file: what tells a study's folder from any other


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.study", description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="a .toml file; train/studies has examples")
    parser.add_argument("--dataset", required=True, help="dataset folder made by hub.convert, or a Hub repository")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the study; an unfinished study in it is continued"
    )
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one per GPU, or one)")
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: it must be at least 1.")
    return args


def main() -> None:
    """Plan, run, evaluate, report."""
    args = parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the runs as well, like Ctrl-C
    disable_progress_bar()
    study = load_study(args.study)
    planned = plan_runs(study)
    if not (args.output / MARK).is_file():
        check_free(args.output)
    data = load_data(args.dataset)
    jobs = args.jobs or default_jobs()
    place = Workplace(args.output, study.header.base, args.dataset, data.fingerprint, jobs)
    if (results := _finished(place, planned, study.header.metric)) is None:
        args.output.mkdir(parents=True, exist_ok=True)
        write_text_whole(args.output / MARK, args.study.read_text(encoding="utf-8"))
        run_all(place, planned, _Progress(place, planned, study.header.metric))
        results = collect(study, planned, place, data, _command(args, data.name))
        write_text_whole(args.output / "results.json", json.dumps(results, indent=2, allow_nan=False) + "\n")
    write_report(args.output, results)
    _print_rows(results, args.output)


def _command(args: argparse.Namespace, dataset: str) -> str:
    """The command that was given, with folders by their names alone: a report is no place for local paths."""
    words = ["python", "-m", "train.study", args.study.name, "--dataset", dataset]
    words += ["--output", args.output.resolve().name]
    return shlex.join(words + (["--jobs", str(args.jobs)] if args.jobs else []))


def _finished(place: Workplace, planned: list[PlannedRun], metric: str) -> dict | None:
    """The results of a study that is finished; None if it is not.

    Raises:
        UsageError: They are of other runs than are planned now. The test split has been read, so nothing is added.
    """
    for run in planned:
        place.results(run)  # refuses a run that was made with other settings
    path = place.folder / "results.json"
    if not path.is_file():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    same = results["study"]["metric"] == metric
    if not same or {run["name"] for run in results["runs"]} != {run.name for run in planned}:
        raise UsageError(
            f"--output {place.folder} holds a finished study of {len(results['runs'])} runs, and the study file now "
            "asks for other runs or another metric. The test split has been read, so no runs can be added. Name "
            "another --output."
        )
    return results


class _Progress:
    """Prints a line for each run that ends, and the time that is left."""

    def __init__(self, place: Workplace, planned: list[PlannedRun], metric: str):
        self.metric, self.total = metric, len(planned)
        self.done = self.before = sum(place.results(run) is not None for run in planned)
        self.started = time.monotonic()
        print(f"{self.total} runs, {self.before} of them finished already; {place.jobs} at a time")

    def __call__(self, run: PlannedRun, results: dict) -> None:
        self.done += 1
        pace = (time.monotonic() - self.started) / (self.done - self.before)
        left = f", about {pace * (self.total - self.done) / 60:.0f} min left" if self.done < self.total else ""
        value = results["selection"][self.metric]
        print(f"[{self.done}/{self.total}] {run.name}: {self.metric} {value:.4f}{left}", flush=True)


def collect(study: Study, planned: list[PlannedRun], place: Workplace, data: Data, command: str) -> dict:
    """Gather what finished runs recorded, and read the test split of each of them, once.

    Returns:
        The content of the study's results.json.
    """
    recorded = {run.name: place.results(run) for run in planned}
    tests = {run.name: read_test(data, place.run_folder(run)) for run in planned} if "test" in data.splits else {}
    runs = [_entry(run, recorded[run.name], study.header.metric, tests.get(run.name)) for run in planned]
    first = recorded[runs[0]["name"]]
    base_run = runs[0] | {"recipe": first["recipe"], "init": first["init"]}
    machines = [{key: results[key] for key in ("precision", "environment")} for results in recorded.values()]
    return {
        "study": {"name": study.name}
        | asdict(study.header)
        | {
            "seeds": study.seeds,
            "base": first["recipe"]["name"],
            "base_changes": describe(study.base_changes),
            "factors": {factor: list(levels) for factor, levels in study.factors.items()},
        },
        "command": command,
        "dataset": data.summary(),
        "images": {name: len(split) for name, split in data.splits.items()},
        "machines": [machine for index, machine in enumerate(machines) if machine not in machines[:index]],
        "train_seconds": sum(run["train_seconds"] for run in runs),
        "base_run": base_run,
        "patients": tests[base_run["name"]]["auroc"] if tests else None,
        "runs": runs,
    } | summarise(study, runs)


def _entry(run: PlannedRun, results: dict, metric: str, test: dict | None) -> dict:
    """What results.json says of one run."""
    values = {metric: results["selection"][metric]}
    if test:
        values |= {"test_auroc": test["auroc"]["value"], "test_accuracy": test["accuracy"]["value"]}
    return {
        "name": run.name,
        "setting": run.setting,
        "seed": run.seed,
        "image_size": run.recipe.model.image_size,
        "epochs": len(results["history"]),
        "kept_epoch": results["selection"]["epoch"],
        "steps": results["history"][-1]["step"],
        "train_seconds": results["train_seconds"],
        "values": values,
        "test": test,
    }


def read_test(data: Data, folder: Path) -> dict:
    """Evaluate a finished run on the test split, in fp32, at argmax.

    Args:
        data: The dataset.
        folder: Run folder.

    Returns:
        {metric: entry}.
    """
    torch.backends.cudnn.allow_tf32 = False  # as in finetune: "fp32" is to mean it on a GPU too
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = AutoModelForImageClassification.from_pretrained(folder).to(device)
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = load_pixels(data, processor, use_all_cores(), ["test"])["test"]
    answers = predict_split(model, pixels, Normaliser(*normalisation(processor), device), data.splits["test"])
    # The second class of two is the positive one; accuracy and AUROC are the same either way.
    positive = 1 if len(data.labels) == 2 else None
    task = DecisionSpec(data.labels, positive, None, Calibration(1.0, np.zeros(len(data.labels))))
    return evaluate(task, {"test": answers})["splits"]["test"]["argmax"]


def _print_rows(results: dict, output: Path) -> None:
    metric = results["study"]["metric"]
    print(f"\n{metric} on validation: base {results['base'][metric]['mean']:.4f}")
    for row in results["rows"]:
        found = row["measures"][metric]
        low, high = found["difference"]["low"], found["difference"]["high"]
        name = f"{row['factor']}: {row['level']}"
        print(f"  {name:34} {found['difference']['mean']:+.4f}  [{low:+.4f}, {high:+.4f}]  {found['reading']}")
    print(f"\nwritten: {output}")


if __name__ == "__main__":
    run_cli(main)
