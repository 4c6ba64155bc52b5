"""A web of this machine alone, and an image."""

import ipaddress
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from space.web import fetch as download
from tests.phantoms import draw_phantom


@contextmanager
def web(answer):
    """A web server; `answer(handler)` writes its answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *args):
            """Keep the tests' output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def public_loopback(monkeypatch):
    """Let 127.0.0.1 count as public, on any port, and 127.0.0.2 stay private."""
    real = ipaddress.ip_address

    class Public(ipaddress.IPv4Address):
        is_global = True

    monkeypatch.setattr(download.ipaddress, "ip_address", lambda a: Public(a) if a == "127.0.0.1" else real(a))

    def on(port: int) -> None:
        monkeypatch.setitem(download.PORTS, "http", port)

    return on


@pytest.fixture
def phantom(tmp_path):
    """A file with a phantom, which the bundled model doubts as little as a chest X-ray."""
    draw_phantom(np.random.default_rng(0), True, 200, 180).save(tmp_path / "xray.png")
    return tmp_path / "xray.png"
