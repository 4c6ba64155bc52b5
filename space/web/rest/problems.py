"""Why a request has no answer: a code that stays the same, its HTTP status, a sentence."""

from enum import StrEnum, auto
from http import HTTPStatus

from space.errors import ErrorCode
from space.inference.guard import Doubt


class RequestCode(StrEnum):
    """What is wrong with a request itself; a file's own codes are `ErrorCode` and, where the guard refuses, `Doubt`."""

    BAD_REQUEST = auto()
    BAD_PARAMETER = auto()
    NOT_FOUND = auto()
    UNKNOWN_MODEL = auto()
    METHOD_NOT_ALLOWED = auto()
    TOO_SLOW = auto()
    TOO_LARGE = auto()
    ENCODED = auto()
    BUSY = auto()


# Status of each code that an answer may have.
STATUS: dict[str, HTTPStatus] = {
    RequestCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    RequestCode.BAD_PARAMETER: HTTPStatus.BAD_REQUEST,
    ErrorCode.EMPTY: HTTPStatus.BAD_REQUEST,
    RequestCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    RequestCode.UNKNOWN_MODEL: HTTPStatus.NOT_FOUND,
    RequestCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    RequestCode.TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    RequestCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.TOO_MANY_BYTES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.TOO_MANY_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RequestCode.ENCODED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.UNKNOWN_FORMAT: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.UNSUPPORTED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.SEVERAL_FRAMES: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.DAMAGED: HTTPStatus.UNPROCESSABLE_ENTITY,
    **{doubt: HTTPStatus.UNPROCESSABLE_ENTITY for doubt in Doubt if doubt.withholds},
    RequestCode.BUSY: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.NOT_FINITE: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(Exception):
    """A request that gets an error instead of an answer.

    Args:
        code: One of `STATUS`.
        sentence: What was given, what is allowed, what to do.
        headers: Of the answer, as ASGI wants them.
    """

    def __init__(self, code: str, sentence: str, headers: list[tuple[bytes, bytes]] | None = None):
        super().__init__(sentence)
        self.code, self.sentence, self.headers = code, sentence, headers or []

    @property
    def status(self) -> HTTPStatus:
        """Of the answer."""
        return STATUS[self.code]
