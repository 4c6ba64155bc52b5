"""What is answered for an image: scores, details, maps, and refusals of the guard."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from space.imaging.xray import read_xray
from space.inference.heatmap import overlay
from tests.conftest import THREE_LABELS
from tests.hostile import png_bytes
from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes
from tests.space.web.rest.asking import ask, form

COLOURS = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)


def scores(response) -> dict[str, float]:
    assert response.status == 200, response.content
    return {entry["label"]: entry["score"] for entry in response.json()}


def parameters(**values):
    return lambda content: json.dumps({"inputs": base64.b64encode(content).decode(), "parameters": values}).encode()


@pytest.fixture(scope="module")
def pixels():
    return np.asarray(draw_phantom(np.random.default_rng(0), True, 200, 180))


def test_the_list_is_sorted_and_the_same_for_every_kind_of_body(door, phantom):
    content = phantom.read_bytes()
    raw = ask(door, body=content)
    assert [entry["score"] for entry in raw.json()] == sorted(scores(raw).values(), reverse=True)
    assert all(set(entry) == {"label", "score"} for entry in raw.json())
    assert sum(scores(raw).values()) == pytest.approx(1)
    parts = form(('name="file"; filename="a.png"', content))
    assert ask(door, body=parts, content_type="multipart/form-data; boundary=xyz").content == raw.content
    assert ask(door, body=parameters()(content), content_type="application/json").content == raw.content


def test_parameters_choose_how_many_and_which_function(door, models, phantom):
    def answer(**values):
        path = "/api/classify?model=three"
        return ask(door, path, parameters(**values)(phantom.read_bytes()), content_type="application/json")

    everything = scores(answer())
    assert set(everything) == set(THREE_LABELS)
    assert scores(answer(top_k=1)) == {max(everything, key=everything.get): max(everything.values())}
    assert scores(answer(top_k=99)) == scores(answer(function_to_apply="softmax")) == everything
    logits = np.array([models["three"].examine(phantom).logits[label] for label in everything])
    assert list(scores(answer(function_to_apply="none")).values()) == pytest.approx(logits, abs=1e-5)
    assert list(scores(answer(function_to_apply="sigmoid")).values()) == pytest.approx(1 / (1 + np.exp(-logits)))
    assert np.exp(logits) / np.exp(logits).sum() == pytest.approx(list(everything.values()), abs=1e-6)


def test_details_are_all_that_is_known(door, models, phantom):
    response = ask(door, "/api/classify?details=1", phantom.read_bytes())
    details, service = response.json(), models["default-model"]
    assert details["probabilities"] == pytest.approx(service.examine(phantom).scores, abs=1e-6)
    assert details["threshold"] == service.classifier.operating_point.threshold
    assert (details["size"], details["guard"], details["model"]) == ([200, 180], None, "default-model")
    other = ask(door, "/api/classify?details=1&model=three", phantom.read_bytes()).json()
    assert (other["rule"], other["threshold"], other["positive_label"]) == ("argmax", None, None)
    assert "cannot check" in other["warnings"][0]
    body, kind = parameters(top_k=1)(phantom.read_bytes()), "application/json"
    assert ask(door, "/api/classify?details=1", body, content_type=kind).status == 400
    assert ask(door, "/api/explain", body, content_type=kind).status == 400


def test_every_format_and_depth_is_read_as_everywhere(door, pixels):
    # 10 levels of 16 bits for each of 8, so that scaling by an image's own range gives the same pixels.
    spread = np.rint((pixels.astype(float) - pixels.min()) * 255 / np.ptp(pixels)).astype(np.uint8)
    files = {
        "8 bit": png_bytes(spread),
        "16 bit": png_bytes(spread.astype(np.uint16) * 10),
        "DICOM": dicom_bytes(spread),
        "inverted DICOM": dicom_bytes(255 - spread, PhotometricInterpretation="MONOCHROME1"),
    }
    answers = {name: ask(door, "/api/classify?details=1&anyway=1", content) for name, content in files.items()}
    expected = answers["8 bit"].json()["probabilities"]
    for name, answer in answers.items():
        assert answer.json()["probabilities"] == pytest.approx(expected, abs=1e-3), name
    assert answers["16 bit"].json()["steps"] == ["scaled from more than 8 bits by its own range"]
    assert "inverted (MONOCHROME1)" in answers["inverted DICOM"].json()["steps"]
    jpeg = io.BytesIO()
    Image.fromarray(spread).save(jpeg, "JPEG", quality=98)
    assert scores(ask(door, body=jpeg.getvalue())) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (png_bytes(np.full((300, 300), 90, np.uint8)), "blank"),
        (png_bytes(np.full((3, 5), 90, np.uint8)), "small"),
        (png_bytes(COLOURS), "colour"),
        (png_bytes(COLOURS[..., 0]), "unlike"),
    ],
)
def test_the_guard_refuses_with_its_code_unless_the_answer_is_wanted_anyway(door, content, code):
    for path in ("/api/classify", "/api/classify?details=1", "/api/explain"):
        response = ask(door, path, content)
        assert (response.status, response.json()["code"]) == (422, code)
    plain = ask(door, "/api/classify?anyway=1", content)
    details = ask(door, "/api/classify?anyway=1&details=1", content)
    numbers = ask(door, "/api/explain?anyway=1&format=json", content)
    drawn = ask(door, "/api/explain?anyway=1", content)
    assert all(response.headers["x-guard"] == code for response in (plain, details, numbers, drawn))
    for guard in (
        *(entry["guard"] for entry in plain.json()), details.json()["guard"], numbers.json()["details"]["guard"],
    ):  # fmt: skip
        assert guard["code"] == code
        assert guard["sentence"].startswith("This answer means nothing. The image ")


def test_an_explanation_is_the_map_that_the_page_shows(door, models, phantom):
    service, content = models["default-model"], phantom.read_bytes()
    examined = service.examine(phantom)
    for label in ("NORMAL", "PNEUMONIA"):
        drawn = ask(door, f"/api/explain?label={label}&opacity=0.5&colours=viridis", content)
        assert (drawn.status, drawn.headers["content-type"]) == (200, "image/png")
        expected = overlay(
            read_xray(phantom).image, examined.maps[service.classifier.labels.index(label)], 0.5, "viridis"
        )
        shown = np.asarray(Image.open(io.BytesIO(drawn.content)), int)
        assert np.abs(shown - np.asarray(expected, int)).max() <= 1
        numbers = ask(door, f"/api/explain?label={label}&format=json", content).json()
        assert numbers["label"] == label
        assert np.allclose(numbers["map"], examined.maps[service.classifier.labels.index(label)], atol=1e-5)
        assert numbers["details"]["probabilities"] == pytest.approx(examined.scores, abs=1e-6)


def test_the_positive_or_most_probable_class_is_explained_unless_another_is_named(door, phantom):
    content = phantom.read_bytes()
    assert ask(door, "/api/explain?format=json", content).json()["label"] == "PNEUMONIA"
    other = ask(door, "/api/explain?format=json&model=three", content).json()
    assert other["label"] == other["details"]["label"]


def test_an_overlay_is_no_larger_than_the_image_and_than_is_asked_for(door):
    content = png_bytes(np.asarray(draw_phantom(np.random.default_rng(0), True, 1500, 1200)))
    sizes = {
        size: ask(door, f"/api/explain?anyway=1{size}", content).content for size in ("", "&size=300", "&size=4096")
    }
    shown = {size: Image.open(io.BytesIO(content)).size for size, content in sizes.items()}
    assert shown == {"": (1024, 819), "&size=300": (300, 240), "&size=4096": (1500, 1200)}
