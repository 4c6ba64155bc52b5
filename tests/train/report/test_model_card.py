"""The model card: every number from results.json, no blank in the checklist, one golden card."""

import re
from dataclasses import asdict

import numpy as np
import pytest
from huggingface_hub import ModelCard

from space.inference.operating_point import OperatingPoint
from tests.conftest import REPOSITORY, TINY_RECIPE
from train.config.recipe import load_recipe
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec, SplitPredictions, evaluate
from train.evaluation.metrics import BootstrapClusters
from train.report.model_card import render_card

GOLDEN = REPOSITORY / "tests" / "train" / "report" / "golden_card.md"
ENTRY = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 40, "unit": "patient"}


def answers(seed: int, classes: int) -> SplitPredictions:
    random = np.random.default_rng(seed)
    truth = np.arange(120) % classes
    logits = random.normal(0, 1, (120, classes)) + 1.5 * np.eye(classes)[truth]
    columns = {"subtype": [None if k == 0 else ("virus", "bacteria")[i % 4 > 1] for i, k in enumerate(truth)]}
    return SplitPredictions(truth, logits, BootstrapClusters.of([f"p{i // 2}" for i in range(120)]), columns)


def make_results(classes: int = 2, test: bool = True, examined: bool = True, external: bool = True, **changes) -> dict:
    """What a run would record, from seeded scores."""
    labels = ["NORMAL", "PNEUMONIA", "COVID-19"][:classes]
    point = OperatingPoint("youden", "PNEUMONIA", 0.4321) if classes == 2 else None
    task = DecisionSpec(labels, 1 if classes == 2 else None, point, Calibration(1.25, np.zeros(classes)))
    splits = {"validation": answers(0, classes)} | ({"test": answers(1, classes)} if test else {})
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
    found = evaluate(task, splits)
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
    elsewhere = evaluate(task, {"external": answers(2, classes)})
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
        "evaluated": "2026-01-01T00:00:00+00:00", "resamples": 2000, **found,
        "operating_point": asdict(point) if point else None,
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


@pytest.mark.parametrize("name", VARIANTS)
def test_no_answer_of_the_checklist_is_blank_and_no_line_is_left_open(name):
    card = render_card(make_results(**VARIANTS[name]))
    rows = re.findall(r"^\| (\d+|TRIPOD\+AI) \| (.*) \| (.*) \|$", card, re.MULTILINE)
    assert [int(number) for number, _, _ in rows if number.isdigit()] == list(range(1, 45))
    assert sum(number == "TRIPOD+AI" for number, _, _ in rows) == 4
    for number, item, answer in rows:
        assert item.strip(), number
        assert answer.strip(" ,;.:"), number
    assert not re.search(r"None\b(?!,)|nan|\{\{|\}\}|\{%", re.sub(r"None(:|,) ", "", card.split("\n---\n", 1)[1])), name
    assert "\n\n\n\n" not in card


@pytest.mark.parametrize("name", VARIANTS)
def test_tables_are_whole(name):
    lines = render_card(make_results(**VARIANTS[name])).split("\n---\n", 1)[1].splitlines()
    columns = 0
    for line in lines:
        if line.startswith("|"):
            columns = columns or line.count("|")
            assert line.count("|") == columns, line
        else:
            columns = 0


def test_numbers_come_from_the_results():
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY | {"value": 0.123456}
    results["calibration"]["splits"]["test"]["after"]["ece"] = 0.077777
    card = render_card(results)
    assert "| AUROC | 0.123 (0.250 to 0.750) |" in card
    assert "| 0.078 |" in card
    assert "PNEUMONIA is called from a\nprobability of 0.4321" in card
    assert "AUROC lower by 0.100; accuracy at argmax higher by 0.050" in card
    assert re.search(r"\| subtype: virus \(PNEUMONIA 30\) \| 30 \| 30 \| .* against all NORMAL \|", card)
    counts = results["confusion"]["test"]["argmax"]
    assert f"At argmax {counts[0][1]} of 60 NORMAL are called PNEUMONIA, and {counts[1][0]} of 60 PNEUMONIA" in card
    assert "Trained on adults of one hospital." in card
    assert "**Warning.** The frame tells." in card


