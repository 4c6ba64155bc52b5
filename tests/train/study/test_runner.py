"""The runs of a study: started side by side, never twice, ended together."""

import json
import os
import sys
import time
from itertools import pairwise

import pytest

from space.errors import ChestXrayError, UsageError
from tests.conftest import DEFAULT_MODEL, TINY_RECIPE
from tests.train.study.test_plan import planned
from tests.train.study.test_study_file import MORE, STUDY
from train.config.recipe_file import load_recipe
from train.study import runner
from train.study.runner import Workplace, launch_command, run_all

# A stand-in for training: writes what a run records, slowly or badly if told so.
FAKE_RUN = """
import json, os, subprocess, sys, time
name, folder, recorded = sys.argv[1:]
if "slow" in name:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(os.environ["PIDS"], "w").write(f"{os.getpid()} {child.pid}")
    child.wait()
print("training", name)
if "much" in name:
    sys.exit("error: the disk is on fire.")
os.makedirs(folder)
open(f"{folder}/results.json", "w").write(recorded)
"""


@pytest.fixture
def fake_launcher(monkeypatch, tmp_path):
    """Replaces training by `FAKE_RUN`; gives the file in which a slow run leaves its process ids."""

    def command(place, run):
        recorded = json.loads((DEFAULT_MODEL / "results.json").read_text())
        recorded |= {"recipe": run.recipe.to_dict(), "seed": run.seed, "init": run.init, "max_steps": run.max_steps}
        recorded["dataset"]["fingerprint"] = place.fingerprint
        recorded["external"] = {}
        return [sys.executable, "-c", FAKE_RUN, run.name, str(place.run_folder(run)), json.dumps(recorded)]

    monkeypatch.setattr(runner, "launch_command", command)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.02)
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    return tmp_path / "pids"


def test_a_finished_run_is_never_run_again_and_one_of_other_settings_is_refused(fake_launcher, tmp_path):
    quick = STUDY.replace("slow", "quick")
    runs = planned(tmp_path, quick)
    place = Workplace(tmp_path / "study", "base", "data", "digest", jobs=2)
    done = []
    run_all(place, runs[:3], lambda run, results: done.append(run.name))
    before = (place.run_folder(runs[0]) / "results.json").stat().st_mtime_ns
    run_all(place, runs, lambda run, results: done.append(run.name))
    assert sorted(done) == sorted(run.name for run in runs)
    assert (place.run_folder(runs[0]) / "results.json").stat().st_mtime_ns == before
    assert place.log(runs[0]).read_text() == f"training {runs[0].name}\n"
    with pytest.raises(UsageError, match="base-seed0 was made with a different training"):
        run_all(place, planned(tmp_path, quick.replace("epochs = 1", "epochs = 2")), print)
    with pytest.raises(UsageError, match="with a different max_steps"):
        run_all(place, planned(tmp_path, quick.replace("max_steps = 2", "max_steps = 3")), print)
    with pytest.raises(UsageError, match="with a different init"):
        run_all(place, planned(tmp_path, quick.replace('"scratch"', '"imagenet"')), print)
    with pytest.raises(UsageError, match="with a different dataset"):
        run_all(Workplace(place.folder, "base", "data", "other", 1), runs, print)


def test_a_failing_run_stops_the_study_names_its_log_and_leaves_the_others(fake_launcher, tmp_path):
    runs = planned(tmp_path, STUDY.replace("slow", "quick") + MORE)
    place = Workplace(tmp_path / "study", "base", "data", "digest", jobs=1)
    with pytest.raises(ChestXrayError) as caught:
        run_all(place, runs, lambda run, results: None)
    assert "the run smoothing.much-seed0 failed (error: the disk is on fire)." in str(caught.value)
    assert str(tmp_path / "study" / "logs" / "smoothing.much-seed0.log") in str(caught.value)
    assert caught.value.exit_code == 1
    assert [place.results(run) is not None for run in runs] == [True, True, True, False] + [False] * 4


def test_ctrl_c_ends_the_runs_and_what_they_started(fake_launcher, tmp_path):
    runs = planned(tmp_path)
    place = Workplace(tmp_path / "study", "base", "data", "digest", jobs=2)

    def interrupt(run, results):
        deadline = time.monotonic() + 30
        while not (fake_launcher.exists() and fake_launcher.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(place, runs, interrupt)
    for pid in map(int, fake_launcher.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_each_slot_sees_one_gpu_and_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(runner.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    seen = [runner._visible_gpu(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(3)]
    assert seen == ["5", "7", "5"]
    assert runner.default_jobs() == 2


def test_a_runs_command_makes_the_recipe_that_was_planned(tmp_path):
    run = planned(tmp_path, STUDY + MORE)[3]
    words = launch_command(Workplace(tmp_path, str(TINY_RECIPE), "DATA", "", 1), run)
    options = words[words.index("--recipe") :]
    changes = [value for flag, value in pairwise(options) if flag == "--set"]
    assert load_recipe(TINY_RECIPE, changes) == run.recipe
    assert "--resume" in options
    for flag, value in (("--init", "scratch"), ("--max-steps", "2"), ("--seed", "0"), ("--dataset", "DATA")):
        assert options[options.index(flag) + 1] == value
