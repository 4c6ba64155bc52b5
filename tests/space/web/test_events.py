"""What the page's events do."""

import gradio as gr
import pytest
from PIL import Image

from space.web.events import Handlers
from space.web.service import EXAMPLES
from space.web.settings import Settings
from tests.conftest import THREE_LABELS
from tests.space.conftest import web

PHANTOM = str(EXAMPLES / "phantom_1.png")


@pytest.fixture(scope="module")
def handlers(models):
    return Handlers(models, Settings())


def test_models_are_compared_side_by_side_if_that_is_wanted(handlers):
    assert handlers.compare_models(False, PHANTOM, True, "en")["visible"] is False
    assert handlers.compare_models(True, None, True, "en")["visible"] is False
    assert handlers.compare_models(True, PHANTOM, True, "en")["value"]["headers"] == ["Model", "default-model", "three"]


def test_a_session_belongs_to_the_model_that_examined(handlers):
    examined, image, target = handlers.examine(PHANTOM, "three")
    assert (examined.model, list(examined.scores), image.size) == ("three", THREE_LABELS, (480, 440))
    assert (target["choices"], target["value"]) == (THREE_LABELS, max(examined.scores, key=examined.scores.get))
    assert handlers.show_map(examined, True, "COVID", 0.5, "viridis", "en")[0] is not None
    other, _, target, *table = handlers.change_model(PHANTOM, "default-model")
    assert (target["value"], table) == ("PNEUMONIA", [None, None])
    # The page's choice of class may still be that of the other model for a moment.
    assert handlers.show_map(other, True, "COVID", 0.5, "viridis", "en")[0] is None
    assert handlers.change_model(None, "three")[:2] == handlers.change_file(None, "three")[:2] == (None, None)


def test_what_is_wrong_is_said_where_the_answer_would_stand(handlers, tmp_path):
    (tmp_path / "letter.png").write_text("Dear doctor")
    error, image, *_ = handlers.change_file(str(tmp_path / "letter.png"), "three")
    assert image is None
    assert "not an image" in handlers.show_scores(error, False, "en")[1]
    assert "не снимок" in handlers.show_scores(error, False, "ru")[1]
    assert handlers.show_map(error, False, "NORMAL", 0.5, "viridis", "en")[0] is None
    assert "Choose a chest X-ray" in handlers.show_scores(handlers.examine(None, "three")[0], False, "en")[1]
    assert handlers.show_scores(None, False, "en") == (None, "")


def test_a_doubted_image_shows_neither_scores_nor_a_map_unless_they_are_asked_for(handlers, tmp_path):
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    examined, image, *_, anyway = handlers.change_file(str(tmp_path / "blank.png"), "default-model")
    assert (image.size, anyway) == ((200, 200), False)
    scores, verdict = handlers.show_scores(examined, False, "en")
    assert (scores, verdict.startswith("**Not classified.**")) == (None, True)
    slider, _, note = handlers.show_map(examined, False, "NORMAL", 0.5, "viridis", "en")
    assert (slider, note) == (None, verdict)
    assert sum(handlers.show_scores(examined, True, "en")[0].values()) == pytest.approx(1)
    assert handlers.show_map(examined, True, "NORMAL", 0.5, "viridis", "en")[0] is not None


def test_the_map_is_named_and_emptied_fields_are_no_obstacle(handlers):
    examined, *_ = handlers.examine(PHANTOM, "default-model")
    slider, _, note = handlers.show_map(examined, False, "NORMAL", None, "viridis", "en")
    assert slider is not None
    assert "This answer means nothing" in note
    assert f"Map of **NORMAL** (probability {examined.scores['NORMAL']:.1%})" in note


def test_an_address_becomes_an_upload_or_a_sentence(handlers, public_loopback):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"an image")

    with web(answer) as port:
        public_loopback(port)
        with open(handlers.fetch_image("http://127.0.0.1/x.png", "en"), "rb") as file:
            assert file.read() == b"an image"
    for language, sentence in (("en", "not a public address"), ("ru", "общедоступный адрес")):
        with pytest.raises(gr.Error) as caught:
            handlers.fetch_image("http://127.0.0.2/x.png", language)
        assert sentence in caught.value.message


def test_the_table_of_a_batch_grows_and_ends_with_its_file(handlers, phantom):
    states = handlers.classify_all([str(phantom)] * 25, "en", "default-model", gr.Progress())
    assert [(len(table["data"]), bool(file)) for table, file in states] == [(20, False), (25, True)]
    with pytest.raises(gr.Error, match="Choose images first"):
        list(handlers.classify_all([], "en", "default-model", gr.Progress()))
