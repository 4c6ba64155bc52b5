import csv
import json
import os
import re
import sys
import time

import pytest

from space.errors import ChestXrayError, UsageError
from tests.conftest import run_python
from tests.train.study.test_plan import MORE, STUDY, planned, write_study
from train.study import __main__ as study_command
from train.study import runner as study_runs
from train.study.report import render_report
from train.study.runner import Workplace, run_all

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
        recorded = {"recipe": run.recipe.to_dict(), "seed": run.seed, "init": run.init}
        recorded |= {"max_steps": run.max_steps, "dataset": {"fingerprint": place.fingerprint}}
        return [sys.executable, "-c", FAKE_RUN, run.name, str(place.run_folder(run)), json.dumps(recorded)]

    monkeypatch.setattr(study_runs, "launch_command", command)
    monkeypatch.setattr(study_runs, "POLL_SECONDS", 0.02)
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
    monkeypatch.setattr(study_runs.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    seen = [study_runs._visible_gpu(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(3)]
    assert seen == ["5", "7", "5"]
    assert study_runs.default_jobs() == 2


def test_a_study_runs_through_the_launcher_and_reads_test_once(dataset_folder, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    options = [write_study(tmp_path), "--dataset", dataset_folder, "--output", output, "--jobs", "2"]
    done = run_python("-m", "train.study", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(1, 5):
        assert re.search(
            rf"\[{number}/4\] (base|learning-rate.slow)-seed[01]: validation_auroc [01]\.\d{{4}}", done.stdout
        )
    assert {path.name for path in output.iterdir()} == {
        "README.md", "differences.png", "logs", "results.json", "runs", "runs.csv", "study.toml",
    }  # fmt: skip
    results = json.loads((output / "results.json").read_text())
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert results["machines"][0]["environment"]["device"] in (
        f"CPU ({threads} threads)",
        f"CPU ({threads + 1} threads)",
    )
    for run in results["runs"]:
        recorded = json.loads((output / "runs" / run["name"] / "results.json").read_text())
        assert run["values"]["validation_auroc"] == recorded["selection"]["validation_auroc"]
        assert run["steps"] == 2
        assert set(recorded["splits"]) == {"validation"}
        assert run["values"]["test_auroc"] == run["test"]["auroc"]["value"]
    with (output / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["learning-rate"]) for row in rows][:2] == [
        ("base-seed0", "base"), ("learning-rate.slow-seed0", "slow"),
    ]  # fmt: skip
    assert (output / "differences.png").read_bytes().startswith(b"\x89PNG")
    report = (output / "README.md").read_text()
    assert report == render_report(results)
    assert str(tmp_path) not in report + json.dumps(results)

    def never(*_):
        raise AssertionError("a finished study reads no test split and starts no run")

    monkeypatch.setattr(study_command, "read_test", never)
    monkeypatch.setattr(study_command, "run_all", never)
    monkeypatch.setattr(study_command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["study", *map(str, options)])
    (output / "README.md").unlink()
    study_command.main()
    assert (output / "README.md").read_text() == report
    assert results["rows"][0]["measures"]["validation_auroc"]["reading"] in capsys.readouterr().out
    write_study(tmp_path, STUDY + MORE)
    with pytest.raises(UsageError, match="holds a finished study of 4 runs"):
        study_command.main()


def test_a_folder_that_is_no_study_is_not_written_to(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = run_python("-m", "train.study", write_study(tmp_path), "--dataset", "x", "--output", tmp_path)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["factors.toml", "thesis.txt"]
