"""What the API's endpoints answer."""

import json

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from space.web.endpoints import Endpoints, as_tool
from space.web.settings import Settings


@pytest.fixture(scope="module")
def endpoints(models):
    return Endpoints(models, Settings())


def test_the_first_model_answers_unless_another_is_named(endpoints, phantom):
    details = endpoints.classify(str(phantom), False)
    assert list(details["probabilities"]) == ["NORMAL", "PNEUMONIA"]
    assert sum(details["probabilities"].values()) == pytest.approx(1)
    assert details["threshold"] > 0
    assert endpoints.classify(str(phantom), False, "default-model") == details
    assert list(endpoints.classify(str(phantom), False, "three")["probabilities"]) == ["NORMAL", "PNEUMONIA", "COVID"]


def test_a_doubted_image_is_refused_unless_the_answer_is_asked_for(endpoints, tmp_path):
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    file = str(tmp_path / "blank.png")
    for call in (
        lambda: endpoints.classify(file, False),
        lambda: endpoints.explain(file, "NORMAL", 1, "inferno", False),
    ):
        with pytest.raises(gr.Error, match="is blank"):
            call()
    for details in (endpoints.classify(file, True), endpoints.explain(file, "NORMAL", 1, "inferno", True)[1]):
        assert sum(details["probabilities"].values()) == pytest.approx(1)
        assert (details["guard"]["code"], "means nothing" in details["guard"]["sentence"]) == ("blank", True)


def test_a_map_has_the_size_of_the_image_and_a_class_of_the_model(endpoints, phantom):
    pixels = np.asarray(Image.open(phantom))
    image, details = endpoints.explain(str(phantom), "NORMAL", 0, "inferno", False)
    assert np.array_equal(np.asarray(image)[..., 0], pixels)
    assert details == endpoints.classify(str(phantom), False)
    with pytest.raises(gr.Error, match=r"no class 'COVID'\. Its classes are NORMAL, PNEUMONIA"):
        endpoints.explain(str(phantom), "COVID", 1, "inferno", False)
    with pytest.raises(gr.Error, match=r"no colour map None\. Choose one of "):
        endpoints.explain(str(phantom), "NORMAL", 1, None, False)  # as a request with null has it


def test_a_batch_is_a_row_for_each_image_and_a_file_of_them(endpoints, phantom, tmp_path):
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    (answered, doubted), path = endpoints.batch([str(phantom), str(tmp_path / "blank.png")])
    assert answered == {"file": "xray.png", "answer": endpoints.classify(str(phantom), False), "error": None}
    assert (doubted["file"], doubted["answer"], doubted["error"]["code"]) == ("blank.png", None, "blank")
    with open(path, encoding="utf-8-sig") as file:
        assert len(file.readlines()) == 3


def test_a_file_without_an_answer_is_an_english_sentence(endpoints, tmp_path):
    with pytest.raises(gr.Error, match=r"There is no file 'gone\.png'"):
        endpoints.classify(str(tmp_path / "gone.png"), True)


def test_a_language_model_gets_json_text_and_reads_the_same_arguments(endpoints, phantom):
    tool = as_tool(endpoints.explain)
    assert (tool.__name__, tool.__doc__) == ("explain", endpoints.explain.__doc__)
    assert tool(str(phantom), "NORMAL", 1, "inferno", False).size == (200, 180)
    assert json.loads(as_tool(endpoints.classify)(str(phantom), False)) == endpoints.classify(str(phantom), False)


def test_a_warning_stands_below_a_language_models_overlay(endpoints, tmp_path):
    Image.new("L", (200, 150), 90).save(tmp_path / "blank.png")
    arguments = str(tmp_path / "blank.png"), "NORMAL", 1, "inferno", True
    with_warning, without = np.asarray(as_tool(endpoints.explain)(*arguments)), endpoints.explain(*arguments)[0]
    assert np.array_equal(with_warning[:150], np.asarray(without))
    strip = with_warning[150:]
    assert (strip.max(), strip[:, -1].max(), strip[-1].max()) == (255, 0, 0)  # all of the text lies inside
