"""The ASGI app before gradio's: requests below `/api/` in, answers or errors in JSON out."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from space.web.details import software
from space.web.middleware import Bounded, Refusal, header
from space.web.rest.answers import Answer, ClassifyQuery, ExplainQuery, as_json, classify, explain
from space.web.rest.bodies import check, kind_of, most_bytes, read_upload
from space.web.rest.line import Line
from space.web.rest.openapi import describe
from space.web.rest.problems import Problem, RequestCode
from space.web.service import ModelService
from space.web.settings import Settings

PREFIX = "/api/"
MOST_PARAMETERS = 20
COMMON = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Endpoint(NamedTuple):
    """What answers a POST request.

    Attributes:
        answer: Computes, in a thread.
        query: What the address may ask for.
        summary: What it does, for the description.
    """

    answer: Callable
    query: type
    summary: str


ENDPOINTS = {
    "/api/classify": Endpoint(classify, ClassifyQuery, "Label probabilities of one frontal chest X-ray."),
    "/api/explain": Endpoint(explain, ExplainQuery, "Grad-CAM of one class over a frontal chest X-ray."),
}


class _Gone(Exception):
    """The client is not there any more."""


class Door:
    """ASGI middleware: answers what is below `/api/`, and passes everything else on.

    Args:
        app: The ASGI app behind.
        models: The services, by their model's name; the first one answers where no model is named.
        settings: Limits.
    """

    def __init__(self, app, models: Mapping[str, ModelService], settings: Settings):
        self.app, self.models, self.settings = app, models, settings
        self.line = Line(settings)
        software()  # reads files, which the first visitor shall not wait for
        description = describe(ENDPOINTS, list(models), settings)
        self.pages = {
            "/api/openapi.json": as_json(description),
            "/api/docs": _page(Path(__file__).with_name("docs.html").read_text(encoding="utf-8")),
        }

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        receive = Bounded(receive, self.settings.max_seconds)
        try:
            answer = await self._answer(scope, receive)
        except _Gone:
            return
        except Problem as problem:
            await self._discard(scope, receive)
            content = {"error": problem.sentence, "code": problem.code}
            answer = as_json(content, headers=problem.headers, status=problem.status)
        await _send(send, answer, scope["method"] == "HEAD")

    async def _answer(self, scope, receive: Bounded) -> Answer:
        path, method = scope["path"], scope["method"]
        if page := self.pages.get(path):
            if method not in ("GET", "HEAD"):
                raise _wrong_method(method, "GET, HEAD")
            return page
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            places = ", ".join([*ENDPOINTS, *self.pages])
            raise Problem(RequestCode.NOT_FOUND, f"There is nothing at this address. There is: {places}.")
        if method != "POST":
            raise _wrong_method(method, "POST")
        query = check(endpoint.query, _parameters(scope), "parameter")
        service = self._service(query.model)
        content_type = b"".join(header(scope, b"content-type"))
        with self.line.holding() as hold:
            body = await self._body(scope, receive, most_bytes(kind_of(content_type), self.max_bytes), hold)
            return await self.line.run(lambda: endpoint.answer(service, read_upload(body, content_type), query))

    @property
    def max_bytes(self) -> int:
        """Largest file."""
        return self.settings.limits.max_bytes

    def _service(self, name: str | None) -> ModelService:
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            sentence = f"There is no model {name[:60]!r}. There is: {', '.join(self.models)}."
            raise Problem(RequestCode.UNKNOWN_MODEL, sentence)
        return self.models[name]

    async def _body(self, scope, receive: Bounded, most: int, hold: Callable[[int], None]) -> bytes:
        """The whole body of a request, which must not be larger than `most` bytes."""
        if set(header(scope, b"content-encoding")) - {b"identity"}:
            raise Problem(RequestCode.ENCODED, "Compressed bodies are not accepted. Send the file as it is.")
        too_large = Problem(
            RequestCode.TOO_LARGE, f"The file is too large: at most {self.settings.max_upload_mb} MB are allowed."
        )
        lengths = header(scope, b"content-length")
        if lengths and int(lengths[0]) > most:
            raise too_large
        chunks, total = [], 0
        while not receive.is_complete:
            try:
                message = await receive()
            except Refusal as refusal:
                raise Problem(RequestCode.TOO_SLOW, refusal.detail) from None
            if message["type"] == "http.disconnect":
                raise _Gone
            chunk = message.get("body", b"")
            total += len(chunk)
            if total > most:
                raise too_large
            hold(len(chunk))
            chunks.append(chunk)
        return b"".join(chunks)

    async def _discard(self, scope, receive: Bounded) -> None:
        """Take the rest of a body in, up to a limit: who still sends does not read, and would miss the answer."""
        if header(scope, b"expect"):
            return  # this client waits before it sends
        left = most_bytes("", self.max_bytes) * 2
        try:
            while not receive.is_complete and left > 0:
                left -= len((await receive()).get("body", b""))
        except Refusal:
            return


def before_gradio(models: Mapping[str, ModelService], settings: Settings) -> Callable:
    """A lifespan that puts the door before everything: gradio wraps its own CORS headers and its compression around
    any middleware that it is given."""

    @asynccontextmanager
    async def lifespan(app) -> AsyncIterator[None]:
        app.middleware_stack = Door(app.middleware_stack, models, settings)
        yield

    return lifespan


def _parameters(scope) -> dict[str, str]:
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="strict")
    except ValueError:
        raise Problem(RequestCode.BAD_PARAMETER, "The parameters of the address cannot be read.") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise Problem(RequestCode.BAD_PARAMETER, "A parameter of the address is given twice.")
    return parameters


def _wrong_method(method: str, allowed: str) -> Problem:
    sentence = f"{method[:20]} is not allowed here. Allowed: {allowed}."
    return Problem(RequestCode.METHOD_NOT_ALLOWED, sentence, [(b"allow", allowed.encode())])


def _page(text: str) -> Answer:
    """The documentation, whose policy lets it load nothing, and use no style but its own."""
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return Answer(text.encode(), "text/html; charset=utf-8", [(b"content-security-policy", policy.encode())])


async def _send(send, answer: Answer, is_head: bool) -> None:
    length = str(len(answer.content)).encode()
    headers = [(b"content-type", answer.media_type.encode()), (b"content-length", length), *COMMON, *answer.headers]
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.content})
