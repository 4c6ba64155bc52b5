"""What stands before gradio: a sign of life, limits of a request, and no fetching of files on a visitor's word."""

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from space.errors import XrayError
from space.web.fetch import fetch_to_file
from space.web.settings import Settings
from space.web.uploads import upload_folder

MOST_BYTES = 2**20  # of a request that is no upload: it holds names of files and numbers
LEAST_FREE = 500 * 10**6  # bytes of the disk that uploads leave alone
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*:/", re.IGNORECASE)
FILE_ROUTE = re.compile(r"(/gradio_api)?/file[=/](?P<file>.*)", re.DOTALL)
NOT_FETCHED = (
    "Files are taken as uploads alone, never fetched from an address. Upload the file first, as the page does."
)


class _Refusal(Exception):
    """A request that gradio is not to see.

    Args:
        status: Of the answer.
        detail: What the answer says.
    """

    def __init__(self, status: HTTPStatus, detail: str):
        super().__init__(detail)
        self.status, self.detail = status, detail


class Gateway:
    """ASGI middleware: answers `GET /healthz`, bounds requests, and takes the fetching of files from gradio.

    A file may be given to gradio as an address, which it would fetch by itself, wherever it leads. Here an address of
    this server's own uploads becomes the upload, any other is fetched by `space.web.fetch` where that is allowed.

    Args:
        app: What stands behind.
        settings: Limits.
    """

    def __init__(self, app, settings: Settings):
        self.app, self.settings = app, settings

    async def __call__(self, scope, receive, send) -> None:
        """Pass a request on, unless it is answered here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "GET" and scope["path"] == "/healthz":
            await _answer(send, HTTPStatus.OK, {"status": "ok"})
            return
        try:
            await self._pass_on(scope, receive, send)
        except _Refusal as refusal:
            await _answer(send, refusal.status, {"detail": refusal.detail})

    async def _pass_on(self, scope, receive, send) -> None:
        if (asked := FILE_ROUTE.fullmatch(scope["path"])) and ADDRESS.match(asked["file"]):
            raise _Refusal(HTTPStatus.NOT_FOUND, "There is no such file.")  # gradio would send visitors there
        if scope["method"] == "POST":
            receive = _Bounded(receive, self.settings.max_seconds)
            if not _is_upload(scope):
                receive = _Replay(await self._inspect(scope, receive), receive)
        await self.app(scope, receive, send)

    async def _inspect(self, scope, receive) -> bytes:
        """The body of a request, every file in it one that lies here."""
        body = bytearray()
        while not receive.is_complete:
            body += (await receive()).get("body", b"")
            if len(body) > MOST_BYTES:
                raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return bytes(body)  # nor can gradio read it
        files = [file for file in _files(content) if ADDRESS.match(file["path"])]
        if len(files) > self.settings.max_batch_files:
            raise _Refusal(HTTPStatus.BAD_REQUEST, f"At most {self.settings.max_batch_files} files are taken.")
        for file in files:
            file["path"] = await self._bring(file["path"].strip(), _hosts(scope))
        return json.dumps(content).encode() if files else bytes(body)

    async def _bring(self, address: str, hosts: list[str]) -> str:
        """Where the file at an address lies on this machine."""
        try:
            parts = urlsplit(address)
        except ValueError:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "This is no address.") from None
        own = FILE_ROUTE.fullmatch(unquote(parts.path))
        if own and parts.netloc in hosts and not ADDRESS.match(own["file"]):
            return own["file"]  # gradio looks whether it is an upload
        if not self.settings.allow_url_input:
            raise _Refusal(HTTPStatus.BAD_REQUEST, NOT_FETCHED)
        try:
            return str(await asyncio.to_thread(fetch_to_file, address, self.settings.limits.max_bytes))
        except XrayError as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None


class _Bounded:
    """Receives a request that must arrive in time, and find room on the disk."""

    def __init__(self, receive, seconds: float):
        self.receive, self.seconds, self.is_complete = receive, seconds, False
        self.deadline, self.folder = asyncio.get_running_loop().time() + seconds, upload_folder()

    async def __call__(self) -> dict:
        if self.is_complete:  # what comes now is no more than that the visitor leaves
            return await self.receive()
        if shutil.disk_usage(self.folder).free < LEAST_FREE:
            raise _Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "The disk is full. Please come back later.")
        try:
            async with asyncio.timeout_at(self.deadline):  # `wait_for` would make a task of every piece
                message = await self.receive()
        except TimeoutError:
            detail = f"The request did not arrive within {self.seconds:.0f} seconds."
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        self.is_complete = message["type"] != "http.request" or not message.get("more_body")
        return message


class _Replay:
    """Receives a body that was read already, and then what else comes."""

    def __init__(self, body: bytes, receive):
        self.body, self.receive, self.is_given = body, receive, False

    async def __call__(self) -> dict:
        if self.is_given:
            return await self.receive()
        self.is_given = True
        return {"type": "http.request", "body": self.body, "more_body": False}


def _header(scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _is_upload(scope) -> bool:
    kinds = _header(scope, b"content-type")
    return len(kinds) == 1 and kinds[0].lower().startswith(b"multipart/form-data")


def _hosts(scope) -> list[str]:
    """What the request, and a proxy in between, call this server, for example "localhost:7860"."""
    named = [*_header(scope, b"host"), *_header(scope, b"x-forwarded-host")]
    return [name.decode("latin-1") for name in named]


def _files(content) -> Iterator[dict]:
    """Every object of a JSON document that has a "path", which is where gradio looks for a file."""
    found = [content]
    while found:
        value = found.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value
            found.extend(value.values())
        elif isinstance(value, list):
            found.extend(value)


async def _answer(send, status: HTTPStatus, content: dict) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
