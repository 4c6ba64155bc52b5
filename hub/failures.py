"""What to do when the Hub fails: try again what may pass, and say in one sentence what does not."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from httpx2 import TimeoutException, TransportError
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from space.errors import ChestXrayError, UsageError, first_line

TRIES, FIRST_WAIT, LONGEST_WAIT = 5, 1.0, 60.0  # seconds
PASSING = (408, 429, 500, 502, 503, 504)
# What the client raises; errors of an upload reach us as the cause of a RuntimeError.
FAILURES = (HfHubHTTPError, TransportError, ConnectionError, RuntimeError)
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
    response = _response(error)
    if response is None:
        if isinstance(error, RuntimeError) and not _is_network(error):
            return None
        hopeless = isinstance(error, TimeoutException) and number  # the client itself tries some calls six times
        return None if hopeless else FIRST_WAIT * 2**number
    if response.status_code not in PASSING:
        return None
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else FIRST_WAIT * 2**number


def _response(error: BaseException):
    """The Hub's answer that an error is about, also if the client wrapped it; None if there was none."""
    if isinstance(error, HfHubHTTPError):
        return error.response
    return _response(error.__cause__) if error.__cause__ else None


def _is_network(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, (TransportError, ConnectionError)) or _is_network(error.__cause__))


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Turn what the client raises into one sentence.

    Raises:
        UsageError: The token may not write to `repo`, or that is no name.
        ChestXrayError: The Hub failed or cannot be reached.
    """
    try:
        yield
    except HFValidationError as error:
        raise UsageError(f"{repo!r} is no name of a repository: {first_line(error)} Give OWNER/NAME.") from None
    except LocalEntryNotFoundError as error:
        raise ChestXrayError(f"the commit cannot be downloaded for a check ({first_line(error)}) Push again.") from None
    except FAILURES as error:
        response = _response(error)
        if response is not None and response.status_code in (401, 403):
            raise UsageError(
                f"the Hub does not let this token write to {repo} ({response.status_code}). Use a token with "
                "write permission for that owner (`hf auth login`)."
            ) from None
        if response is None and not _is_network(error):
            raise
        what = "failed" if response is not None else "cannot be reached"
        raise ChestXrayError(
            f"the Hub {what} ({first_line(error)}) Nothing half-done is there; check the network and push again."
        ) from None


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
