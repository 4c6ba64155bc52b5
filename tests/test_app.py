import csv

import gradio_client
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image

from tests.conftest import run_python
from tests.server import running_app
from train.models import build, save
from train.recipe import ModelRecipe


@pytest.fixture(scope="module")
def client(run_folder):
    with running_app("--model", run_folder) as address:
        yield Client(address, verbose=False)


@pytest.fixture(scope="module")
def test_rows(run_folder, kaggle_folder):
    """The run's predictions on the test split, with the files they are of."""
    with (run_folder / "predictions.csv").open() as file:
        return [row | {"file": kaggle_folder / "chest_xray" / row["source"]} for row in csv.DictReader(file)][-48:]


def test_classify_answers_with_the_recorded_probabilities(client, test_rows):
    for row in (test_rows[0], test_rows[-1]):
        answer = client.predict(handle_file(str(row["file"])), api_name="/classify")
        scores = {entry["label"]: entry["confidence"] for entry in answer["confidences"]}
        assert answer["label"] == max(scores, key=scores.get)
        for label, score in scores.items():
            assert score == pytest.approx(float(row[f"prob:{label}"]), abs=1e-4)


def test_explain_answers_with_an_overlay_of_the_picture(client, test_rows):
    file = test_rows[-1]["file"]
    overlays = [
        np.asarray(Image.open(client.predict(handle_file(str(file)), label, api_name="/explain")))
        for label in ("NORMAL", "PNEUMONIA")
    ]
    plain = np.asarray(Image.open(file))
    assert all(overlay.shape == (*plain.shape, 3) for overlay in overlays)
    assert not np.array_equal(*overlays)
    invisible = client.predict(handle_file(str(file)), "PNEUMONIA", 0, api_name="/explain")
    assert np.array_equal(np.asarray(Image.open(invisible))[..., 0], plain)


def test_16_bit_pictures_are_read_by_their_own_range(client, test_rows, tmp_path):
    plain = np.asarray(Image.open(test_rows[-1]["file"])).astype(float)
    stretched = np.rint((plain - plain.min()) / (plain.max() - plain.min()) * 255).astype(np.uint8)
    Image.fromarray(stretched).save(tmp_path / "8.png")
    Image.fromarray(stretched.astype(np.uint16) * 10).save(tmp_path / "16.png")
    answers = [client.predict(handle_file(str(tmp_path / name)), api_name="/classify") for name in ("8.png", "16.png")]
    first, second = ({e["label"]: e["confidence"] for e in answer["confidences"]} for answer in answers)
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"just text", "not a picture"), (b"", "empty"), (b"\x89PNG\r\n\x1a\n123", "not a picture")],
)
def test_a_file_that_is_no_image_gets_a_sentence(client, tmp_path, content, sentence):
    (tmp_path / "fake.png").write_bytes(content)
    for endpoint, rest in (("/classify", []), ("/explain", ["NORMAL"])):
        with pytest.raises(gradio_client.exceptions.AppError) as caught:
            client.predict(handle_file(str(tmp_path / "fake.png")), *rest, api_name=endpoint)
        assert sentence in str(caught.value)
        assert "Traceback" not in str(caught.value)


def test_an_unknown_class_is_refused(client, test_rows):
    with pytest.raises(gradio_client.exceptions.AppError, match="NORMAL"):
        client.predict(handle_file(str(test_rows[0]["file"])), "FRACTURE", api_name="/explain")


def test_only_the_two_named_endpoints_are_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/classify", "/explain"}


def test_model_id_chooses_the_model(run_folder):
    with running_app(MODEL_ID=str(run_folder)) as address:
        components = Client(address, verbose=False).config["components"]
    texts = [component["props"].get("value") for component in components]
    assert any("Model: `tiny`" in text for text in texts if isinstance(text, str))


def test_a_missing_model_or_a_wrong_port_is_one_clear_message(tmp_path):
    done = run_python("app.py", "--model", tmp_path)
    assert done.returncode == 2
    assert "config.json and model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_python("app.py", GRADIO_SERVER_PORT="many")
    assert (done.returncode, "must be a port number" in done.stderr) == (2, True)


def test_a_chest_cnn_is_served_only_if_its_code_is_trusted(tmp_path):
    torch.manual_seed(0)
    model, processor = build(ModelRecipe("chest_cnn_covid19", 64), ["Covid", "Normal", "Viral Pneumonia"])
    save(model, processor, tmp_path / "cnn")
    refused = run_python("app.py", "--model", tmp_path / "cnn")
    assert refused.returncode == 2
    assert "TRUST_REMOTE_CODE=1" in refused.stderr
    Image.fromarray(np.full((70, 60), 90, np.uint8)).save(tmp_path / "a.png")
    with running_app("--model", tmp_path / "cnn", TRUST_REMOTE_CODE="1") as address:
        client = Client(address, verbose=False)
        answer = client.predict(handle_file(str(tmp_path / "a.png")), api_name="/classify")
        heat = client.predict(handle_file(str(tmp_path / "a.png")), "Covid", api_name="/explain")
    assert {entry["label"] for entry in answer["confidences"]} == {"Covid", "Normal", "Viral Pneumonia"}
    assert Image.open(heat).size == (60, 70)
