"""What the API's endpoints answer."""

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from space.web.endpoints import Endpoints
from space.web.service import EXAMPLES
from space.web.settings import Settings


@pytest.fixture(scope="module")
def endpoints(models):
    return Endpoints(models, Settings())


def test_the_first_model_answers_unless_another_is_named(endpoints, phantom):
    scores = endpoints.classify(str(phantom), False)
    assert list(scores) == ["NORMAL", "PNEUMONIA"]
    assert sum(scores.values()) == pytest.approx(1)
    assert endpoints.classify(str(phantom), False, "default-model") == scores
    assert list(endpoints.classify(str(phantom), False, "three")) == ["NORMAL", "PNEUMONIA", "COVID"]


def test_a_doubted_image_is_refused_unless_the_answer_is_asked_for(endpoints, tmp_path):
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    file = str(tmp_path / "blank.png")
    for call in (
        lambda: endpoints.classify(file, False),
        lambda: endpoints.explain(file, "NORMAL", 1, "inferno", False),
    ):
        with pytest.raises(gr.Error, match="is blank"):
            call()
    assert sum(endpoints.classify(file, True).values()) == pytest.approx(1)


def test_a_map_has_the_size_of_the_image_and_a_class_of_the_model(endpoints, phantom):
    pixels = np.asarray(Image.open(phantom))
    assert np.array_equal(np.asarray(endpoints.explain(str(phantom), "NORMAL", 0, "inferno", False))[..., 0], pixels)
    with pytest.raises(gr.Error, match=r"no class 'COVID'\. Its classes are NORMAL, PNEUMONIA"):
        endpoints.explain(str(phantom), "COVID", 1, "inferno", False)
    with pytest.raises(gr.Error, match=r"no colour map None\. Choose one of "):
        endpoints.explain(str(phantom), "NORMAL", 1, None, False)  # as a request with null has it


def test_a_batch_is_a_table_and_a_file_of_it(endpoints, phantom):
    table, path = endpoints.batch([str(phantom), str(EXAMPLES / "phantom_2.png")])
    assert table["headers"][-1] == "problem"
    assert [(row[0], row[-1][:26]) for row in table["data"]] == [
        ("xray.png", ""),
        ("phantom_2.png", "This is a synthetic phanto"),
    ]
    with open(path, encoding="utf-8-sig") as file:
        assert len(file.readlines()) == 3


def test_a_file_without_an_answer_is_an_english_sentence(endpoints, tmp_path):
    with pytest.raises(gr.Error, match=r"There is no file 'gone\.png'"):
        endpoints.classify(str(tmp_path / "gone.png"), True)