def test_a_model_that_works_without_lungs_is_warned_about_and_only_then():
    assert "without seeing" not in render_card(make_results())
    good = ENTRY | {"value": 0.8, "low": 0.7, "high": 0.9}
    control = {"images": 40, "changed": {"auroc": good}, "unchanged": {"auroc": good}}
    card = render_card(make_results(shortcuts={"lungs_removed": control, "frame_only": control}))
    assert "**Warning.** The class can be told without seeing what the model should judge by" in card
    assert "is no proof that there are no shortcuts" in card


def test_maps_that_do_not_depend_on_the_weights_are_warned_about():
    stuck = [{"stage": "head", "correlation": ENTRY | {"value": 0.9, "low": 0.85, "high": 0.95}}]
    assert "do not read anything" in render_card(make_results(saliency={"lung_energy": None, "randomisation": stuck}))
    free = [{"stage": "head", "correlation": ENTRY | {"value": 0.1, "low": 0.0, "high": 0.2}}]
    assert "do not read anything" not in render_card(
        make_results(saliency={"lung_energy": None, "randomisation": free})
    )


@pytest.mark.parametrize(
    ("inside", "gain", "sentences"),
    [
        ((0.2, 0.3), (-0.2, -0.1), ["less than an even map", "own lungs less than other patients"]),
        ((0.7, 0.8), (0.1, 0.2), ["more than an even map", "own lungs more than a map that always"]),
        ((0.45, 0.55), (-0.1, 0.1), ["about as much as an even map", "not shown to follow the patient's own lungs"]),
    ],
)
def test_what_grad_cam_does_in_the_lungs_is_said_as_it_is(inside, gain, sentences):
    def entry(low, high):
        return ENTRY | {"value": (low + high) / 2, "low": low, "high": high}

    results = make_results()
    area = entry(0.4, 0.6)
    results["saliency"]["lung_energy"] |= {"inside": entry(*inside), "area": area, "gain": entry(*gain)}
    card = " ".join(render_card(results).split())
    for sentence in sentences:
        assert sentence in card


def test_a_model_that_is_no_better_than_chance_is_called_so():
    assert "any better than chance" not in render_card(make_results())
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY
    assert "On the test split this model is not shown to be any better than chance" in render_card(results)


def test_a_calibration_that_did_harm_is_called_so():
    results = make_results()
    results["calibration"]["splits"]["test"] |= {"before": {"nll": 0.2, "brier": 0.1, "ece": 0.03}}
    assert "did not make the probabilities better calibrated" in render_card(results)
    for found in results["calibration"]["splits"].values():
        found["before"] = {"nll": 0.9, "brier": 0.9, "ece": 0.9}
    assert "did not make the probabilities better calibrated" not in render_card(results)


def test_what_does_not_carry_over_to_test_is_said_with_its_direction():
    found = {"rule": "operating_point", "validation": 0.9, "test": 0.6, "worse": True}
    shift = [found | {"metric": "specificity"}, found | {"metric": "ece", "worse": False}]
    card = render_card(make_results(shift=shift))
    assert (
        "specificity (0.900 on validation, 0.600 on test: **worse**); ECE (0.900 on validation, 0.600 on test: better)."
        in card
    )
    assert "What does not carry over" not in render_card(make_results(shift=[]))


def test_the_front_matter_holds_every_split_and_external_sets():
    data = ModelCard(render_card(make_results(init="imagenet", base_model="timm/some_net"))).data
    assert data.license == "apache-2.0"
    assert data.base_model == "timm/some_net"
    assert data.datasets == ["someone/xrays"]
    found = {(one.dataset_split, one.metric_type) for one in data.eval_results}
    assert {("validation", "roc_auc"), ("test", "accuracy"), ("external", "roc_auc")} <= found


def test_the_golden_card():
    """Rendered anew by `python -m tests.train.report.test_model_card`, when the card is meant to change."""
    assert render_card(make_results()) == GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.write_text(render_card(make_results()), encoding="utf-8")
