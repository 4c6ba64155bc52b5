"""What stands before gradio, in front of an app that tells what it was given."""

import asyncio
import json
import shutil
from collections import namedtuple

import pytest

from space.web import middleware as gateway
from space.web.middleware import Gateway
from space.web.settings import Settings
from tests.space.conftest import web

CALL = "/gradio_api/call/classify"


async def _echo(scope, receive, send):
    """An app that answers with the body that it received."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(chunks=(b"",), path=CALL, method="POST", kind="application/json", pause=0.0, host="xray.example", **settings):
    """(status, body) of a request whose body comes in chunks."""
    waiting, sent = list(chunks), []

    async def receive():
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", kind.encode()), (b"host", host.encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(Gateway(_echo, Settings(**settings))(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def request(*paths: str) -> bytes:
    return json.dumps(
        {"data": [[{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths], 0.5]}
    ).encode()


def paths_of(body: bytes) -> list[str]:
    return [file["path"] for file in json.loads(body)["data"][0]]


def test_what_names_no_address_is_passed_on_unchanged():
    for body in (request("/tmp/gradio/a.png"), b"no JSON", b"", b'{"path": 7}', b"[" * 10_000):  # noqa: S108
        assert ask([body[:3], body[3:]]) == (200, body)


def test_an_upload_may_be_named_by_its_address_here():
    body = request("http://xray.example/gradio_api/file=/up/load%20s/a.png", "/up/b.png")
    status, passed = ask([body])
    assert (status, paths_of(passed)) == (200, ["/up/load s/a.png", "/up/b.png"])
    assert json.loads(passed)["data"][1] == 0.5


@pytest.mark.parametrize(
    "path",
    [
        "http://elsewhere.example/gradio_api/file=/up/a.png",
        "https://example.com/x.png",
        " HTTP://example.com/x.png",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "http://xray.example/gradio_api/file=http://elsewhere.example/x.png",
        "http://xray.example/file/https%3A//elsewhere.example/x.png",
        "http://[::1",
    ],
)
def test_no_other_address_is_asked_unless_that_is_allowed(path):
    status, body = ask([request("/up/b.png", path)])
    assert status == 400
    assert "never fetched from an address" in body.decode() or "not a web address" in body.decode()


def test_where_it_is_allowed_files_are_fetched_from_the_public_web_alone(public_loopback):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"an image")

    with web(answer) as port:
        public_loopback(port)
        status, body = ask([request("http://127.0.0.1/x.png")], allow_url_input=1)
        assert status == 200
        with open(paths_of(body)[0], "rb") as file:
            assert file.read() == b"an image"
        for inside in ("http://127.0.0.2/x.png", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data"):
            assert ask([request(inside)], allow_url_input=1)[0] == 400
    assert ask([request(*["http://127.0.0.2/"] * 4)], allow_url_input=1, max_batch_files=3)[0] == 400


def test_a_request_that_is_large_or_slow_is_refused():
    assert ask([b"x" * 2**19] * 3)[0] == 413
    status, body = ask([b"x"] * 50, pause=0.1, max_seconds=1)
    assert (status, "within 1 seconds" in body.decode()) == (408, True)
    assert ask([b"x"] * 50, pause=0.1, max_seconds=1, kind="multipart/form-data; boundary=x")[0] == 408


def test_uploads_leave_room_on_the_disk(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(gateway.LEAST_FREE - 1))
    status, body = ask([b"x"], kind="multipart/form-data; boundary=x")
    assert (status, "disk is full" in body.decode()) == (507, True)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=https://evil.example/",
        "/file=HTTP://evil.example",
        "/gradio_api/file/http://evil.example/x.png",
    ],
)
def test_no_visitor_is_sent_elsewhere(path):
    assert ask(path=path, method="GET")[0] == 404
    assert ask(path="/gradio_api/file=/up/a.png", method="GET")[0] == 200


def test_it_lives():
    assert ask(path="/healthz", method="GET") == (200, b'{"status": "ok"}')
