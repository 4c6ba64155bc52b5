"""A whole study, through the launcher, and started again."""

import csv
import os
import re
import signal
import sys
from dataclasses import replace

import pytest

from space.errors import UsageError
from space.results.results_file import read_results
from tests.train.study.test_plan import planned
from tests.train.study.test_report import COMMITTED
from tests.train.study.test_study_file import MORE, STUDY, write_study
from train.data.dataset import load_data
from train.data.origins import LEFT_OUT, leave_out
from train.study import conduct, runner
from train.study.__main__ import main
from train.study.report import render_report
from train.study.results import read_study
from train.study.results import write_study as write_results
from train.study.runner import Workplace, launch_command

# In place of training with another seed: a copy of the run with seed 0, as soon as that is finished.
COPY = """
import json, shutil, sys, time
source, folder, seed = sys.argv[1:]
path = f"{folder}/results.json"
for _ in range(3000):
    try:
        shutil.copytree(source, folder)
        break
    except FileNotFoundError:
        time.sleep(0.1)
results = json.load(open(path))
json.dump(results | {"seed": int(seed)}, open(path, "w"))
"""


def test_a_study_runs_through_the_launcher_and_reads_test_once(dataset_folder, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    options = [write_study(tmp_path), "--dataset", dataset_folder, "--output", output, "--jobs", "2"]
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own
    monkeypatch.setattr(sys, "argv", ["study", *map(str, options)])

    def command(place, run):
        if run.seed == 0:
            return launch_command(place, run)
        source = place.run_folder(replace(run, name=run.name.replace("seed1", "seed0")))
        return [sys.executable, "-c", COPY, str(source), str(place.run_folder(run)), str(run.seed)]

    monkeypatch.setattr(runner, "launch_command", command)
    main()
    printed = capsys.readouterr().out
    for number in range(1, 5):
        assert re.search(rf"\[{number}/4\] (base|learning-rate.slow)-seed[01]: validation_auroc [01]\.\d{{4}}", printed)
    assert {path.name for path in output.iterdir()} == {
        "README.md", "differences.png", "logs", "results.json", "runs", "runs.csv", "study.toml",
    }  # fmt: skip
    results = read_study(output / "results.json")
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert results.machines[0].environment["device"] in (
        f"CPU ({threads} threads)",
        f"CPU ({threads + 1} threads)",
    )
    for run in results.runs:
        recorded = read_results(output / "runs" / run.name / "results.json")
        assert run.values["validation_auroc"] == recorded.selection.validation_auroc
        assert run.steps == 2
        assert set(recorded.splits) == {"validation"}
        assert run.values["test_auroc"] == run.test["auroc"].value
    with (output / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["learning-rate"]) for row in rows][:2] == [
        ("base-seed0", "base"), ("learning-rate.slow-seed0", "slow"),
    ]  # fmt: skip
    assert (output / "differences.png").read_bytes().startswith(b"\x89PNG")
    report = (output / "README.md").read_text()
    assert report == render_report(results)
    assert str(tmp_path) not in report + (output / "results.json").read_text()

    def never(*_):
        raise AssertionError("a finished study reads no test split and starts no run")

    monkeypatch.setattr(conduct, "collect", never)
    monkeypatch.setattr(conduct, "run_all", never)
    (output / "README.md").unlink()
    main()
    assert (output / "README.md").read_text() == report
    assert results.rows[0].measures["validation_auroc"].reading in capsys.readouterr().out
    write_study(tmp_path, STUDY + MORE)
    with pytest.raises(UsageError, match="holds a finished study of 4 runs"):
        main()


def test_hospitals_that_lack_a_class_are_refused_before_any_training(merged):
    data = load_data(str(merged))
    conduct.check_left_out(data)
    conduct.check_left_out(leave_out(data, ["South"]))
    alone = leave_out(data, ["south-b"])
    ill = alone.splits[LEFT_OUT].filter(lambda label: label == 1, input_columns="label")
    with pytest.raises(UsageError, match="south-b has no train or validation image of class NORMAL, so no AUROC"):
        conduct.check_left_out(replace(alone, splits=alone.splits | {LEFT_OUT: ill}))


def test_a_study_that_has_not_read_the_test_split_may_grow(tmp_path):
    place, runs = Workplace(tmp_path, "base", "dataset", "fingerprint", 1), planned(tmp_path)
    screen = replace(COMMITTED, patients=None)
    write_results(tmp_path / "results.json", screen)
    assert conduct.finished_results(place, runs, "validation_auroc") is None
    write_results(tmp_path / "results.json", COMMITTED)
    with pytest.raises(UsageError, match="The test split has been read, so no runs can be added"):
        conduct.finished_results(place, runs, "validation_auroc")
