"""README.md and EVALUATION.md of a run: every number from results.json, no gaps, a short first page."""

import json
import re
from copy import deepcopy
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest
from huggingface_hub import ModelCard

from space.errors import UsageError
from space.inference.operating_point import OperatingPoint
from space.results import Results, read_results
from tests.conftest import REPOSITORY, TINY_RECIPE
from train.config.recipe import load_recipe
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec, evaluate
from train.evaluation.inference import SplitPredictions
from train.report.model_card import main, render_card, render_evaluation

GOLDEN = REPOSITORY / "tests" / "train" / "report"
MOST_LINES, WIDTH = 25, 120  # of what a reader needs first; a longer line counts as several
ENTRY = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 40, "unit": "patient"}


def answers(seed: int, classes: int) -> SplitPredictions:
    random = np.random.default_rng(seed)
    truth = np.arange(120) % classes
    logits = random.normal(0, 1, (120, classes)) + 1.5 * np.eye(classes)[truth]
    columns = {"subtype": [None if k == 0 else ("virus", "bacteria")[i % 4 > 1] for i, k in enumerate(truth)]}
    return SplitPredictions(truth, logits, BootstrapClusters.of([f"p{i // 2}" for i in range(120)]), columns)


@cache
def evaluations(classes: int, test: bool) -> tuple[DecisionSpec, dict, dict]:
    """What was decided, and what `evaluate` says of seeded scores: of the dataset's own splits, and of another's."""
    labels = ["NORMAL", "PNEUMONIA", "COVID-19"][:classes]
    point = OperatingPoint("youden", "PNEUMONIA", 0.4321) if classes == 2 else None
    task = DecisionSpec(labels, 1 if classes == 2 else None, point, Calibration(1.25, np.zeros(classes)))
    splits = {"validation": answers(0, classes)} | ({"test": answers(1, classes)} if test else {})
    return task, asdict(evaluate(task, splits)), asdict(evaluate(task, {"external": answers(2, classes)}))


