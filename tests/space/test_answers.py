"""What the page answers where a model or a picture is out of order."""

import sys

import gradio as gr
import numpy as np
import pytest
import torch

from space.answers import Answers
from space.batch import Item, rows
from space.gradcam import network_of
from space.model_ids import ModelId
from space.settings import Settings
from space.texts import ALL
from tests.phantoms import draw_phantom


@pytest.fixture
def phantom(tmp_path):
    draw_phantom(np.random.default_rng(0), True, 200, 180).save(tmp_path / "xray.png")
    return tmp_path / "xray.png"


def answers(run_folder, **changes) -> Answers:
    return Answers.load(ModelId(str(run_folder)), False, Settings(**changes))


def test_scores_that_are_no_numbers_are_a_sentence(run_folder, phantom, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    asked = answers(run_folder)
    with torch.no_grad():
        network_of(asked.classifier.model).get_classifier().weight.fill_(float("nan"))
    for code in ("en", "ru"):
        with pytest.raises(gr.Error) as caught:
            asked.look(str(phantom), ALL[code])
        assert str(caught.value.message) == ALL[code]("no_number")
        (row,) = rows(asked, [Item("xray.png", phantom)], ALL[code])
        assert row == ["xray.png", "", "", "", "", ALL[code]("no_number")]


def test_limits_are_the_settings(run_folder, phantom):
    with pytest.raises(gr.Error, match="at most 1,000 pixels"):
        answers(run_folder, max_pixels=1000).look(str(phantom), ALL["en"])


def test_the_verdict_counts_what_came_true_in_validation(run_folder, phantom):
    asked = answers(run_folder)
    seen = asked.look(str(phantom), ALL["en"])
    low, high, n, right = asked.facts.bin_of(seen.scores)
    said = asked.verdict(seen, False, ALL["en"])
    assert (f"{right} of {n} pictures" in said) if n else ("No validation picture" in said)
    assert low <= seen.scores["PNEUMONIA"] <= high
    assert "Decision at the operating point" in said


def test_a_session_remembers_no_more_than_the_page_shows(run_folder, tmp_path):
    draw_phantom(np.random.default_rng(0), True, 2100, 1400).save(tmp_path / "large.png")
    asked = answers(run_folder)
    seen = asked.look(str(tmp_path / "large.png"), ALL["en"])
    kept = asked.shown(seen)
    assert (seen.image.size, kept.image.size, kept.size) == ((2100, 1400), (1024, 683), (2100, 1400))
    image, is_empty = asked.overlay(kept, "PNEUMONIA", 0.5, "viridis")
    assert (image.size, is_empty) == ((1024, 683), not kept.maps[1].any())
