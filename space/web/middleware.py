"""Middleware before gradio: `/healthz`, limits on requests, and no fetching from addresses that visitors give."""

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

from space.errors import XrayError
from space.web.fetch import fetch_to_file
from space.web.settings import Settings
from space.web.uploads import upload_folder

MOST_BYTES = 2**20  # of a request that is not an upload: it holds names of files and numbers
LEAST_FREE = 500 * 10**6  # bytes of the disk that uploads leave free
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*:/", re.IGNORECASE)
FILE_ROUTE = re.compile(r"(/gradio_api)?/file[=/](?P<file>.*)", re.DOTALL)
NOT_FETCHED = "Files must be uploaded; they are never fetched from an address. Upload the file first, as the page does."


class Refusal(Exception):
    """A request that must not go on.

    Args:
        status: HTTP status of the response.
        detail: The sentence of the response.
    """

    def __init__(self, status: HTTPStatus, detail: str):
        super().__init__(detail)
        self.status, self.detail = status, detail


class Gateway:
    """ASGI middleware: answers `GET /healthz`, limits requests, and never lets gradio fetch a file.

    Gradio would fetch any address that is given in place of a file. Here an address of this server's own uploads
    becomes the upload; any other is fetched by `space.web.fetch`, if that is allowed.

    Args:
        app: The ASGI app behind.
        settings: Limits.
    """

    def __init__(self, app, settings: Settings):
        self.app, self.settings = app, settings

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "GET" and scope["path"] == "/healthz":
            await _answer(send, HTTPStatus.OK, {"status": "ok"})
            return
        try:
            await self._pass_on(scope, receive, send)
        except Refusal as refusal:
            await _answer(send, refusal.status, {"detail": refusal.detail})

    async def _pass_on(self, scope, receive, send) -> None:
        if (route := FILE_ROUTE.fullmatch(scope["path"])) and ADDRESS.match(route["file"]):
            raise Refusal(HTTPStatus.NOT_FOUND, "File not found.")  # gradio would send visitors there
        if scope["method"] == "POST":
            receive = Bounded(receive, self.settings.max_seconds, upload_folder())
            if not _is_upload(scope):
                receive = _Replay(await self._inspect(scope, receive), receive)
        await self.app(scope, receive, send)

    async def _inspect(self, scope, receive) -> bytes:
        """The body of a request, with the path of a file on this machine in place of every address."""
        body = bytearray()
        while not receive.is_complete:
            body += (await receive()).get("body", b"")
            if len(body) > MOST_BYTES:
                raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return bytes(body)  # gradio cannot read it either
        files = [file for file in _files(content) if ADDRESS.match(file["path"])]
        if len(files) > self.settings.max_batch_files:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"At most {self.settings.max_batch_files} files are allowed.")
        for file in files:
            file["path"] = await self._local_path(file["path"].strip(), _hosts(scope))
        return json.dumps(content).encode() if files else bytes(body)

    async def _local_path(self, address: str, hosts: list[str]) -> str:
        """The path on this machine of the file at an address."""
        try:
            parts = urlsplit(address)
        except ValueError:
            raise Refusal(HTTPStatus.BAD_REQUEST, "This is not a web address.") from None
        own = FILE_ROUTE.fullmatch(unquote(parts.path))
        if own and parts.netloc in hosts and not ADDRESS.match(own["file"]):
            return own["file"]  # gradio checks that it is an upload
        if not self.settings.allow_url_input:
            raise Refusal(HTTPStatus.BAD_REQUEST, NOT_FETCHED)
        try:
            return str(await asyncio.to_thread(fetch_to_file, address, self.settings.limits.max_bytes))
        except XrayError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None


class Bounded:
    """Receives a request, which must arrive in time and leave room on the disk.

    Args:
        receive: ASGI's.
        seconds: In which all of it must arrive.
        folder: Where it will be stored; None: nowhere.
    """

    def __init__(self, receive, seconds: float, folder: Path | None = None):
        self.receive, self.seconds, self.folder, self.is_complete = receive, seconds, folder, False
        self.deadline = asyncio.get_running_loop().time() + seconds

    async def __call__(self) -> dict:
        """The next message.

        Raises:
            Refusal: It does not come in time, or the disk is full.
        """
        if self.is_complete:  # what follows is only that the visitor disconnects
            return await self.receive()
        if self.folder and shutil.disk_usage(self.folder).free < LEAST_FREE:
            raise Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "The server's disk is full. Try again later.")
        try:
            async with asyncio.timeout_at(self.deadline):  # `wait_for` would make a task of every chunk
                message = await self.receive()
        except TimeoutError:
            detail = f"The request did not arrive within {self.seconds:.0f} seconds."
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        self.is_complete = message["type"] != "http.request" or not message.get("more_body")
        return message


class _Replay:
    """Receives a body that was read already, then what follows."""

    def __init__(self, body: bytes, receive):
        self.body, self.receive, self.is_given = body, receive, False

    async def __call__(self) -> dict:
        if self.is_given:
            return await self.receive()
        self.is_given = True
        return {"type": "http.request", "body": self.body, "more_body": False}


def header(scope, name: bytes) -> list[bytes]:
    """The values of a request's header; `name` is in lower case."""
    return [value for key, value in scope["headers"] if key.lower() == name]


def _is_upload(scope) -> bool:
    kinds = header(scope, b"content-type")
    return len(kinds) == 1 and kinds[0].lower().startswith(b"multipart/form-data")


def _hosts(scope) -> list[str]:
    """The names of this server in the request, also by a proxy in between, for example "localhost:7860"."""
    names = [*header(scope, b"host"), *header(scope, b"x-forwarded-host")]
    return [name.decode("latin-1") for name in names]


def _files(content) -> Iterator[dict]:
    """Every object of a JSON document with a "path", which is where gradio looks for a file."""
    values = [content]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)


async def _answer(send, status: HTTPStatus, content: dict) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
