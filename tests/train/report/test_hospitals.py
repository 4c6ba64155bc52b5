"""The matrix of runs that leave hospitals out."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from space.results.checked_json import to_json
from space.results.evaluation_records import HospitalMatrix, HospitalResult
from space.results.results_file import Results, read_results, write_results
from tests.commands import call
from tests.train.report.fixtures import ENTRY, card_of, group, make_results
from train.report import model_card
from train.report.hospitals import draw_matrix, hospital_results, matrix_table, unseen_hospitals


def run(without: list[str], **splits: dict) -> Results:
    """What a run recorded that left these hospitals out; {split: {origin: AUROC}}."""
    subgroups = {
        split.replace("_", "-"): {"origin": {name: asdict(group(20, auroc)) for name, auroc in origins.items()}}
        for split, origins in splits.items()
    }
    results = make_results(subgroups=subgroups)
    results["recipe"]["data"] = {"leave_out": without}
    return Results(**results)


@pytest.fixture
def matrix() -> list[HospitalResult]:
    whole = run([], validation={"a": 0.91, "b": 0.92}, test={"a": 0.5})
    return hospital_results(whole) + hospital_results(run(["B"], validation={"a": 0.93}, left_out={"b": 0.7}))


def test_a_run_is_judged_on_what_it_left_out_and_on_validation_never_on_test(matrix):
    found = [(result.left_out, result.tested_on, result.never_seen, result.auroc.value) for result in matrix]
    assert found == [([], "a", False, 0.91), ([], "b", False, 0.92), (["B"], "b", True, 0.7), (["B"], "a", False, 0.93)]
    assert {result.images for result in matrix} == {40}
    assert matrix[0].specificity.value == ENTRY["value"]


def test_the_rates_are_by_the_rule_in_use_and_an_auroc_of_one_class_is_none():
    results = make_results(classes=2, subgroups={"validation": {"origin": {"a": asdict(group(20, 0.9))}}})
    of_a = results["subgroups"]["validation"]["origin"]["a"]
    of_a["operating_point"]["specificity"] = ENTRY | {"value": 0.3}
    of_a |= {"labels": {"NORMAL": 40, "PNEUMONIA": 0}, "against": ["PNEUMONIA"]}
    (result,) = hospital_results(Results(**results))
    assert (result.specificity.value, result.auroc) == (0.3, None)
    results["operating_point"] = None
    (result,) = hospital_results(Results(**results))
    assert result.specificity.value == ENTRY["value"]


def test_the_table_has_a_row_for_each_training_and_marks_what_it_never_saw(matrix):
    assert matrix_table(matrix, "auroc").splitlines() == [
        "| trained on | tested on a | tested on b |",
        "| --- | --- | --- |",
        "| all | 0.910 (0.250 to 0.750) | 0.920 (0.250 to 0.750) |",
        "| all but B | 0.930 (0.250 to 0.750) | **0.700** (0.250 to 0.750) |",
    ]
    assert "| all | 0.500 (0.250 to 0.750) | too few images |" in matrix_table([matrix[0], *matrix[2:]], "specificity")


def test_a_hospital_counts_as_a_whole_where_it_has_several_origins_else_by_its_origin(matrix):
    assert [(result.tested_on, result.auroc.value) for result in unseen_hospitals(matrix)] == [("b", 0.7)]
    whole = replace(matrix[2], tested_on="B", auroc=replace(matrix[2].auroc, value=0.8))
    assert unseen_hospitals([*matrix, whole]) == [whole]
    assert unseen_hospitals([replace(result, auroc=None) for result in matrix]) == []


def test_the_figure_has_both_measures_and_frames_what_was_never_seen(matrix):
    axes = draw_matrix(matrix).axes
    assert [each.get_title() for each in axes] == ["AUROC", "Specificity"]
    values = axes[0].images[0].get_array()
    assert np.asarray(values) == pytest.approx(np.array([[0.91, 0.92], [0.93, 0.7]]))
    assert len(axes[0].lines) == 1
    assert axes[0].lines[0].get_xydata().mean(axis=0) == pytest.approx([1, 1], abs=0.2)


def test_a_studys_matrix_is_put_on_the_card_and_stays_there(matrix, tmp_path):
    matrix = [replace(result, tested_on="B") if result.never_seen else result for result in matrix]
    found = HospitalMatrix(study="hospitals", recipe="tiny", image_size=64, epochs=3, seed=0, results=matrix)
    (tmp_path / "hospitals.json").write_text(to_json(asdict(found)))
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run" / "results.json", Results(**make_results(external=False)))
    done = call(model_card.main, tmp_path / "run", "--hospitals", tmp_path / "hospitals.json")
    assert done.returncode == 0, done.stderr
    assert read_results(tmp_path / "run" / "results.json").hospitals == found
    card = (tmp_path / "run" / "README.md").read_text()
    assert "The study `hospitals` trained `tiny` anew without each hospital (64 pixels, 3 epochs, seed 0)." in card
    assert matrix_table(matrix, "specificity") in card
    limit = "Expect it to do worse elsewhere. Trained in the same way without a hospital, its AUROC there was 0.700"
    assert f"{limit} (0.250 to 0.750) on `B`." in card
    assert "never saw?" not in card_of(make_results())
    (tmp_path / "hospitals.json").write_text("[]")
    assert call(model_card.main, tmp_path / "run", "--hospitals", tmp_path / "hospitals.json").returncode == 2
