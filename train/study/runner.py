"""The runs of a study: started side by side through accelerate's launcher, never twice, ended together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from space.errors import ChestXrayError, UsageError
from space.results.results_file import Results, read_results
from train.common.arguments import public_name
from train.study.plan import PlannedRun

FINETUNE = Path(__file__).resolve().parents[1] / "finetune.py"
POLL_SECONDS = 0.2
GRACE_SECONDS = 20.0  # what an interrupted run gets to save its state before it is killed


@dataclass(frozen=True)
class Workplace:
    """Where a study's runs lie and how many share the machine.

    Attributes:
        folder: The study's output folder, with `runs/` and `logs/`.
        base: The base recipe, as finetune's --recipe takes it.
        dataset: As finetune's --dataset takes it.
        fingerprint: Of the dataset's content.
        jobs: Runs side by side.
    """

    folder: Path
    base: str
    dataset: str
    fingerprint: str
    jobs: int

    def run_folder(self, run: PlannedRun) -> Path:
        """The run folder of a run."""
        return self.folder / "runs" / run.name

    def log(self, run: PlannedRun) -> Path:
        """The file that a run's output goes to."""
        return self.folder / "logs" / f"{run.name}.log"

    def results(self, run: PlannedRun) -> Results | None:
        """The results of a finished run; None if the run is not finished.

        Raises:
            UsageError: The run was made with other settings or on other data than is planned now.
        """
        path = self.run_folder(run) / "results.json"
        if not path.is_file():
            return None
        results = read_results(path)
        planned, made = self._planned(run), _made(results)
        if differing := [key for key in planned if planned[key] != made.get(key)]:
            raise UsageError(
                f"{path.parent} was made with a different {', '.join(differing)}. Delete that folder to repeat the "
                "run, or name another --output."
            )
        return results

    def _planned(self, run: PlannedRun) -> dict:
        """What a run is to be made with, in the terms of `_made`."""
        asked = {"seed": run.seed, "init": public_name(run.init), "max_steps": run.max_steps}
        return run.recipe.to_dict() | asked | {"dataset": self.fingerprint}


def _made(results: Results) -> dict:
    """What a finished run was made with: sections of the recipe, seed, init, max_steps and dataset."""
    asked = {"seed": results.seed, "init": results.init, "max_steps": results.max_steps}
    return asdict(results.recipe) | asked | {"dataset": results.dataset.fingerprint}


def default_jobs() -> int:
    """One run per GPU; without a GPU one at a time: more may not fit into memory."""
    return max(1, torch.cuda.device_count())


def run_all(place: Workplace, planned: list[PlannedRun], report: Callable[[PlannedRun, Results], None]) -> None:
    """Start every run that is not finished, `place.jobs` side by side.

    Args:
        place: Where.
        planned: The runs; those that are finished are passed over.
        report: Is called with each run that ends well and its results.

    Raises:
        ChestXrayError: A run failed; the message names its log. The others that were under way have been ended, and go
            on from their last checkpoint when the study is started again.
        UsageError: A finished run was made with other settings.
    """
    waiting = [run for run in planned if place.results(run) is None]
    free = list(range(place.jobs))
    under_way: dict[int, tuple[PlannedRun, subprocess.Popen]] = {}
    try:
        while waiting or under_way:
            while waiting and free:
                slot, run = free.pop(0), waiting.pop(0)
                under_way[slot] = (run, _start(place, run, slot))
            time.sleep(POLL_SECONDS)
            for slot, (run, process) in list(under_way.items()):
                if process.poll() is not None:
                    del under_way[slot]
                    free.append(slot)
                    report(run, _finished(place, run, process.returncode))
    except KeyboardInterrupt:
        print("interrupted: finished runs are kept. Run the same command to continue.", file=sys.stderr)
        raise
    finally:
        _end([process for _, process in under_way.values()])


def launch_command(place: Workplace, run: PlannedRun) -> list[str]:
    """The command of one run."""
    words = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", str(FINETUNE)]
    words += ["--recipe", place.base, "--dataset", place.dataset, "--output", str(place.run_folder(run))]
    words += ["--seed", str(run.seed), "--init", run.init, "--resume"]
    words += ["--max-steps", str(run.max_steps)] if run.max_steps else []
    return words + [word for change in run.changes for word in ("--set", change)]


def _start(place: Workplace, run: PlannedRun, slot: int) -> subprocess.Popen:
    """Start a run, with the GPU and the share of the cores that belong to its slot."""
    log = place.log(run)
    log.parent.mkdir(parents=True, exist_ok=True)
    place.run_folder(run).parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | _visible_gpu(slot)
    with log.open("wb") as file:  # what an earlier try said is no news
        process = subprocess.Popen(  # noqa: S603 - our own program; what a study names are its arguments
            launch_command(place, run),
            env=environment,
            stdin=subprocess.DEVNULL,  # nobody is there to be asked
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which can be ended whole
        )
    cores = sorted(os.sched_getaffinity(0))
    with suppress(ProcessLookupError):  # it has yet to import torch, whose threads inherit this
        os.sched_setaffinity(process.pid, cores[slot :: place.jobs] or cores)
    return process


def _visible_gpu(slot: int) -> dict[str, str]:
    """The environment that shows a slot one GPU of those that this process sees."""
    if not (count := torch.cuda.device_count()):
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[slot % count]}


def _finished(place: Workplace, run: PlannedRun, code: int) -> Results:
    """The results of a run that has ended.

    Raises:
        ChestXrayError: It failed.
    """
    if code == 0 and (results := place.results(run)):
        return results
    lines = place.log(run).read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((line for line in reversed(lines) if line.startswith("error: ")), f"exit code {code}").rstrip(".")
    raise ChestXrayError(
        f"the run {run.name} failed ({said}). Its log is {place.log(run)}. Fix the cause and run the study again: "
        "finished runs are kept."
    )


def _end(processes: list[subprocess.Popen]) -> None:
    """End runs as Ctrl-C does, which lets them save their state; kill what is left after the grace time."""
    for process in processes:
        _signal_group(process, signal.SIGINT)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        # The launcher may end before the training that it started, so the whole group is waited for.
        while _signal_group(process, 0) and time.monotonic() < deadline:
            process.poll()
            time.sleep(POLL_SECONDS)
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen, number: int) -> bool:
    """Send a signal to a process and all that it started; whether any of them was there."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
        return True
    return False
