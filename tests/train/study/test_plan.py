from pathlib import Path

import pytest

from space.errors import UsageError
from tests.conftest import REPOSITORY
from tests.train.study.test_study_file import HOSPITALS, MORE, STUDY, write_study
from train.study.plan import plan_runs
from train.study.study_file import load_study

STUDIES = REPOSITORY / "train" / "studies"


def planned(folder: Path, text: str = STUDY):
    return plan_runs(load_study(write_study(folder, text)))


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_plans_its_runs_and_opens_with_its_story(path):
    study = load_study(path)
    header = path.read_text().split("question =")[0]
    for word in ("Question:", "Command:", "Machine:"):
        assert word in header
    levels = sum(map(len, study.factors.values()))
    assert len(plan_runs(study)) == len(study.seeds) * (1 + levels) * len(study.leave_out)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"validation_auroc"', '"robust_auroc"', 'base: metric = "robust_auroc" is measured only .* "robust-auroc"'),
        ("base_changes]\nepochs = 1", "base_changes]\nepochs = 0", "base: tiny.toml .*epochs = 0. It must be greater"),
        ("epochs = 1", "epoch = 1", r"base: --set epoch=1: unknown key epoch; did you mean epochs"),
        ("epochs = 1", "model.epochs = 1", "base: --set model.epochs=1"),
        ("epochs = 1", "epochs = 2026-01-01", "epochs = '2026-01-01'. It must be a valid integer"),
        (
            "learning_rate = 1e-4",
            "learning_rat = 1e-4",
            "learning-rate.slow: --set learning_rat=.*did you mean learning_rate",
        ),
        ("learning_rate = 1e-4", "learning_rate = 3e-3", "learning-rate.slow and base would be the same run"),
        ("tiny.toml", "huge.toml", "no recipe .*huge.toml.*Recipes are: .*mobilenetv2-pneumonia"),
        ('"validation_auroc"', '"left_out_auroc"', r'metric = "left_out_auroc" needs leave_out, such as'),
    ],
)
def test_a_study_whose_recipes_do_not_fit_is_refused_before_anything_starts(tmp_path, old, new, message):
    assert old in STUDY
    with pytest.raises(UsageError, match=message):
        planned(tmp_path, STUDY.replace(old, new))


def test_one_at_a_time_is_the_base_and_each_level_alone_for_every_seed(tmp_path):
    runs = planned(tmp_path, STUDY + MORE)
    names = ["base", "learning-rate.slow", "smoothing.some", "smoothing.much"]
    assert [run.name for run in runs] == [f"{name}-seed{seed}" for seed in (0, 1) for name in names]
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4
    training = [run.recipe.training for run in runs[:4]]
    assert [(one.learning_rate, one.label_smoothing) for one in training] == [
        (3e-3, 0.0), (1e-4, 0.0), (3e-3, 0.05), (3e-3, 0.2),
    ]  # fmt: skip
    assert {one.epochs for one in training} == {1}
    assert not any(run.recipe.evaluation.test for run in runs)
    assert {(run.init, run.max_steps) for run in runs} == {("scratch", 2)}


def test_a_grid_is_every_combination_with_the_base(tmp_path):
    grid = (STUDY + MORE).replace('"one-at-a-time"', '"grid"')
    runs = planned(tmp_path, grid)
    assert len(runs) == 2 * 3 * 2
    assert runs[0].setting == {}
    assert runs[5].setting == {"learning-rate": "slow", "smoothing": "much"}
    assert runs[5].name == "learning-rate.slow.smoothing.much-seed0"
    assert (runs[5].recipe.training.learning_rate, runs[5].recipe.training.label_smoothing) == (1e-4, 0.2)
    clash = grid.replace("{ label_smoothing = 0.05 }", "{ label_smoothing = 0.05, learning_rate = 1e-2 }")
    with pytest.raises(UsageError, match="learning-rate and smoothing both change learning_rate"):
        planned(tmp_path, clash)


def test_every_run_is_made_once_for_each_hospital_that_is_left_out(tmp_path):
    runs = planned(tmp_path, HOSPITALS)
    names = [
        f"{setting}{without}"
        for setting in ("base", "learning-rate.slow")
        for without in ("", ".without-NIH", ".without-South-A-South-B")
    ]
    assert [run.name for run in runs] == [f"{name}-seed{seed}" for seed in (0, 1) for name in names]
    assert [run.recipe.data.leave_out for run in runs[:3]] == [(), ("NIH",), ("South A", "South-B")]
    assert runs[2].changes[-1] == 'leave_out=["South A", "South-B"]'


def test_the_base_alone_is_planned_where_there_are_no_factors(tmp_path):
    runs = planned(tmp_path, HOSPITALS.split("[factors")[0])
    assert [run.name for run in runs[:3]] == [
        "base-seed0",
        "base.without-NIH-seed0",
        "base.without-South-A-South-B-seed0",
    ]
    assert len(runs) == 6
