"""The way of a request: where it goes, what is refused before anything is computed, and what is said then."""

import asyncio
import json
import time

import numpy as np
import pytest

from tests.hostile import hostile_files, png_of_size
from tests.phantoms import draw_phantom
from tests.space.web.rest.asking import ask, request

GUARD = {"blank", "small", "shape", "colour", "upside_down", "unlike"}


def error(response) -> tuple[int, str]:
    """Status and code; every error is a sentence and a code, and nothing else."""
    content = response.json()
    assert set(content) == {"error", "code"}
    assert content["error"].endswith(".")
    assert "Traceback" not in content["error"]
    return response.status, content["code"]


def test_what_is_not_the_apis_is_passed_on(door):
    for path in ("/", "/healthz", "/gradio_api/upload", "/api", "/apiary/classify"):
        assert ask(door, path, method="GET").content == b"passed on"


def test_a_file_is_answered_with_the_scores_of_the_page(door, models, phantom):
    response = ask(door, body=phantom.read_bytes())
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["cache-control"] == "no-store"
    scores = models["default-model"].examine(phantom).scores
    assert {entry["label"]: entry["score"] for entry in response.json()} == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/api/classify", "GET", (405, "method_not_allowed")),
        ("/api/explain", "DELETE", (405, "method_not_allowed")),
        ("/api/classify", "OPTIONS", (405, "method_not_allowed")),
        ("/api/docs", "POST", (405, "method_not_allowed")),
        ("/api/openapi.json", "PUT", (405, "method_not_allowed")),
        ("/api/predict", "POST", (404, "not_found")),
        ("/api/", "GET", (404, "not_found")),
        ("/api/../etc/passwd", "GET", (404, "not_found")),
        ("/api/classify?model=other", "POST", (404, "unknown_model")),
        ("/api/classify?details=yes", "POST", (400, "bad_parameter")),
        ("/api/classify?anyway=", "POST", (400, "bad_parameter")),
        ("/api/classify?top_k=1", "POST", (400, "bad_parameter")),
        ("/api/classify?details=1&details=0", "POST", (400, "bad_parameter")),
        ("/api/classify?model=%ff", "POST", (400, "bad_parameter")),
        ("/api/classify?" + "a=1&" * 100, "POST", (400, "bad_parameter")),
        ("/api/explain?size=15", "POST", (400, "bad_parameter")),
        ("/api/explain?size=1e9", "POST", (400, "bad_parameter")),
        ("/api/explain?opacity=nan", "POST", (400, "bad_parameter")),
        ("/api/explain?opacity=1.1", "POST", (400, "bad_parameter")),
        ("/api/explain?colours=jet", "POST", (400, "bad_parameter")),
        ("/api/explain?format=gif", "POST", (400, "bad_parameter")),
        ("/api/explain?label=FRACTURE", "POST", (400, "bad_parameter")),
        ("/api/explain?label=COVID&model=default-model", "POST", (400, "bad_parameter")),
    ],
)
def test_a_wrong_address_is_a_status_a_code_and_a_sentence(door, phantom, path, method, expected):
    response = ask(door, path, phantom.read_bytes(), method)
    assert error(response) == expected
    if expected[0] == 405:
        assert method not in response.headers["allow"]


def test_the_sentence_names_what_is_allowed(door):
    assert "Allowed: details, anyway, model." in ask(door, "/api/classify?treshold=1").json()["error"]
    assert "There is: default-model, three." in ask(door, "/api/classify?model=x").json()["error"]
    assert "'0' or '1'" in ask(door, "/api/classify?anyway=yes").json()["error"]


@pytest.mark.parametrize("name", hostile_files())
def test_a_hostile_file_is_an_error_and_the_next_one_an_answer(door, phantom, name):
    content, sentence = hostile_files()[name]
    for path in ("/api/classify", "/api/explain"):
        response = ask(door, path, content)
        status, code = error(response)
        assert status in (400, 413, 415, 422)
        assert (code in GUARD) == ("anyway=1" in response.json()["error"])
        assert sentence in response.json()["error"]
    assert ask(door, body=phantom.read_bytes()).status == 200


