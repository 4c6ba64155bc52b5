"""Requests to the door without a server: what ASGI hands over, and what it is given back."""

import asyncio
import json
from typing import NamedTuple


class Response(NamedTuple):
    """What a client would get; `passed_on` if the app behind was asked instead."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self):
        return json.loads(self.content)


async def behind(scope, receive, send) -> None:
    """The app behind the door."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"passed on"})


async def request(
    door, path: str = "/api/classify", body=b"", method: str = "POST", pause: float = 0.0, **headers: str
) -> Response:
    """Ask; `body` may be a list of chunks, with a pause before each, and the query stands in the path."""
    chunks, sent = [body] if isinstance(body, bytes) else list(body), []

    async def receive() -> dict:
        if pause:
            await asyncio.sleep(pause)
        if not chunks:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message) -> None:
        sent.append(message)

    place, _, query = path.partition("?")
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": place, "query_string": query.encode(), "headers": pairs}
    await door(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    received = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Response(sent[0]["status"], received, content)


def ask(door, *arguments, **options) -> Response:
    """`request`, waited for."""
    return asyncio.run(request(door, *arguments, **options))


def form(*parts: tuple[str, bytes], boundary: str = "xyz") -> bytes:
    """A form: (what follows `form-data; ` in the part's header, content) of each part."""
    pieces = [
        f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + content + b"\r\n"
        for name, content in parts
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()
