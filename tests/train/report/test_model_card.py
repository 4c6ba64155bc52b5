"""README.md and EVALUATION.md of a run: every number from results.json, no gaps, a short first page."""

import json
import re
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from space.errors import UsageError
from space.results.results_file import read_results
from tests.conftest import REPOSITORY
from tests.train.report.fixtures import (
    ENTRY,
    MOST_LINES,
    VARIANTS,
    body_of,
    card_of,
    evaluation_of,
    lines_of_summary,
    make_results,
    page,
)
from train.report.model_card import main, render_card, render_evaluation

GOLDEN = REPOSITORY / "tests" / "train" / "report"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_card_opens_with_what_a_reader_needs(name):
    results = make_results(**VARIANTS[name])
    card = card_of(results)
    assert lines_of_summary(card) <= MOST_LINES
    summary = body_of(card).split("\n## ")[0]
    assert "not a medical device" in "\n".join(summary.splitlines()[:7])
    assert "EVALUATION.md" in summary
    assert 'pipeline("image-classification"' in summary
    assert len(re.findall("^- ", summary, re.MULTILINE)) == 3
    auroc = results["splits"]["test" if "test" in results["splits"] else "validation"]["argmax"]["auroc"]
    assert f"| {auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f}) |" in summary
    elsewhere = results["external"].get("others")
    if elsewhere:
        assert f"{elsewhere['rules']['argmax']['auroc']['value']:.3f}" in summary
    else:
        assert "not tested on another hospital's images" in summary


def test_the_worst_case_of_the_first_lines_is_still_short():
    results = make_results(remote_code=True, test=False)
    for rules in (results["splits"]["validation"], results["external"]["others"]["rules"]):
        rules["argmax"]["auroc"] = ENTRY
    results["external"]["others"]["rules"]["argmax"]["auroc"] = ENTRY | {"high": 0.2, "low": 0.1}
    results["external"]["others"]["rules"]["argmax"]["auroc"]["value"] = 0.15
    assert lines_of_summary(card_of(results)) <= MOST_LINES


@pytest.mark.parametrize("name", VARIANTS)
def test_the_card_is_short(name):
    assert len(body_of(card_of(make_results(**VARIANTS[name]))).splitlines()) <= 125


@pytest.mark.parametrize("name", VARIANTS)
def test_no_answer_of_the_checklist_is_blank_and_no_line_is_left_open(name):
    results = make_results(**VARIANTS[name])
    card, evaluation = body_of(card_of(results)), evaluation_of(results)
    rows = re.findall(r"^\| (\d+|TRIPOD\+AI) \| (.*) \| (.*) \|$", evaluation, re.MULTILINE)
    assert [int(number) for number, _, _ in rows if number.isdigit()] == list(range(1, 45))
    assert sum(number == "TRIPOD+AI" for number, _, _ in rows) == 4
    for number, item, answer in rows:
        assert item.strip(), number
        assert answer.strip(" ,;.:"), number
    for text in (card, evaluation):
        assert not re.search(
            r"None\b(?!,)|nan|\{\{|\}\}|\{%", re.sub(r"None(:|,) |^None of the ", "", text, flags=re.M)
        ), name
        assert "DIR_OR_REPO" not in text or text is card


@pytest.mark.parametrize("name", VARIANTS)
def test_markdown_is_whole(name):
    """Tables have as many cells in each row; headings and tables stand apart from the text around them."""
    results = make_results(**VARIANTS[name])
    for text in (body_of(card_of(results)), evaluation_of(results)):
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        for block in re.split(r"\n\s*\n", prose.strip()):
            lines = block.splitlines()
            assert len(lines) == 1 or not any(line.startswith("#") for line in lines), block
            rows = [line for line in lines if line.startswith("|")]
            assert not rows or len({line.count("|") for line in rows}) == 1, block
            assert not rows or len(rows) == len(lines), block


def test_numbers_come_from_the_results():
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY | {"value": 0.123456}
    results["calibration"]["splits"]["test"]["after"]["ece"] = 0.077777
    card, evaluation = card_of(results), evaluation_of(results)
    for text in (card, evaluation):
        assert "| AUROC | 0.123 (0.250 to 0.750) |" in text
        assert re.search("operating point(\\*\\*, PNEUMONIA is called from a probability of| is) 0.4321", page(text))
    assert "| 0.078 |" in evaluation
    assert "AUROC is lower by 0.100; accuracy at argmax is higher by 0.050" in evaluation
    assert re.search(r"\| subtype: virus \(PNEUMONIA 30\) \| 30 \| 30 \| .* against all NORMAL \|", evaluation)
    counts = results["confusion"]["test"]["argmax"]
    assert (
        f"At argmax, {counts[0][1]} of 60 NORMAL images are called PNEUMONIA, and {counts[1][0]} of 60 PNEUMONIA images"
        in evaluation
    )
    assert "Population: adults of one hospital." in card
    assert "- population: adults of one hospital" in evaluation
    assert "**Warning.** The frame tells." in evaluation


def test_the_front_matter_holds_every_split_and_external_sets():
    data = ModelCard(card_of(make_results(init="imagenet", base_model="timm/some_net"))).data
    assert data.license == "apache-2.0"
    assert data.base_model == "timm/some_net"
    assert data.datasets == ["someone/xrays"]
    measured = {(entry.dataset_split, entry.metric_type) for entry in data.eval_results}
    assert {("validation", "roc_auc"), ("test", "accuracy"), ("external", "roc_auc")} <= measured
    assert ("test", "macro_f1") not in measured
    data = ModelCard(card_of(make_results(classes=3))).data
    assert ("test", "macro_f1") in {(entry.dataset_split, entry.metric_type) for entry in data.eval_results}


def test_the_golden_cards():
    """Rendered anew by `python -m tests.train.report.test_model_card`, when a card is meant to change."""
    results = make_results()
    assert card_of(results) == (GOLDEN / "golden_card.md").read_text(encoding="utf-8")
    assert evaluation_of(results) == (GOLDEN / "golden_evaluation.md").read_text(encoding="utf-8")


def test_both_files_are_rendered_again_from_results_json(tmp_path, monkeypatch, capsys):
    (tmp_path / "results.json").write_text(json.dumps(make_results()))
    monkeypatch.setattr("sys.argv", ["model_card", str(tmp_path)])
    main()
    assert (tmp_path / "README.md").read_text() == card_of(make_results())
    assert (tmp_path / "EVALUATION.md").read_text() == evaluation_of(make_results())
    assert "EVALUATION.md" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 3


def test_results_of_an_earlier_version_are_rendered():
    results = read_results(REPOSITORY / "tests" / "space" / "results" / "results_of_5c919f0.json")
    assert lines_of_summary(render_card(results)) <= MOST_LINES
    assert "the test images are 224 x 224" in render_evaluation(results)
    assert "[EVALUATION.md](EVALUATION.md)" in render_card(replace(results, guard=None))


def test_a_folder_without_results_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["model_card", str(tmp_path)])
    with pytest.raises(UsageError, match="has no results"):
        main()


if __name__ == "__main__":
    (GOLDEN / "golden_card.md").write_text(card_of(make_results()), encoding="utf-8")
    (GOLDEN / "golden_evaluation.md").write_text(evaluation_of(make_results()), encoding="utf-8")
