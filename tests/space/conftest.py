"""A web of this machine alone."""

import ipaddress
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from space.web import fetch as download


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
