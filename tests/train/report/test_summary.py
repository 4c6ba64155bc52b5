"""What a finished run prints."""

from dataclasses import replace
from pathlib import Path

import pytest

from space.results.results_file import Results
from tests.train.report.fixtures import ENTRY, group, make_results
from train.report.summary import PRINTED, print_results


@pytest.fixture
def printed(capsys):
    """The lines that are printed for some results."""

    def lines(results: Results) -> list[str]:
        print_results(results, Path("runs/mine"))
        return capsys.readouterr().out.splitlines()

    return lines


def test_every_split_and_rule_has_its_metrics_with_intervals(printed):
    results = make_results()
    results["splits"]["test"]["operating_point"]["sensitivity"] = ENTRY | {"value": 0.123456}
    lines = printed(Results(**results))
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles == [
        "validation, argmax", "validation, operating point", "test, argmax", "test, operating point",
        "external: others, 120 images of all its splits", "written: runs/mine",
    ]  # fmt: skip
    assert lines.count("  sensitivity (recall)   0.1235  [0.2500, 0.7500]") == 1
    assert sum(line.startswith("  AUROC ") for line in lines) == 5
    assert len(lines) == 4 * (2 + len(PRINTED)) + 3 + 2


def test_every_origin_has_its_auroc(printed):
    of_b = replace(group(5, 0.6), argmax={})
    results = Results(**make_results(subgroups={"test": {"origin": {"a": group(20, 0.87654), "b": of_b}}}))
    lines = printed(results)
    place = lines.index("  AUROC                  0.8765  [0.2500, 0.7500]  a, 40 images")
    assert not any(line.endswith("b, 10 images") for line in lines)  # its AUROC is not defined
    assert place > lines.index("test, operating point")


@pytest.mark.parametrize(("drop", "words"), [(0.1, "0.1000 lower than on"), (-0.05, "0.0500 higher than on")])
def test_another_dataset_is_compared_with_the_own_test_split(printed, drop, words):
    results = make_results()
    results["external"]["others"]["drop"]["argmax"]["auroc"] = drop
    assert any(f", {words} its own test split" in line for line in printed(Results(**results)))
    results["external"]["others"]["drop"] = {}
    assert "its own test split" not in "\n".join(printed(Results(**results)))


def test_another_dataset_without_a_class_has_its_accuracy_alone(printed):
    results = make_results()
    results["external"]["others"] |= {"absent": ["NORMAL"], "drop": {"argmax": {"sensitivity": 0.1}}}
    lines = printed(Results(**results))
    place = lines.index("  no images of NORMAL, so AUROC is not defined")
    assert lines[place + 1].startswith("  accuracy ")
    assert lines[place + 1].endswith("]")


def test_a_temperature_that_was_not_fitted_is_explained(printed):
    results = Results(**make_results())
    assert "not fitted" not in "\n".join(printed(results))
    bare = replace(results.calibration, not_fitted="only 25 validation images")
    assert "temperature: not fitted: only 25 validation images" in printed(replace(results, calibration=bare))
