"""Fetching from the web: public addresses alone, size and time capped. Loopback stands in for the public web."""

import socket
import time

import pytest

from space.errors import XrayError
from space.web import fetch as download
from space.web.fetch import fetch
from tests.space.conftest import web


def send(handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "http://localhost/x.png",
        "http://[::1]/x.png",
        "http://0.0.0.0/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://172.16.0.1/",
        "http://100.64.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[::7f00:1]/",
        "http://224.0.0.1/",
        "file:///etc/passwd",
        "ftp://example.com/x",
        "gopher://example.com/",
        "//example.com/x.png",
        "x.png",
        "",
        "http://user:password@8.8.8.8/",
        "http://8.8.8.8:22/",
    ],
)
def test_what_is_not_on_the_public_web_is_never_asked(url, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(XrayError) as caught:
        fetch(url, 1000)
    assert caught.value.code == "bad_url"


def test_a_name_with_one_private_address_is_refused(monkeypatch):
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: entries)
    with pytest.raises(XrayError, match="not a public address"):
        fetch("http://tricky.example/", 1000)


def test_a_file_is_fetched_from_the_address_that_was_checked(public_loopback, monkeypatch):
    with web(lambda handler: send(handler, 200, handler.headers["Host"].encode())) as port:
        public_loopback(port)
        real = socket.getaddrinfo
        # The name is looked up once: what it says later makes no difference.
        calls = []
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **o: calls.append(host) or real("127.0.0.1", *a, **o)
        )
        assert fetch("http://xray.example/a.png", 1000) == b"xray.example"
    assert calls[0] == "xray.example"
    assert "xray.example" not in calls[1:]


def test_a_redirect_is_followed_on_the_public_web_and_never_inside(public_loopback):
    def answer(handler):
        places = {"/a": "/b", "/in": "http://127.0.0.2/secret", "/file": "file:///etc/passwd", "/loop": "/loop"}
        if handler.path in places:
            send(handler, 302, Location=places[handler.path])
        else:
            send(handler, 200, b"image")

    with web(answer) as port:
        public_loopback(port)
        assert fetch("http://127.0.0.1/a", 1000) == b"image"
        for path, code in (("/in", "bad_url"), ("/file", "bad_url"), ("/loop", "fetch")):
            with pytest.raises(XrayError) as caught:
                fetch(f"http://127.0.0.1{path}", 1000)
            assert caught.value.code == code


def test_size_time_and_failures_are_capped(public_loopback, monkeypatch):
    def answer(handler):
        if handler.path == "/slow":
            handler.send_response(200)
            handler.end_headers()
            for _ in range(30):
                time.sleep(0.1)
                handler.wfile.write(b"x")
        elif handler.path == "/endless":
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(b"x" * 10_000)
        else:
            send(handler, 404)

    monkeypatch.setattr(download, "SECONDS", 0.6)
    with web(answer) as port:
        public_loopback(port)
        for path, code in (("/endless", "too_many_bytes"), ("/missing", "fetch"), ("/slow", "fetch")):
            start = time.monotonic()
            with pytest.raises(XrayError) as caught:
                fetch(f"http://127.0.0.1{path}", 100_000)
            assert caught.value.code == code
            assert time.monotonic() - start < 5
