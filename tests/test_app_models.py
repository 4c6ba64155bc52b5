"""Several models on one page."""

import gradio_client
import pytest
import torch
from gradio_client import Client, handle_file

from space.web.batch import Item, rows
from space.web.events import Handlers
from space.web.model_choice import ModelId
from space.web.service import ModelService
from space.web.settings import Settings
from space.web.texts import ALL
from tests.conftest import DEFAULT_MODEL, run_python
from tests.server import running_app
from train.config.recipe import ModelRecipe
from train.models.factory import build, save

PHANTOM = str(DEFAULT_MODEL.parent / "examples" / "phantom_1.png")


LABELS = ["NORMAL", "PNEUMONIA", "COVID"]


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory):
    """An untrained model with other labels, without a guard, an operating point or results."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "three"
    save(*build(ModelRecipe("test_efficientnet", 64), LABELS, "scratch"), folder)
    return folder


@pytest.fixture(scope="module")
def handlers(run_folder, three_classes):
    settings = Settings()
    loaded = [ModelService.load(ModelId(str(folder)), False, settings) for folder in (run_folder, three_classes)]
    return Handlers({one.name: one for one in loaded}, settings)


def test_models_are_compared_side_by_side(handlers):
    assert handlers.compare(False, PHANTOM, True, "en")["visible"] is False
    assert handlers.compare(True, None, True, "en")["visible"] is False
    shown = handlers.compare(True, PHANTOM, True, "en")["value"]
    assert shown["headers"] == ["Model", "tiny", "three"]
    table = {line[0]: line[1:] for line in shown["data"]}
    assert list(table) == ["most probable", "decision", "NORMAL", "PNEUMONIA", "COVID", "problem"]
    assert table["COVID"][0] == table["decision"][1] == ""
    for column in (0, 1):
        scores = [float(table[label][column] or 0) for label in LABELS]
        assert sum(scores) == pytest.approx(1, abs=2e-4)


def test_a_session_belongs_to_the_model_that_looked(handlers):
    seen, image, target = handlers.look(PHANTOM, "three")
    assert (seen.model, list(seen.scores), image.size) == ("three", LABELS, (480, 440))
    assert (target["choices"], target["value"]) == (LABELS, max(seen.scores, key=seen.scores.get))
    assert handlers.paint(seen, True, "COVID", 0.5, "viridis", "en")[0] is not None
    other, _, target, *table = handlers.switch(PHANTOM, "tiny")
    assert (target["value"], table) == ("PNEUMONIA", [None, None])
    # The page's choice of class may still be that of the other model for a moment.
    assert handlers.paint(other, True, "COVID", 0.5, "viridis", "en")[0] is None
    assert handlers.switch(None, "tiny")[:2] == handlers.take(None, "tiny")[:2] == (None, None)


def test_what_is_wrong_is_said_where_the_answer_would_stand(handlers, tmp_path):
    (tmp_path / "letter.png").write_text("Dear doctor")
    seen, image, *_ = handlers.take(str(tmp_path / "letter.png"), "tiny")
    assert image is None
    assert "not an image" in handlers.read(seen, False, "en")[1]
    assert "не снимок" in handlers.read(seen, False, "ru")[1]
    assert handlers.paint(seen, False, "NORMAL", 0.5, "viridis", "en")[0] is None
    assert "Choose a chest X-ray" in handlers.read(handlers.look(None, "tiny")[0], False, "en")[1]
    assert handlers.read(None, False, "en") == (None, "")


def test_the_map_is_named_and_emptied_fields_are_no_obstacle(handlers):
    seen, *_ = handlers.look(PHANTOM, "tiny")
    shown, _, note = handlers.paint(seen, False, "NORMAL", None, "viridis", "en")
    assert shown is not None
    assert "This answer means nothing" in note
    assert f"Map of **NORMAL**, whose probability is {seen.scores['NORMAL']:.1%}" in note


def test_a_batch_ends_when_its_time_is_over(run_folder, handlers):
    hurried = ModelService.load(ModelId(str(run_folder)), False, Settings(max_seconds=0))
    (row,) = rows(hurried, [Item("a.png", PHANTOM)], ALL["en"])
    assert row[0] == "a.png"
    assert "0 seconds of a batch are over" in row[-1]


def test_the_page_and_its_endpoints_serve_each(run_folder, three_classes):
    with running_app(MODEL_ID=f"{run_folder},{three_classes}") as address:
        client = Client(address, verbose=False)
        file = handle_file(PHANTOM)
        answers = [
            client.predict(file, show_anyway=True, model=model, api_name="/classify") for model in ("tiny", "three")
        ]
        assert [len(answer["confidences"]) for answer in answers] == [2, 3]
        assert client.predict(file, show_anyway=True, api_name="/classify") == answers[0]
        assert client.predict(file, "COVID", show_anyway=True, model="three", api_name="/explain").endswith(".png")
        with pytest.raises(gradio_client.exceptions.AppError, match="tiny knows no class 'COVID'"):
            client.predict(file, "COVID", show_anyway=True, model="tiny", api_name="/explain")
        with pytest.raises(gradio_client.exceptions.AppError, match="other"):
            client.predict(file, show_anyway=True, model="other", api_name="/classify")
        table, _ = client.predict([file], model="three", api_name="/batch")
        assert table["headers"] == ["file", "most probable", "NORMAL", "PNEUMONIA", "COVID", "problem"]


def test_what_is_not_pinned_is_not_served():
    done = run_python("app.py", "--model", "owner/name")
    assert (done.returncode, "OWNER/NAME@COMMIT" in done.stderr) == (2, True)
