"""The REST API as the ecosystem's clients use it: Hugging Face's own, and curl."""

import json
import socket
import subprocess
import threading
import time
from pathlib import Path
from shutil import which

import httpx2
import numpy as np
import pytest
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from PIL import Image
from transformers import pipeline

from tests.benchmarks.serve import ask
from tests.conftest import DEFAULT_MODEL
from tests.phantoms import draw_phantom
from tests.server import running_app

PHANTOM = Path(__file__).parents[1] / "space" / "web" / "examples" / "phantom_2.png"


@pytest.fixture(scope="module")
def address(three_classes):
    with running_app("--model", f"{DEFAULT_MODEL},{three_classes}", MAX_SECONDS="3", MAX_QUEUE="4") as address:
        yield address


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """Hugging Face's client asks no server at all where it is told to stay offline, as it is in tests."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def xray(tmp_path):
    draw_phantom(np.random.default_rng(0), True, 200, 180).save(tmp_path / "xray.png")
    return tmp_path / "xray.png"


def client(address: str, query: str = "") -> InferenceClient:
    return InferenceClient(model=f"{address}/api/classify{query}")


def scores(elements) -> dict[str, float]:
    return {element.label: element.score for element in elements}


def test_hugging_faces_client_gets_what_its_pipeline_computes(address, three_classes, xray):
    image = Image.open(xray).convert("RGB")
    for query, model in (("", DEFAULT_MODEL), ("?model=three", three_classes)):
        classify, ask_by = pipeline("image-classification", model=str(model)), client(address, query)
        for options in ({}, {"top_k": 1}, {"function_to_apply": "sigmoid"}, {"function_to_apply": "none", "top_k": 2}):
            expected = {entry["label"]: entry["score"] for entry in classify(image, **options)}
            for given in (xray.read_bytes(), xray, str(xray)):
                answer = scores(ask_by.image_classification(given, **options))
                assert list(answer) == list(expected)
                assert answer == pytest.approx(expected, abs=2e-4)


def test_its_errors_show_the_sentence(address, xray, tmp_path):
    Image.new("L", (200, 200), 90).save(tmp_path / "blank.png")
    with pytest.raises(HfHubHTTPError, match=r"The image is blank.*anyway=1") as caught:
        client(address).image_classification(str(tmp_path / "blank.png"))
    assert caught.value.response.json()["code"] == "blank"
    (first, _) = client(address, "?anyway=1").image_classification(str(tmp_path / "blank.png"))
    assert first.guard["code"] == "blank"
    with pytest.raises(BadRequestError, match="The parameter 'details' is not valid"):
        client(address, "?details=2").image_classification(xray)
    with pytest.raises(BadRequestError, match="top_k"):
        client(address).image_classification(xray, top_k=0)
    for content, sentence in ((b"no image", "not an image that can be read"), (bytes(10_000_001), "at most 10 MB")):
        with pytest.raises(HfHubHTTPError, match=sentence):
            client(address).image_classification(content)


@pytest.mark.skipif(not which("curl"), reason="curl is not installed")
def test_curl_needs_no_more_than_the_file(address, xray, tmp_path):
    def curl(*arguments: str) -> bytes:
        return subprocess.run(["curl", "-sS", *arguments], check=True, capture_output=True, timeout=60).stdout

    raw = curl("--data-binary", f"@{xray}", f"{address}/api/classify")
    assert json.loads(raw)[0]["label"] in ("NORMAL", "PNEUMONIA")
    assert curl("-F", f"file=@{xray}", f"{address}/api/classify") == raw
    details = json.loads(curl("--data-binary", f"@{xray}", f"{address}/api/classify?details=1"))
    assert details["probabilities"] == {entry["label"]: entry["score"] for entry in json.loads(raw)}
    curl("--data-binary", f"@{xray}", "-o", str(tmp_path / "map.png"), f"{address}/api/explain")
    assert Image.open(tmp_path / "map.png").size == (200, 180)
    (tmp_path / "large.png").write_bytes(bytes(30_000_000))
    for expect in ([], ["-H", "Expect:"]):  # curl waits before it sends a large file, unless it is told not to
        answer = curl(*expect, "--data-binary", f"@{tmp_path / 'large.png'}", f"{address}/api/classify")
        assert json.loads(answer)["code"] == "too_large"


def test_the_page_and_gradios_endpoint_say_the_same(address, xray):
    with httpx2.Client(timeout=60) as http:
        assert http.get(address).status_code == 200
        details = http.post(f"{address}/api/classify?details=1", content=xray.read_bytes()).json()
        assert ask(http, address, xray, "default-model") == details["probabilities"]


def test_no_other_site_may_read_answers_and_nothing_is_compressed(address, xray):
    headers = {"Origin": "http://localhost:1", "Accept-Encoding": "br, gzip"}
    for answer in (
        httpx2.post(f"{address}/api/classify?details=1", content=xray.read_bytes(), headers=headers),
        httpx2.get(f"{address}/api/docs", headers=headers),
        httpx2.options(f"{address}/api/classify", headers=headers | {"Access-Control-Request-Method": "POST"}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "content-encoding" not in answer.headers


def test_a_slow_client_is_cut_off(address):
    host, port = address.removeprefix("http://").split(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /api/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert b"408" in connection.recv(100)
    assert time.monotonic() - started < 10


def test_a_crowd_gets_right_answers_or_is_told_to_come_back_while_the_page_answers(address, xray):
    content = xray.read_bytes()
    expected = scores(client(address).image_classification(content))
    answers: list[int] = []
    deadline = time.monotonic() + 4

    def stream() -> None:
        with httpx2.Client(timeout=60) as http:
            while time.monotonic() < deadline:
                answer = http.post(f"{address}/api/classify", content=content)
                if answer.status_code == 200:
                    assert {entry["label"]: entry["score"] for entry in answer.json()} == pytest.approx(expected)
                else:
                    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
                    time.sleep(0.05)
                answers.append(answer.status_code)

    threads = [threading.Thread(target=stream) for _ in range(12)]
    for thread in threads:
        thread.start()
    with httpx2.Client(timeout=60) as http:
        visits = 0
        while time.monotonic() < deadline:
            assert ask(http, address, PHANTOM, "default-model")["PNEUMONIA"] > 0.5
            visits += 1
    for thread in threads:
        thread.join()
    assert set(answers) == {200, 429}
    assert visits >= 2