def make_results(classes: int = 2, test: bool = True, examined: bool = True, external: bool = True, **changes) -> dict:
    """What a run would record, from seeded scores."""
    task, own, elsewhere = deepcopy(evaluations(classes, test))
    labels = task.labels
    row = {"epoch": 2, "step": 20, "train_loss": 0.4, "learning_rate": 0.001, "validation_loss": 0.5}
    row |= {
        "validation_accuracy": 0.8,
        "validation_auroc": 0.9,
        "corrupted_auroc": 0.8,
        "robust_auroc": 0.85,
        "seconds": 60.0,
    }
    dataset = {
        "name": "someone/xrays", "fingerprint": "0" * 64, "title": "Some X-rays", "license": "cc-by-4.0",
        "citation": "Somebody, 2020.", "test_image_size": "224 x 224 (120 of 120)",
        "audit": {
            "exact_duplicates": 3, "near_duplicates": 1, "label_conflicts": 0, "dropped": 2,
            "patients_across_splits": {"train/test": 0}, "known_patients": 300, "unknown_patients": 5, "shared_keys": 7,
            "warnings": ["The frame tells."], "link": "https://www.kaggle.com/datasets/someone/xrays",
            "about": {"population": "adults of one hospital", "reference": "two physicians"},
        },
        "counts": {name: dict.fromkeys(labels, 120 // classes) for name in ("train", "validation", "test")},
    }  # fmt: skip
    recipe = asdict(load_recipe(TINY_RECIPE)) | {"name": "golden"}
    if classes > 2:
        recipe["evaluation"] |= {"positive_label": "", "operating_point": "argmax"}
    control = {
        "images": 40,
        "changed": {"auroc": ENTRY, "accuracy": ENTRY},
        "unchanged": {"auroc": ENTRY, "accuracy": ENTRY},
    }
    energy = dict.fromkeys(("inside", "area", "shuffled", "gain"), ENTRY) | {
        "images": 40,
        "empty": 0,
        "labels": dict.fromkeys(labels, 20),
    }
    stages = [{"stage": name, "correlation": ENTRY} for name in ("head", "blocks.1", "stem")]
    other = {
        "dataset": dataset | {"name": "others", "title": "Other X-rays"}, "labels": {label: label for label in labels},
        "images": 120, "rules": elsewhere["splits"]["external"], "classes": elsewhere["classes"]["external"],
        "confusion": elsewhere["confusion"]["external"],
        "calibration": elsewhere["calibration"]["splits"]["external"],
        "drop": {"argmax": {"auroc": 0.1, "accuracy": -0.05}},
    }  # fmt: skip
    return {
        "recipe": recipe, "recipe_sha256": "0" * 64, "labels": labels, "remote_code": False, "seed": 0,
        "init": "scratch", "command": "accelerate launch", "base_model": None, "max_steps": None, "processes": 1,
        "precision": "fp32",
        "dataset": dataset, "images": {"train": 400, "validation": 120} | ({"test": 120} if test else {}),
        "train_seconds": 120.0, "selection": {"metric": "robust_auroc", "stopped": ""} | row,
        "history": [row | {"epoch": 1, "step": 10}, row], "environment": {"device": "CPU", "torch": "2"},
        "evaluated": "2026-01-01T00:00:00+00:00", "resamples": 2000, **own,
        "operating_point": asdict(task.point) if task.point else None,
        "external": {"others": other} if external else {},
        "saliency": {"lung_energy": energy, "randomisation": stages} if test and examined else None,
        "shortcuts": dict.fromkeys(["lungs_removed", "frame_only"], control) if test and examined else None,
        "guard": {"threshold": 5.0, "accepted": {"validation": 0.995} | ({"test": 0.975} if test else {})},
        "figures": ["roc"], "samples": False,
    } | changes  # fmt: skip


VARIANTS = {
    "binary": {},
    "three classes": {"classes": 3},
    "no test split": {"test": False, "external": False},
    "no audit, no external test": {"external": False, "dataset": make_results()["dataset"] | {"audit": None}},
    "own network, not calibrated, samples": {"remote_code": True, "samples": True},
    "nothing examined": {"examined": False},
}


def card_of(results: dict) -> str:
    """README.md of a run that recorded this."""
    return render_card(Results(**results))


def evaluation_of(results: dict) -> str:
    """EVALUATION.md of a run that recorded this."""
    return render_evaluation(Results(**results))


def body_of(card: str) -> str:
    """A card without its front matter."""
    return card.split("\n---\n", 1)[1]


def lines_of_summary(card: str) -> int:
    """How many lines of text stand before the second heading; a table's row is one."""
    summary = re.split(r"^(?:## |<details)", body_of(card), maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in summary.splitlines() if line.strip()]
    return sum(1 if line.startswith("|") else -(-len(line) // WIDTH) for line in lines)


def page(card: str) -> str:
    """A text as one line."""
    return " ".join(card.split())


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


def test_the_first_limit_says_where_the_model_fails_elsewhere():
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY | {"value": 0.95, "low": 0.9}
    elsewhere = results["external"]["others"]
    elsewhere["rules"]["argmax"]["auroc"] = ENTRY | {"value": 0.7, "low": 0.6, "high": 0.8}
    counts = elsewhere["confusion"]["operating_point"]
    assert (
        "elsewhere it does worse: AUROC 0.700 on `others`, 0.950 on test. "
        f"{counts[0][1]} of 60 NORMAL images there are called PNEUMONIA at the operating point."
        in page(card_of(results))
    )
    results["external"]["more"] = json.loads(json.dumps(elsewhere))
    results["external"]["more"]["rules"]["argmax"]["auroc"] |= {"value": 0.55, "low": 0.4}
    assert "not shown to be better than chance: AUROC 0.550 (0.400 to 0.800) on `more`" in card_of(results)
    elsewhere["rules"]["argmax"]["auroc"] |= {"value": 0.93, "low": 0.9, "high": 0.96}
    del results["external"]["more"]
    assert "AUROC is 0.930 on `others` and 0.950 on test; the intervals overlap." in card_of(results)


def test_a_model_that_works_without_lungs_is_warned_about_and_only_then():
    assert "without seeing" not in evaluation_of(make_results())
    assert "The shortcut checks found none" in card_of(make_results())
    good = ENTRY | {"value": 0.8, "low": 0.7, "high": 0.9}
    control = {"images": 40, "changed": {"auroc": good}, "unchanged": {"auroc": good}}
    results = make_results(shortcuts={"lungs_removed": control, "frame_only": control})
    evaluation = evaluation_of(results)
    assert "**Warning.** The model can tell the classes without seeing the lungs: with the lungs removed" in evaluation
    assert "A drop is no proof that there are no shortcuts" in evaluation
    assert "need not see the lungs to do well: test AUROC is 0.800 with the lungs removed" in card_of(results)


def test_maps_that_do_not_depend_on_the_weights_are_warned_about():
    stuck = [{"stage": "head", "correlation": ENTRY | {"value": 0.9, "low": 0.85, "high": 0.95}}]
    saliency = {"lung_energy": None, "randomisation": stuck}
    assert "do not read anything" in evaluation_of(make_results(saliency=saliency))
    free = [{"stage": "head", "correlation": ENTRY | {"value": 0.1, "low": 0.0, "high": 0.2}}]
    saliency = {"lung_energy": None, "randomisation": free}
    assert "do not read anything" not in evaluation_of(make_results(saliency=saliency))


@pytest.mark.parametrize(
    ("inside", "gain", "sentences"),
    [
        ((0.2, 0.3), (-0.2, -0.1), ["An even map would have more", "own lungs less than other patients"]),
        (
            (0.7, 0.8),
            (0.1, 0.2),
            ["An even map would have less", "follow the patient's own lungs more than a map that always"],
        ),
        ((0.45, 0.55), (-0.1, 0.1), ["about as much in the lungs", "not shown to follow the patient's own lungs"]),
    ],
)
def test_what_grad_cam_does_in_the_lungs_is_said_as_it_is(inside, gain, sentences):
    def entry(low, high):
        return ENTRY | {"value": (low + high) / 2, "low": low, "high": high}

    results = make_results()
    area = entry(0.4, 0.6)
    results["saliency"]["lung_energy"] |= {"inside": entry(*inside), "area": area, "gain": entry(*gain)}
    evaluation = page(evaluation_of(results))
    for sentence in sentences:
        assert sentence in evaluation


def test_a_model_that_is_no_better_than_chance_is_called_so():
    assert "better than chance" not in card_of(make_results()) + evaluation_of(make_results())
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY
    assert "Not shown to be better than chance on the test split" in card_of(results)
    assert "On the test split this model is not shown to be any better than chance" in evaluation_of(results)


def test_a_calibration_that_did_harm_is_called_so():
    results = make_results()
    results["calibration"]["splits"]["test"] |= {"before": {"nll": 0.2, "brier": 0.1, "ece": 0.03}}
    assert "The ECE got worse, not better" in evaluation_of(results)
    for measured in results["calibration"]["splits"].values():
        measured["before"] = {"nll": 0.9, "brier": 0.9, "ece": 0.9}
    assert "The ECE got worse" not in evaluation_of(results)


def test_what_does_not_carry_over_to_test_is_said_with_its_direction():
    change = {"rule": "operating_point", "validation": 0.9, "test": 0.6, "worse": True}
    shift = [change | {"metric": "ece", "worse": False}, change | {"metric": "specificity"}]
    evaluation = evaluation_of(make_results(shift=shift))
    assert "- specificity: 0.900 on validation, 0.600 on test (**worse**)\n" in evaluation
    assert "- ECE: 0.900 on validation, 0.600 on test (better)\n" in evaluation
    assert "Validation flatters it: specificity at the operating point is 0.900 there and 0.600 on test." in card_of(
        make_results(shift=shift)
    )
    assert "carry over" not in evaluation_of(make_results(shift=[]))
    assert "Validation flatters it" not in card_of(make_results(shift=shift[:1]))


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
    results = read_results(REPOSITORY / "tests" / "space" / "results_of_5c919f0.json")
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
