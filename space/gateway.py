"""What stands before gradio: a sign of life, and no fetching of files on a visitor's word."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus

MOST_BYTES = 2**20  # of a request that is no upload: it holds names of files and numbers
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
REFUSAL = "Files are taken as uploads alone, never fetched from an address. Upload the file first, as the page does."


class Gateway:
    """ASGI middleware: answers `GET /healthz`, and refuses requests whose files are addresses.

    Gradio fetches such files by itself, wherever they lie. Where fetching is allowed at all, `space.download` does it.

    Args:
        app: What stands behind.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        """Pass a request on, unless it is answered here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] == "GET" and scope["path"] == "/healthz":
            await _answer(send, HTTPStatus.OK, {"status": "ok"})
        elif scope["method"] == "POST" and not _is_upload(scope):
            await self._inspect(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _inspect(self, scope, receive, send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                await _answer(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"detail": "The request is too large."})
                return
            if not message.get("more_body"):
                break
        if any(ADDRESS.match(path) for path in _paths(bytes(body))):
            await _answer(send, HTTPStatus.BAD_REQUEST, {"detail": REFUSAL})
            return
        await self.app(scope, _Replay(bytes(body), receive), send)


class _Replay:
    """Receives a body that was read already, and then what else comes."""

    def __init__(self, body: bytes, receive):
        self.body, self.receive, self.is_given = body, receive, False

    async def __call__(self) -> dict:
        if self.is_given:
            return await self.receive()
        self.is_given = True
        return {"type": "http.request", "body": self.body, "more_body": False}


def _is_upload(scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name.lower() == b"content-type"]
    return len(kinds) == 1 and kinds[0].lower().startswith(b"multipart/form-data")


def _paths(body: bytes) -> Iterator[str]:
    """Every "path" in a JSON document, which is where gradio looks for a file."""
    try:
        found = [json.loads(body)]
    except (ValueError, RecursionError):
        return  # nor can gradio read it
    while found:
        value = found.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            found.extend(value.values())
        elif isinstance(value, list):
            found.extend(value)


async def _answer(send, status: HTTPStatus, content: dict) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
