"""What the page takes from the files beside a model's weights."""

import json
import shutil
from copy import deepcopy

import pytest

from space.inference.repository import find_file
from space.web import model_facts
from space.web.model_choice import ModelId
from space.web.model_facts import Counts, ModelFacts
from tests.conftest import DEFAULT_MODEL

LABELS = ["NORMAL", "PNEUMONIA"]
RECORDED = json.loads((DEFAULT_MODEL / "results.json").read_text())
POPULATION = RECORDED["dataset"]["audit"]["about"]["population"]


def test_the_bundled_models_facts():
    facts = ModelFacts.load(ModelId(str(DEFAULT_MODEL)), LABELS)
    assert facts.model.link == "`default-model`"
    assert facts.positive == "PNEUMONIA"
    assert [sum(n for n, _ in counts.bins) for counts in (facts.validation, facts.test)] == [
        RECORDED["images"][split] for split in ("validation", "test")
    ]
    right, flagged = RECORDED["confusion"]["test"]["operating_point"][0]
    assert facts.called == (flagged, right + flagged)
    assert facts.population == POPULATION
    assert facts.card.lstrip().startswith("# best-pneumonia")
    assert "model-index" not in facts.card
    assert "figures/roc.png" not in facts.card
    assert "](EVALUATION.md)" not in facts.card
    assert "EVALUATION.md" in facts.card


def test_links_to_files_beside_a_card_lead_to_the_commit_that_is_served(tmp_path, monkeypatch):
    card = tmp_path / "README.md"
    card.write_text(
        "[rest](EVALUATION.md), [source](https://example.org/a), [above](#top)\n\n![roc](figures/roc.png)\n"
    )
    monkeypatch.setattr(model_facts, "find_file", lambda _name, file, _revision: card if file == card.name else None)
    assert ModelFacts.load(ModelId("someone/tiny", "a" * 40), LABELS).card.strip() == (
        f"[rest](https://huggingface.co/someone/tiny/blob/{'a' * 40}/EVALUATION.md), "
        "[source](https://example.org/a), [above](#top)"
    )
    assert ModelFacts.load(ModelId(str(tmp_path)), LABELS).card.startswith("rest, [source](https://example.org/a)")


def test_scores_fall_into_the_bin_of_the_positive_class_or_of_the_highest():
    counts = Counts({}, [[n, n // 2] for n in range(15)])
    assert counts.bin_of(0.02) == pytest.approx((0, 1 / 15, 0, 0))
    assert counts.bin_of(1.0) == pytest.approx((14 / 15, 1, 14, 7))
    assert ModelFacts(ModelId("m"), "", "ILL").counted({"WELL": 0.98, "ILL": 0.02}) == 0.02
    assert ModelFacts(ModelId("m"), "").counted({"A": 0.3, "B": 0.5, "C": 0.2}) == 0.5


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"recipe": 7}', "null"])
def test_results_that_say_nothing_are_no_obstacle(tmp_path, content):
    shutil.copy(DEFAULT_MODEL / "README.md", tmp_path)
    (tmp_path / "results.json").write_text(content)
    facts = ModelFacts.load(ModelId(str(tmp_path)), LABELS)
    assert (facts.positive, facts.validation, facts.test) == (None, None, None)
    assert facts.card


def test_results_of_a_model_with_other_labels_say_nothing_of_this_one():
    facts = ModelFacts.load(ModelId(str(DEFAULT_MODEL)), ["WELL", "ILL"])
    assert (facts.positive, facts.validation, facts.test, facts.called) == (None, None, None, None)
    assert facts.card


def test_a_card_in_another_encoding_is_shown_as_far_as_it_can_be(tmp_path):
    (tmp_path / "README.md").write_bytes(b"\xef\xbb\xbf---\nlicense: mit\n---\n# M\xfcnster\n")
    assert ModelFacts.load(ModelId(str(tmp_path)), LABELS).card == "# M\ufffdnster\n"


def test_a_model_without_card_and_results(tmp_path):
    facts = ModelFacts.load(ModelId(str(tmp_path)), LABELS)
    assert (facts.card, facts.validation) == ("", None)
    assert find_file(str(tmp_path), "guard.safetensors", None) is None


def test_a_model_without_a_test_split_keeps_its_validation_counts_and_population(tmp_path):
    results = deepcopy(RECORDED)
    for parts in (results["splits"], results["confusion"], results["calibration"]["splits"]):
        del parts["test"]
    (tmp_path / "results.json").write_text(json.dumps(results | {"saliency": None, "shortcuts": None, "shift": []}))
    facts = ModelFacts.load(ModelId(str(tmp_path)), LABELS)
    assert sum(n for n, _ in facts.validation.bins) == RECORDED["images"]["validation"]
    assert (facts.positive, facts.test, facts.called) == ("PNEUMONIA", None, None)
    assert facts.population == POPULATION


def test_older_results_without_counts_are_no_obstacle(tmp_path):
    results = deepcopy(RECORDED)
    del results["calibration"]["splits"]["validation"]["bins"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    facts = ModelFacts.load(ModelId(str(tmp_path)), LABELS)
    assert facts.validation is None
    assert sum(n for n, _ in facts.test.bins) == RECORDED["images"]["test"]


@pytest.mark.parametrize(
    ("lows", "expected"), [([0.1, 0.2], True), ([0.1, 0.0], False), ([-0.1, -0.2], False), ([], None)]
)
def test_what_the_models_deletion_test_says_of_its_maps(tmp_path, lows, expected):
    results = deepcopy(RECORDED)
    entry = {"value": 0.5, "low": 0.1, "high": 1.0, "n": 9, "unit": "patient"}
    counts = {"method": "blur", "others": "anywhere", "images": 9, "empty": 0}
    falls = dict.fromkeys(("lead", "hottest", "other"), entry)
    results["saliency"]["deletion"] = [counts | falls | {"difference": entry | {"low": low}} for low in lows]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert ModelFacts.load(ModelId(str(tmp_path)), LABELS).hottest_counts_more is expected