def test_what_is_too_large_is_not_read_to_its_end(make_door, phantom):
    door = make_door(max_upload_mb=1)
    assert error(ask(door, body=b"x" * 1_000_001)) == (413, "too_large")
    assert error(ask(door, body=[b"x" * 2**19] * 3)) == (413, "too_large")
    assert error(ask(door, body=[b"x"], content_length="1000001", expect="100-continue")) == (413, "too_large")
    body = json.dumps({"inputs": "A" * 1_500_000}).encode()
    assert error(ask(door, body=body, content_type="application/json")) == (413, "too_large")
    response = ask(door, body=png_of_size(50_000, 50_000))
    assert error(response) == (413, "too_many_pixels")


def test_a_client_may_wait_to_be_told_to_go_on(door):
    """With `Expect: 100-continue`, asking for the body would make the client send it."""
    asked = []

    async def receive():
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message):
        assert message["type"] == "http.response.body" or message["status"] == 413

    headers = [(b"content-length", b"99999999"), (b"expect", b"100-continue")]
    scope = {"type": "http", "method": "POST", "path": "/api/classify", "query_string": b"", "headers": headers}
    asyncio.run(door(scope, receive, send))
    assert not asked


def test_what_comes_slowly_or_compressed_or_not_at_all_is_refused(make_door, phantom):
    started = time.monotonic()
    assert error(ask(make_door(max_seconds=1), body=[b"x"] * 50, pause=0.1)) == (408, "too_slow")
    assert time.monotonic() - started < 3
    assert error(ask(make_door(), body=phantom.read_bytes(), content_encoding="gzip")) == (415, "encoded")
    assert error(ask(make_door(), body=b"")) == (400, "empty")


def test_a_client_that_leaves_gets_nothing_and_holds_nothing(make_door, phantom):
    door = make_door(max_queue=1, concurrency=1)
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/classify", "query_string": b"", "headers": []}
    for _ in range(5):
        asyncio.run(door(scope, receive, send))
    assert not sent
    assert ask(door, body=phantom.read_bytes()).status == 200


def test_past_the_line_clients_are_told_to_come_back(make_door, phantom):
    door, content = make_door(max_queue=2, concurrency=1), phantom.read_bytes()

    async def crowd():
        return await asyncio.gather(*(request(door, body=[content[:99], content[99:]]) for _ in range(9)))

    responses = asyncio.run(crowd())
    statuses = sorted(response.status for response in responses)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 3
    refused = [response for response in responses if response.status == 429]
    assert all((error(response)[1], response.headers["retry-after"]) == ("busy", "1") for response in refused)
    assert ask(door, body=content).status == 200


def test_many_at_once_each_get_the_answer_to_their_own_image(door, models, tmp_path):
    contents, expected = [], []
    for number in range(24):
        path = tmp_path / f"{number}.png"
        draw_phantom(np.random.default_rng(number), bool(number % 2), 120, 110).save(path)
        contents.append(path.read_bytes())
        expected.append(models["three"].examine(path).scores)

    async def crowd():
        return await asyncio.gather(*(request(door, "/api/classify?model=three", content) for content in contents))

    for response, scores in zip(asyncio.run(crowd()), expected, strict=True):
        assert {entry["label"]: entry["score"] for entry in response.json()} == pytest.approx(scores, abs=1e-6)


def test_the_event_loop_is_free_while_an_image_is_computed(door, phantom):
    """A small request to the page must not wait for someone else's image."""

    async def both():
        image = asyncio.create_task(request(door, "/api/explain?size=4096", phantom.read_bytes()))
        await asyncio.sleep(0)
        ticks = 0
        while not image.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return ticks, await image

    ticks, response = asyncio.run(both())
    assert response.status == 200
    assert ticks > 2


def test_pages_may_be_asked_for_their_headers_alone(door):
    for path in ("/api/docs", "/api/openapi.json"):
        whole, head = ask(door, path, method="GET"), ask(door, path, method="HEAD")
        assert whole.status == head.status == 200
        assert head.content == b""
        assert head.headers == whole.headers
        assert int(head.headers["content-length"]) == len(whole.content)
