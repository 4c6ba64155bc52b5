"""What the page answers where a model or an image is out of order."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from space.errors import XrayError
from space.inference.gradcam import network_of
from space.web.batch import Item, rows
from space.web.model_choice import ModelId
from space.web.service import EXAMPLES, ModelService
from space.web.settings import Settings
from space.web.texts import ALL
from tests.phantoms import draw_phantom


@pytest.fixture
def phantom(tmp_path):
    draw_phantom(np.random.default_rng(0), True, 200, 180).save(tmp_path / "xray.png")
    return tmp_path / "xray.png"


def answers(run_folder, **changes) -> ModelService:
    return ModelService.load(ModelId(str(run_folder)), False, Settings(**changes))


def test_scores_that_are_no_numbers_are_a_sentence(run_folder, phantom, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    asked = answers(run_folder)
    with torch.no_grad():
        network_of(asked.classifier.model).get_classifier().weight.fill_(float("nan"))
    with pytest.raises(XrayError) as caught:
        asked.look(str(phantom))
    assert caught.value.code == "no_number"
    for code in ("en", "ru"):
        (row,) = rows(asked, [Item("xray.png", phantom)], ALL[code])
        assert row == [
            "xray.png",
            "",
            "",
            "",
            "",
            ALL[code].error(XrayError("no_number", "The model's answer is no number.")),
        ]


def test_limits_are_the_settings(run_folder, phantom):
    with pytest.raises(XrayError, match="at most 1,000 pixels"):
        answers(run_folder, max_pixels=1000).look(str(phantom))


def test_the_verdict_counts_what_came_true_in_validation_and_test(run_folder, phantom):
    asked = answers(run_folder)
    seen = replace(asked.look(str(phantom)), doubt=None)
    said = asked.verdict(seen, False, ALL["en"])
    for counts in (asked.facts.validation, asked.facts.test):
        low, high, n, right = counts.bin_of(seen.scores["PNEUMONIA"])
        assert low <= seen.scores["PNEUMONIA"] <= high
        assert f"{right} of {n} images" in said
    assert said.count("So few say little") == 2  # the short run knows 10 and 48 images
    wrong, n = asked.facts.called
    assert f"decided for PNEUMONIA in {wrong} of {n} images of NORMAL" in said
    assert "a score, not a patient's risk" in said


def test_where_the_label_and_the_decision_differ_that_comes_first(run_folder, phantom):
    asked = answers(run_folder)
    share = asked.classifier.operating_point.threshold
    seen = replace(asked.look(str(phantom)), doubt=None)
    agree = {"NORMAL": 0.0, "PNEUMONIA": 1.0}
    between = (0.5 + share) / 2
    differ = {"NORMAL": 1 - between, "PNEUMONIA": between}
    assert "decision differ" not in asked.verdict(replace(seen, scores=agree), False, ALL["en"])
    assert asked.verdict(replace(seen, scores=differ), False, ALL["en"]).startswith("**The most probable label and")


def test_a_phantom_of_the_page_is_answered_and_said_to_mean_nothing(run_folder):
    asked = answers(run_folder)
    seen = asked.look(str(EXAMPLES / "phantom_1.png"))
    said = asked.verdict(seen, False, ALL["en"])
    assert said.startswith("**This answer means nothing.** This is a synthetic phantom")
    assert "Highest probability" in said
    assert "In validation" not in said


def test_a_model_without_a_guard_says_so(run_folder, phantom, tmp_path):
    shutil.copytree(run_folder, tmp_path / "bare")
    (tmp_path / "bare" / "guard.safetensors").unlink()
    asked = answers(tmp_path / "bare")
    assert "cannot tell whether" in asked.verdict(asked.look(str(phantom)), False, ALL["en"])


def test_a_session_remembers_no_more_than_the_page_shows(run_folder, tmp_path):
    draw_phantom(np.random.default_rng(0), True, 2100, 1400).save(tmp_path / "large.png")
    asked = answers(run_folder)
    seen = asked.look(str(tmp_path / "large.png"))
    kept = asked.shown(seen)
    assert (seen.image.size, kept.image.size, kept.size) == ((2100, 1400), (1024, 683), (2100, 1400))
    image, is_empty = asked.overlay(kept, "PNEUMONIA", 0.5, "viridis")
    assert (image.size, is_empty) == ((1024, 683), not kept.maps[1].any())
