"""What the page answers for one image, and what it says of it."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from space.errors import ErrorCode, XrayError
from space.inference.classifier import Classifier
from space.inference.guard import Doubt
from space.web.model_facts import Counts
from space.web.service import EXAMPLES, ModelService
from space.web.texts import ALL
from tests.conftest import DEFAULT_MODEL
from tests.phantoms import draw_phantom

ENGLISH = ALL["en"]


@pytest.fixture
def service(make_service):
    return make_service()


def test_an_image_gets_scores_and_a_map_of_every_class(service, phantom):
    examined = service.examine(phantom)
    assert (examined.model, examined.size, examined.doubt) == ("default-model", (200, 180), None)
    assert list(examined.scores) == ["NORMAL", "PNEUMONIA"]
    assert sum(examined.scores.values()) == pytest.approx(1)
    assert examined.maps.shape[0] == 2


def test_no_file_and_a_file_without_an_answer_are_errors(service, make_service, phantom):
    with pytest.raises(XrayError) as caught:
        service.examine(None)
    assert caught.value.code == ErrorCode.NO_FILE
    with pytest.raises(XrayError, match="at most 1,000 pixels"):
        make_service(max_pixels=1000).examine(phantom)


def test_the_verdict_counts_what_came_true_in_validation_and_test(service, phantom):
    examined = service.examine(phantom)
    verdict = service.verdict(examined, False, ENGLISH)
    for counts in (service.facts.validation, service.facts.test):
        low, high, n, right = counts.bin_of(examined.scores["PNEUMONIA"])
        assert low <= examined.scores["PNEUMONIA"] <= high
        assert f"{right} of {n} images" in verdict
    assert "this threshold flagged {} of {} NORMAL images as".format(*service.facts.called) in verdict
    assert "a score, not a patient's risk" in verdict
    assert "share is uncertain" not in verdict


def test_a_share_of_few_images_is_called_uncertain(service, phantom):
    few = Counts({"PNEUMONIA": 0.7}, [[29, 20]])
    unsure = ModelService(service.classifier, replace(service.facts, validation=few, test=few), service.settings)
    assert unsure.verdict(unsure.examine(phantom), False, ENGLISH).count("share is uncertain") == 2


def test_where_the_label_and_the_decision_differ_that_comes_first(service, phantom):
    examined = service.examine(phantom)
    agree = {"NORMAL": 0.0, "PNEUMONIA": 1.0}
    between = (0.5 + service.classifier.operating_point.threshold) / 2
    differ = {"NORMAL": 1 - between, "PNEUMONIA": between}
    assert "decision differ" not in service.verdict(replace(examined, scores=agree), False, ENGLISH)
    verdict = service.verdict(replace(examined, scores=differ), False, ENGLISH)
    assert verdict.startswith("**The most probable label and")


@pytest.mark.parametrize(
    ("rule", "said"),
    [("youden", "Youden's index"), ("youden-worst", "any source of images"), ("specificity>=0.9", "specificity>=0.9")],
)
def test_the_rule_of_the_threshold_is_named(service, phantom, monkeypatch, rule, said):
    point = replace(service.classifier.operating_point, rule=rule)
    monkeypatch.setattr(service.classifier, "operating_point", point)
    verdict = service.verdict(service.examine(str(phantom)), False, ENGLISH)
    assert re.search(rf"chosen on validation \([^)]*{said}", verdict)


def test_a_doubted_image_is_answered_only_if_that_is_asked_for(service, phantom):
    examined = replace(service.examine(phantom), doubt=Doubt.BLANK)
    assert examined.is_withheld
    assert service.verdict(examined, False, ENGLISH).startswith("**Not classified.** The image is blank")
    verdict = service.verdict(examined, True, ENGLISH)
    assert verdict.startswith("**This answer means nothing.** The image is blank")
    assert "Highest probability" in verdict


def test_a_phantom_of_the_page_is_known_wherever_it_comes_from(service, tmp_path):
    shutil.copy(EXAMPLES / "phantom_1.png", tmp_path / "patient.png")
    for path in (EXAMPLES / "phantom_1.png", tmp_path / "patient.png"):
        examined = service.examine(path)
        assert (examined.doubt, examined.is_withheld) == (Doubt.PHANTOM, False)
        verdict = service.verdict(examined, False, ENGLISH)
        assert verdict.startswith("**This answer means nothing.** This is a synthetic phantom")
        assert "Highest probability" in verdict
        assert "On validation" not in verdict


def test_a_model_without_a_guard_says_so(service, phantom, tmp_path):
    shutil.copytree(DEFAULT_MODEL, tmp_path / "bare", ignore=shutil.ignore_patterns("guard.safetensors"))
    bare = ModelService(Classifier.load(tmp_path / "bare"), service.facts, service.settings)
    assert "cannot check whether" in bare.verdict(bare.examine(phantom), False, ENGLISH)


def test_a_session_remembers_no_more_than_the_page_shows(service, tmp_path):
    draw_phantom(np.random.default_rng(0), True, 2100, 1400).save(tmp_path / "large.png")
    examined = service.examine(tmp_path / "large.png")
    kept = service.shrunk(examined)
    assert (examined.image.size, kept.image.size, kept.size) == ((2100, 1400), (1024, 683), (2100, 1400))
    image, is_empty = service.overlay(kept, "PNEUMONIA", 0.5, "viridis")
    assert (image.size, is_empty) == ((1024, 683), not kept.maps[1].any())


def test_russian_percentages_have_a_comma_and_a_space(service, phantom):
    verdict = service.verdict(service.examine(phantom), False, ALL["ru"])
    assert len(re.findall(r"\d+,\d\u00a0%", verdict)) >= 3
    assert not re.search(r"\d%|\d\.\d", verdict)
