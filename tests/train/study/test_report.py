"""Statistics over seeds, and the report made of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from space.results.evaluation_records import Estimate, HospitalMatrix, HospitalResult
from tests.conftest import REPOSITORY
from tests.train.study.test_study_file import HOSPITALS, MORE, STUDY, write_study
from train.study.plan import list_settings, setting_name
from train.study.report import compare, over_hospitals, render_report, seed_mean, summarise, write_report
from train.study.results import BaseRun, RunRecord, SeedMean, read_study
from train.study.study_file import load_study

FOLDER = REPOSITORY / "train" / "studies" / "pneumonia-factors"
COMMITTED = read_study(FOLDER / "results.json")


def test_intervals_are_students():
    values = [0.91, 0.95, 0.90, 0.96]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    found = seed_mean(values)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), *expected))
    assert seed_mean([0.5, 0.5]) == SeedMean(mean=0.5, low=0.5, high=0.5, n=2)
    assert seed_mean([0.5]) == SeedMean(mean=0.5, low=None, high=None, n=1)


def made_up(setting: dict, seed: int, value: float, **values: float) -> RunRecord:
    """A run with this value on validation."""
    lengths = {"image_size": 64, "epochs": 1, "kept_epoch": 1, "steps": 2, "train_seconds": 9.0, "test": None}
    return RunRecord(
        name=f"{setting_name(setting)}-seed{seed}",
        setting=setting,
        seed=seed,
        values={"validation_auroc": value} | values,
        **lengths,
    )


def test_a_level_is_compared_with_the_base_of_the_same_seed():
    base, level = [0.90, 0.80, 0.85], [0.915, 0.82, 0.86]
    runs = [made_up({}, seed, value) for seed, value in enumerate(base)]
    runs += [made_up({"a": "x"}, seed, value) for seed, value in reversed(list(enumerate(level)))]
    found = compare(runs, "a", "x", "validation_auroc")
    expected = ttest_rel(level, base).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high))
    assert found.base == pytest.approx(0.85)
    assert found.reading == "higher"
    assert seed_mean(level).low < 0.85  # unpaired, the same numbers would show nothing


@pytest.mark.parametrize(
    ("level", "reading"), [([0.8, 0.9], "no difference shown"), ([0.7, 0.701], "lower"), ([0.9, 0.901], "higher")]
)
def test_an_interval_that_includes_zero_shows_no_difference(level, reading):
    runs = [made_up({}, seed, 0.8) for seed in (0, 1)]
    runs += [made_up({"a": "x"}, seed, value) for seed, value in enumerate(level)]
    assert compare(runs, "a", "x", "validation_auroc").reading == reading


def test_in_a_grid_each_setting_is_compared_with_its_own_partner():
    values = {(0, ""): 0.80, (0, "a"): 0.82, (0, "b"): 0.70, (0, "ab"): 0.76}
    values |= {(1, ""): 0.81, (1, "a"): 0.81, (1, "b"): 0.72, (1, "ab"): 0.75}
    runs = [made_up(dict.fromkeys(factors, "x"), seed, value) for (seed, factors), value in values.items()]
    found = compare(runs, "a", "x", "validation_auroc")
    by_seed = [(0.02 + 0.06) / 2, (0.00 + 0.03) / 2]
    expected = ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high))
    assert found.base == pytest.approx(np.mean([0.75, 0.765]))
    assert found.level.mean == pytest.approx(np.mean([0.79, 0.78]))


def report_of(tmp_path, text: str, has_test: bool = True) -> str:
    """The report of made-up runs."""
    study = load_study(write_study(tmp_path, text))
    runs = []
    for seed in study.seeds:
        for number, setting in enumerate(list_settings(study)):
            validation = 0.9 + 0.02 * number * ("slow" in setting.values()) + 0.001 * seed
            test = {"test_auroc": 0.8 - 0.01 * seed, "test_accuracy": 0.7} if has_test else {}
            runs.append(made_up(setting, seed, validation, **test))
    base, rows = summarise(study, runs)
    patients = Estimate(value=0.8, low=0.7, high=0.9, n=40, unit="patient") if has_test else None
    asked = replace(COMMITTED.study, mode=study.header.mode, metric="validation_auroc", seeds=study.seeds)
    results = replace(
        COMMITTED,
        study=replace(asked, question=study.header.question),
        base_run=BaseRun(**vars(runs[0]), recipe=COMMITTED.base_run.recipe, init="scratch"),
        patients=patients,
        runs=runs,
        base=base,
        rows=rows,
    )
    return render_report(results)


def test_the_report_says_what_may_be_concluded_and_what_not(tmp_path):
    text = " ".join(report_of(tmp_path, STUDY + MORE).split())
    assert "**Question.** Does a slower start matter?" in text
    assert "`learning-rate: slow` is higher than the base, by +0.0200 (+0.0200 to +0.0200)." in text
    assert "No difference is shown for `smoothing: some`, `smoothing: much`: the interval includes 0." in text
    assert "They say nothing about other patients." in text
    assert "3 levels were compared without correction. If no level had any effect, 0.15 of these intervals" in text
    assert "The test split of each of the 8 runs was read once" in text
    assert "the AUROC is 0.8000. Its 95% bootstrap interval" in text
    assert "is 0.7000 to 0.9000." in text
    assert "`training.label_smoothing=0.2`" in text
    assert "Interactions are not shown" not in text


def test_the_report_of_a_grid_and_of_a_dataset_without_test_split(tmp_path):
    text = " ".join(report_of(tmp_path, STUDY.replace('"one-at-a-time"', '"grid"'), has_test=False).split())
    assert "Interactions are not shown" in text
    assert "The dataset has no test split: all numbers are of validation." in text
    assert "on test" not in text


def test_the_report_of_one_seed_judges_nothing(tmp_path):
    text = " ".join(report_of(tmp_path, STUDY.replace("[0, 1]", "[0]"), has_test=False).split())
    assert "| learning-rate | slow | 1 | 0.9200 | 0.9000 | +0.0200 | one seed: not judged |" in text
    assert "This is a screen: one seed does not show how far runs differ by chance." in text
    assert "Nothing: a screen does not read it." in text
    for word in ("Interval", "interval", "higher than", "without correction", " None"):
        assert word not in text.split("## Which levels")[1]


def test_a_setting_is_judged_by_its_worst_hospital():
    values = [{}, {"left_out_auroc": 0.7}, {"left_out_auroc": 0.6}]
    runs = [made_up({}, 0, 0.9 + 0.01 * number, **more) for number, more in enumerate(values)]
    (together,) = over_hospitals(runs)
    assert together.values == pytest.approx({"validation_auroc": 0.91, "left_out_auroc": 0.6})
    apart = [made_up({}, 0, 0.9), made_up({}, 1, 0.8), made_up({"a": "x"}, 0, 0.7)]
    assert over_hospitals(apart) == apart


def test_the_report_of_hospitals_left_out_shows_the_matrix_and_reads_no_test(tmp_path):
    study = load_study(write_study(tmp_path, HOSPITALS.replace("validation_auroc", "left_out_auroc")))
    runs = [
        replace(made_up(setting, seed, 0.9, **values), left_out=list(names), name=f"{len(names)}{setting}{seed}")
        for seed in study.seeds
        for setting in list_settings(study)
        for names in study.leave_out
        for values in ({"left_out_auroc": 0.6 + 0.1 * bool(setting) + 0.01 * seed} if names else {},)
    ]
    base, rows = summarise(study, runs)
    auroc = Estimate(value=0.61, low=0.5, high=0.7, n=40, unit="patient")
    cell = {"images": 40, "auroc": auroc, "specificity": auroc}
    results = replace(
        COMMITTED,
        study=replace(COMMITTED.study, metric="left_out_auroc", leave_out=[list(names) for names in study.leave_out]),
        patients=None, runs=runs, base=base, rows=rows,
        hospitals=HospitalMatrix(
            study="factors", recipe="tiny", image_size=64, epochs=1, seed=0,
            results=[HospitalResult(left_out=["NIH"], tested_on="NIH", never_seen=True, **cell)],
        ),
    )  # fmt: skip
    write_report(tmp_path, results)
    text = (tmp_path / "README.md").read_text()
    assert {path.name for path in tmp_path.glob("hospitals.*")} == {"hospitals.png", "hospitals.json"}
    assert "made 3 times: with all, without NIH, without South A, South-B." in text
    assert "## Which levels are best on hospitals never seen?" in text
    assert "| learning-rate | slow | 2 | 0.7050" in text
    assert "### AUROC on validation\n" in text
    assert "| all but NIH | **0.610** (0.500 to 0.700) |" in text
    assert "Nothing: a study that leaves hospitals out is judged on these" in text
    assert "on test" not in text
    rows = (tmp_path / "runs.csv").read_text().splitlines()
    assert "seed,left_out,image_size" in rows[0]
    assert '"South A, South-B"' in rows[3]


def test_the_report_of_the_base_alone_compares_nothing(tmp_path):
    text = HOSPITALS.split("[factors")[0]
    study = load_study(write_study(tmp_path, text))
    runs = [replace(made_up({}, seed, 0.9, left_out_auroc=0.7), left_out=["NIH"]) for seed in study.seeds]
    base, rows = summarise(study, runs)
    recorded = replace(COMMITTED.study, metric="validation_auroc", leave_out=[["NIH"]], factors={})
    write_report(tmp_path, replace(COMMITTED, study=recorded, patients=None, runs=runs, base=base, rows=rows))
    report = (tmp_path / "README.md").read_text()
    assert "- AUROC on hospitals that training left out, the worst of them: 0.7000 (0.7000 to 0.7000)\n" in report
    assert "Nothing was compared: the base alone was trained." in report
    assert "| factor | level |" not in report
    assert not (tmp_path / "differences.png").exists()


@pytest.mark.parametrize("path", sorted(FOLDER.parent.glob("*/results.json")), ids=lambda path: path.parent.name)
def test_the_reports_in_this_repository_are_what_their_results_say(path):
    assert render_report(read_study(path)) == path.with_name("README.md").read_text()
