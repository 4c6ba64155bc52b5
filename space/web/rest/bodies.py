"""The body of a request: raw bytes, one file of a form, or the JSON that `huggingface_hub.InferenceClient` sends."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from space.web.rest.problems import Problem, RequestCode

FORM, JSON = "multipart/form-data", "application/json"
FRAMING = 2**16  # bytes that a form or a JSON body may have besides its file
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
T = TypeVar("T")


@checked(frozen=True, config=STRICT)
class Parameters:
    """What a JSON body may ask for."""

    top_k: int | None = Field(default=None, ge=1)
    """Answer with so many of the most probable labels; null: with all."""
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    """What turns logits into scores; null: softmax, which gives the model's probabilities."""


@checked(frozen=True, config=STRICT)
class JsonBody:
    """A JSON body, as Hugging Face's inference API takes it."""

    inputs: str
    """The file in base64."""
    parameters: Parameters | None = None
    """How to answer."""


@dataclass(frozen=True)
class Upload:
    """What a body holds.

    Attributes:
        content: The file.
        parameters: Of a JSON body; None for other bodies.
    """

    content: bytes
    parameters: Parameters | None = None


def kind_of(content_type: bytes) -> str:
    """The media type that decides how a body is read: `FORM`, `JSON`, or another, for a file's bytes themselves."""
    return parse_options_header(content_type)[0].decode("latin-1").strip().lower()


def most_bytes(kind: str, max_bytes: int) -> int:
    """The largest body of a kind whose file has at most `max_bytes` bytes."""
    if kind == JSON:
        return (max_bytes + 2) // 3 * 4 + FRAMING
    return max_bytes + (FRAMING if kind == FORM else 0)


def read_upload(body: bytes, content_type: bytes) -> Upload:
    """Take a body apart.

    Raises:
        Problem: It is malformed.
    """
    kind = kind_of(content_type)
    if kind == FORM:
        return Upload(_file_of_form(body, parse_options_header(content_type)[1].get(b"boundary", b"")))
    if kind == JSON:
        return _of_json(body)
    return Upload(body)


def check(kind: type[T], values: Mapping[str, object], what: str) -> T:
    """Make a checked dataclass of values, or explain in a sentence what is wrong with the first wrong one.

    Raises:
        Problem: A value is missing, unknown or not allowed.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            allowed = ", ".join(kind.__dataclass_fields__)
            sentence = f"There is no {what} {name[:60]!r}. Allowed: {allowed}."
        else:
            sentence = f"The {what} {name[:60]!r} is not valid: {first['msg']}."
        raise Problem(RequestCode.BAD_PARAMETER, sentence) from None


def _of_json(body: bytes) -> Upload:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(RequestCode.BAD_REQUEST, "The body is not JSON, although its Content-Type says so.") from None
    if not isinstance(values, dict):
        raise Problem(RequestCode.BAD_REQUEST, 'The JSON body must be an object: {"inputs": "<base64>"}.')
    request = check(JsonBody, values, "JSON key")
    try:
        return Upload(base64.b64decode(request.inputs, validate=True), request.parameters or Parameters())
    except (binascii.Error, ValueError):
        raise Problem(RequestCode.BAD_REQUEST, "inputs must be the file in base64, and nothing else.") from None


def _file_of_form(body: bytes, boundary: bytes) -> bytes:
    """The only file of a form."""
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise Problem(RequestCode.BAD_REQUEST, "The form cannot be read: it is malformed or cut off.") from None
    if not form.is_complete or len(form.files) != 1:
        raise Problem(RequestCode.BAD_REQUEST, f"The form must hold one file, and nothing else; it has {form.parts}.")
    return form.files[0]


class _Form:
    """Collects the parts of a form in memory."""

    def __init__(self):
        self.files: list[bytes] = []
        self.is_complete, self._n_parts = False, 0
        self._name, self._value, self._disposition = b"", b"", b""
        self._chunks: list[bytes] = []

    @property
    def parts(self) -> str:
        """How many there are, for a message."""
        return f"{self._n_parts} parts, of which {len(self.files)} are files"

    def callbacks(self) -> dict[str, Callable]:
        """What the parser calls."""
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in names}

    def _part_begin(self) -> None:
        self._n_parts += 1
        self._disposition, self._chunks = b"", []

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])

    def _part_end(self) -> None:
        if b"filename" in parse_options_header(self._disposition)[1]:
            self.files.append(b"".join(self._chunks))

    def _end(self) -> None:
        self.is_complete = True
