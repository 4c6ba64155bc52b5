"""Signals and kills: what is lost, and what a resumed run makes of the rest."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY, TINY_RECIPE
from tests.train.engine.fixtures import finetune, without_seconds
from train.common.atomic_output import partial_of
from train.common.checkpoint_folder import checkpoints_of, list_checkpoints
from train.engine.shutdown import Interrupted, ShutdownSignal

SETTINGS = ["epochs=4", "checkpoint_steps=2", "ema_decay=0.9", "dropout=0.3", "tracker=none"]


def test_a_signal_is_noted_and_a_second_one_has_its_usual_effect():
    before = signal.getsignal(signal.SIGINT)
    with ShutdownSignal() as interrupted:
        assert interrupted() == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interrupted_run_exits_as_the_signal_would_have_made_it():
    error = Interrupted(7, signal.SIGTERM)
    assert error.exit_code == 143
    assert str(error) == "interrupted after step 7; the state of training was saved. Add --resume to continue."


def options(dataset, output) -> list[str]:
    words = ["--recipe", TINY_RECIPE, "--dataset", dataset, "--output", output, "--init", "scratch"]
    return [*map(str, words), *(word for setting in SETTINGS for word in ("--set", setting))]


@pytest.fixture(scope="module")
def finished(dataset_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "whole"
    done = finetune(*options(dataset_folder, output))
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_process_that_is_killed_loses_at_most_what_came_after_its_checkpoint(
    finished, dataset_folder, tmp_path, number
):
    output = tmp_path / "run"
    partial = partial_of(output)
    command = [sys.executable, "-m", "train.finetune", *options(dataset_folder, output)]
    # With one core, as `finetune` has here: the weights should be the same bits.
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )  # fmt: skip
    end = time.monotonic() + 200
    while not [path for path in list_checkpoints(checkpoints_of(partial)) if path.name > "step-000000010"]:
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(60)
    errors = process.stderr.read()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), errors
    if number != signal.SIGKILL:
        assert "the state of training was saved. Add --resume to continue." in errors
    assert not output.exists()
    refused = finetune(*options(dataset_folder, output))
    assert refused.returncode == 2
    assert "Add --resume to continue it" in refused.stderr
    resumed = finetune(*options(dataset_folder, output), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after step" in resumed.stdout
    assert (output / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (output, finished))
    assert ours["splits"] == theirs["splits"]
    assert without_seconds(ours["history"]) == without_seconds(theirs["history"])
    assert {path.name for path in output.iterdir()} == {path.name for path in finished.iterdir()}
    assert not partial.exists()
