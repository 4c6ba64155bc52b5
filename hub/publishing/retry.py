"""What to do when the Hub fails: try again what may pass, and say in one sentence what does not."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import TypeVar

from httpx2 import TimeoutException, TransportError
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils._http import parse_ratelimit_headers

from space.errors import ChestXrayError, UsageError, first_line

TRIES, FIRST_WAIT, LONGEST_WAIT = 5, 1.0, 60.0  # seconds
PASSING = (408, 412, 429, 500, 502, 503, 504)  # 412: somebody else pushed in between
# What the client raises; errors of an upload reach us as the cause of a RuntimeError, web pages in place of JSON as the
# last one.
FAILURES = (HfHubHTTPError, TransportError, ConnectionError, RuntimeError, JSONDecodeError)
# How the client's own transport for large files puts it; it has tried for minutes by then.
XET, XET_STATUS = "Request error", re.compile(r"HTTP status \w+ error \((\d{3})")
# One upload that fails closes the connection under the others that go on beside it.
CLOSED = "client has been closed"
Result = TypeVar("Result")


def retry(call: Callable[[], Result]) -> Result:
    """Call, and call again after errors that pass: the network's, and the Hub's 429 and 5xx, when it asks to wait.

    Raises:
        Exception: What the last call raised.
    """
    for number in range(TRIES):
        try:
            return call()
        except FAILURES as error:
            wait = _wait(error, number)
            if wait is None or number + 1 == TRIES:
                raise
            time.sleep(min(wait, LONGEST_WAIT))
    raise AssertionError


def _wait(error: Exception, number: int) -> float | None:
    """Seconds after which to try again after the `number`-th failure; None if that is no use."""
    answer = _answer(error)
    if answer is None:
        if XET in str(error) or (isinstance(error, RuntimeError) and not _is_network(error)):
            return None
        hopeless = isinstance(error, TimeoutException) and number  # the client itself tries some calls six times
        return None if hopeless else FIRST_WAIT * 2**number
    response = answer.response
    if response.status_code not in PASSING:
        return None
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    limit = parse_ratelimit_headers(response.headers) if response.status_code == 429 else None
    return float(limit.reset_in_seconds) if limit else FIRST_WAIT * 2**number


def _answer(error: BaseException) -> HfHubHTTPError | None:
    """The error that carries the Hub's answer, also if the client wrapped it; None if there was none."""
    if isinstance(error, HfHubHTTPError):
        return error
    return _answer(error.__cause__) if error.__cause__ else None


def _is_network(error: BaseException | None) -> bool:
    if error is None:
        return False
    return isinstance(error, (TransportError, ConnectionError)) or CLOSED in str(error) or _is_network(error.__cause__)


@contextmanager
def explained(repo: str, state: str = "Nothing half-done is there") -> Iterator[None]:
    """Turn what the client raises into one sentence.

    Args:
        repo: `owner/name`.
        state: What there is on the Hub if this fails.

    Raises:
        UsageError: The token may not write to `repo`, or that is no name.
        ChestXrayError: The Hub failed or cannot be reached.
    """
    try:
        yield
    except HFValidationError as error:
        raise UsageError(f"{repo!r} is no name of a repository: {first_line(error)} Give OWNER/NAME.") from None
    except LocalEntryNotFoundError as error:
        raise ChestXrayError(
            f"the commit cannot be downloaded for a check ({first_line(error)}) {state}; push again."
        ) from None
    except (*FAILURES, ValueError) as error:
        status, said = _status(error)
        if status == 401:
            raise UsageError(
                f"the Hub does not know this token (401{said}). Log in anew (`hf auth login`), or mend HF_TOKEN, which "
                "comes first."
            ) from None
        if status == 403:
            raise UsageError(
                f"the Hub does not let this token write to {repo} ({status}{said}). Use a token with write "
                "permission for that owner."
            ) from None
        if status is None and not _is_network(error) and not isinstance(error, ValueError):
            raise
        what = "gives no answer that makes sense" if isinstance(error, ValueError) else "cannot be reached"
        what = f"failed ({status}{said})" if status else f"{what} ({first_line(error)})"
        raise ChestXrayError(f"the Hub {what}. {state}; check the network and push again.") from None


def _status(error: Exception) -> tuple[int | None, str]:
    """The status that the Hub answered with, and where and what it said besides; never an address's secrets."""
    if answer := _answer(error):
        said = " ".join((answer.server_message or "").split())[:300]
        return answer.response.status_code, f" from {answer.response.url.path}{': ' if said else ''}{said}"
    found = XET_STATUS.search(str(error))
    return (int(found[1]) if found else None), ""


@contextmanager
def full_disk_explained(repo: str, commit: str, cache: str) -> Iterator[None]:
    """Tell that a commit is on the Hub, though this disk has no room for the check.

    Raises:
        ChestXrayError: With what to do.
    """
    try:
        yield
    except OSError as error:
        if not error.errno or isinstance(error, ConnectionError):
            raise
        raise ChestXrayError(
            f"{repo} is pushed (commit {commit}), but could not be downloaded for a check: "
            f"{os.strerror(error.errno)} ({Path(cache).parent}). Make room there, or set TMPDIR to a place that has "
            "some, and push again: what arrived is not sent twice."
        ) from None
