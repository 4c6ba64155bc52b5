"""results.json: read as it was written, and refused where it is damaged."""

import json
import math
from pathlib import Path

import pytest

from space.errors import UsageError
from space.results.results_file import read_results, write_results
from tests.conftest import DEFAULT_MODEL

BUNDLED = DEFAULT_MODEL / "results.json"
# As commit 5c919f0 wrote it, some metrics, epochs and controls left out.
OLDER = Path(__file__).parent / "results_of_5c919f0.json"


def changed(tmp_path: Path, change) -> Path:
    """A copy of the bundled results.json, changed in place by `change`."""
    values = json.loads(BUNDLED.read_text())
    change(values)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("source", [BUNDLED, OLDER], ids=["bundled", "older"])
def test_what_is_written_is_read_as_the_same_with_every_digit(source, tmp_path):
    results = read_results(source)
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    recorded = json.loads(source.read_text())["splits"]
    for split, rules in recorded.items():
        for rule, metrics in rules.items():
            for name, entry in metrics.items():
                assert vars(results.splits[split][rule][name]) == entry


def test_results_of_an_earlier_version_open_and_what_they_lack_has_a_default():
    results = read_results(OLDER)
    assert results.dataset.test_image_size == "224 x 224 (624 of 624)"  # its name then: test_picture_size
    assert results.history[0].validation_accuracy is None
    assert results.selection.robust_auroc is None
    assert results.dataset.audit.names_kept is False
    assert results.calibration.not_fitted == ""
    assert (results.positive_label, results.operating_point.rule) == ("PNEUMONIA", "youden")
    assert results.splits["test"]["argmax"]["auroc"].unit == "patient"


@pytest.mark.parametrize(
    ("content", "problem"),
    [("", "Invalid JSON"), ("{}", r"recipe: Field required \(and 17 more\)"), ('{"accuracy": 0.9}', "recipe: Field")],
)
def test_a_foreign_or_damaged_file_is_refused_in_one_sentence(tmp_path, content, problem):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=f"results.json is damaged or was not written by this project: {problem}"):
        read_results(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda values: values.update(surprise=1), "surprise: Unexpected keyword argument"),
        (lambda values: values["splits"]["test"]["argmax"]["auroc"].pop("low"), "splits.test.argmax.auroc.low: Field"),
        (
            lambda values: values["history"][3].update(train_loss=math.nan),
            "history.3.train_loss: Input should be",
        ),
        (lambda values: values["recipe"]["evaluation"].update(positive_label="ILL"), "positive_label 'ILL' is none of"),
        (lambda values: values["confusion"]["test"]["argmax"].pop(), "confusion must have a row and a column for each"),
        (lambda values: values["calibration"]["splits"]["test"]["prevalence"].pop("NORMAL"), "prevalence must have"),
    ],
)
def test_the_message_names_the_place(tmp_path, change, problem):
    with pytest.raises(UsageError) as caught:
        read_results(changed(tmp_path, change))
    assert problem in str(caught.value)
