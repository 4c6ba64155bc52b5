"""What finished runs recorded, gathered, and the test split read for each."""

import shutil
from dataclasses import replace

import pytest

from space.results.evaluation_records import Estimate, SwapTest
from space.results.results_file import write_results
from space.results.training_records import RecipeRecord
from tests.train.report.fixtures import group
from tests.train.study.test_study_file import STUDY, write_study
from train.study.collect import collect, evaluate_on_test
from train.study.plan import plan_runs
from train.study.runner import Workplace
from train.study.study_file import SWAP_MEASURES, load_study

EPOCHS = {"base-seed0": 0.5, "base-seed1": 0.6, "learning-rate.slow-seed0": 0.7, "learning-rate.slow-seed1": 0.9}
HIGH, EVEN = (Estimate(value=value, low=0.0, high=1.0, n=4, unit="patient") for value in (0.9, 0.5))
SWAP = SwapTest(images=4, pairs=8, own_masks=4, unchanged=HIGH, lungs=HIGH, surroundings=EVEN)


@pytest.fixture
def study(tmp_path):
    """A study whose runs are copies of one finished run, each with another AUROC on validation; and where they lie."""
    study = load_study(write_study(tmp_path))
    return study, plan_runs(study)


@pytest.fixture
def place(study, finished, tmp_path) -> Workplace:
    data = finished.run.data
    place = Workplace(tmp_path / "out", study[0].header.base, data.name, data.fingerprint, 1)
    for run in study[1]:
        shutil.copytree(finished.run.folder, place.run_folder(run))
        results = replace(
            finished.results,
            recipe=RecipeRecord(**run.recipe.to_dict()),
            seed=run.seed,
            max_steps=run.max_steps,
            swaps={"validation": SWAP},
            selection=replace(finished.results.selection, validation_auroc=EPOCHS[run.name]),
        )
        write_results(place.run_folder(run) / "results.json", results)
    return place


def test_the_test_split_is_read_as_the_run_itself_would(study, place, finished):
    metrics = evaluate_on_test(finished.run.data, place, study[1][0])
    own = finished.results.splits["test"]["argmax"]
    for name in ("accuracy", "auroc"):
        assert metrics[name].value == pytest.approx(own[name].value, abs=1e-6)
        assert (metrics[name].n, metrics[name].unit) == (20, "patient")


def test_runs_are_gathered_with_what_they_recorded(study, place, finished, monkeypatch):
    test = finished.results.splits["test"]["argmax"]
    monkeypatch.setattr("train.study.collect.evaluate_on_test", lambda *_: test)
    results = collect(*study, place, finished.run.data, "python -m train.study")
    assert {run.name: run.values["validation_auroc"] for run in results.runs} == EPOCHS
    assert {run.values["test_auroc"] for run in results.runs} == {test["auroc"].value}
    assert results.patients == test["auroc"]
    assert {(run.values["swap_lungs_auroc"], run.values["swap_surroundings_auroc"]) for run in results.runs} == {
        (0.9, 0.5)
    }
    assert results.base["validation_auroc"].mean == pytest.approx(0.55)
    (row,) = results.rows
    assert (row.factor, row.level, row.changes) == ("learning-rate", "slow", ["learning_rate=0.0001"])
    assert row.measures["validation_auroc"].difference.mean == pytest.approx(0.25)
    assert (results.base_run.name, results.base_run.init, results.base_run.kept_epoch) == ("base-seed0", "scratch", 1)
    assert (results.runs[0].steps, results.runs[0].epochs, results.train_seconds) == (4, 2, 4 * 18.0)
    assert len(results.machines) == 1
    assert results.images == {"train": 40, "validation": 100, "test": 40}
    assert results.study.base_changes == ["epochs=1", "init=scratch", "max_steps=2", 'tracker="none"']


def test_without_a_test_split_none_is_read(study, place, finished):
    splits = {name: rows for name, rows in finished.run.data.splits.items() if name != "test"}
    results = collect(*study, place, replace(finished.run.data, splits=splits), "python -m train.study")
    assert results.patients is None
    assert [set(run.values) for run in results.runs] == [{"validation_auroc", *SWAP_MEASURES}] * 4
    assert {run.test for run in results.runs} == {None}


def test_a_screen_reads_no_test_split(study, place, finished):
    screen = replace(study[0], seeds=[0])
    results = collect(screen, plan_runs(screen), place, finished.run.data, "python -m train.study")
    assert (results.patients, len(results.runs)) == (None, 2)
    assert results.images == {"train": 40, "validation": 100}
    assert results.dataset.test_image_size is None


def test_runs_that_leave_hospitals_out_are_judged_on_them_and_read_no_test_split(finished, tmp_path):
    text = STUDY.replace("seeds = [0, 1]", 'seeds = [0, 1]\nleave_out = [[], ["A"], ["B"]]')
    study = load_study(write_study(tmp_path, text.replace("validation_auroc", "left_out_auroc")))
    place, planned = Workplace(tmp_path / "out", "base", "phantoms", finished.run.data.fingerprint, 1), plan_runs(study)
    worth = {"A": 0.7, "B": 0.6, "": None}
    chosen = replace(finished.results.selection, worst_origin_auroc=0.8)
    for run in planned:
        left_out = "".join(run.recipe.data.leave_out)
        results = replace(
            finished.results,
            recipe=RecipeRecord(**run.recipe.to_dict()),
            seed=run.seed,
            max_steps=run.max_steps,
            selection=replace(chosen, validation_auroc=0.9 if left_out else 0.96),
        )
        if left_out:
            value = worth[left_out] + 0.1 * ("slow" in run.name)
            auroc = replace(results.splits["validation"]["argmax"]["auroc"], value=value)
            metrics = results.splits["validation"]["argmax"] | {"auroc": auroc}
            results = replace(
                results, splits={"validation": results.splits["validation"], "left-out": {"argmax": metrics}}
            )
        results = replace(results, subgroups={"validation": {"origin": {"a": group(20, 0.9)}}})
        place.run_folder(run).mkdir(parents=True)
        write_results(place.run_folder(run) / "results.json", results)
    gathered = collect(study, planned, place, finished.run.data, "python -m train.study")
    assert (gathered.patients, set(gathered.images)) == (None, {"train", "validation"})
    assert [run.left_out for run in gathered.runs[:3]] == [[], ["A"], ["B"]]
    assert "left_out_auroc" not in gathered.runs[0].values
    base = gathered.base
    assert base["left_out_auroc"].mean == pytest.approx(0.6)  # the worst hospital
    assert base["validation_auroc"].mean == pytest.approx((0.96 + 2 * 0.9) / 3)
    assert gathered.rows[0].measures["left_out_auroc"].difference.mean == pytest.approx(0.1)
    assert [(result.left_out, result.tested_on) for result in gathered.hospitals.results] == [
        ([], "a"),
        (["A"], "a"),
        (["B"], "a"),
    ]
