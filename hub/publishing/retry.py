"""What to do when the Hub fails: retry what may succeed, and explain in one sentence what does not."""

import errno
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TypeVar

from httpx2 import Client, TimeoutException, TransportError
from huggingface_hub import get_session, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import parse_ratelimit_headers

from space.errors import ChestXrayError, UsageError, first_line

LONGEST_SILENCE = 60.0  # seconds without a word from the Hub; its client would wait for ever
TRIES, FIRST_WAIT, LONGEST_WAIT = 5, 1.0, 60.0  # seconds
PASSING = (408, 412, 429, 500, 502, 503, 504)  # 412: somebody else pushed in between
# What the client raises. Errors of an upload come as the cause of a RuntimeError, a web page in place of JSON as the
# last one.
FAILURES = (HfHubHTTPError, TransportError, ConnectionError, RuntimeError, JSONDecodeError)
# How the client's own transport for large files words it; it has tried for minutes by then.
XET, XET_STATUS = "Request error", re.compile(r"HTTP status \w+ error \((\d{3})")
# One upload that fails closes the connection under the others that go on beside it.
CLOSED = "client has been closed"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Result = TypeVar("Result")


def limit_silence() -> None:
    """Have the Hub's client give up on a connection that stays silent for `LONGEST_SILENCE`."""
    hooks = get_session().event_hooks  # the client's own: request ids, offline mode
    set_client_factory(lambda: Client(event_hooks=hooks, follow_redirects=True, timeout=LONGEST_SILENCE))


def retry(call: Callable[[], Result]) -> Result:
    """Call, and call again after errors that pass: the network's, and the Hub's 429 and 5xx, when it asks to wait.

    Raises:
        Exception: What the last call raised.
    """
    for number in range(TRIES - 1):
        try:
            return call()
        except FAILURES as error:
            wait = _wait(error, number)
            if wait is None:
                raise
            time.sleep(min(wait, LONGEST_WAIT))
    return call()


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
def explained(repo: str, state: str = "Nothing was pushed") -> Iterator[None]:
    """Turn what the Hub's client raises into one sentence.

    Args:
        repo: `owner/name`.
        state: What is on the Hub if this fails.

    Raises:
        UsageError: The token is not valid, or may not write to `repo`.
        ChestXrayError: The Hub failed or cannot be reached, or the disk is full.
    """
    try:
        yield
    except LocalEntryNotFoundError as error:
        raise ChestXrayError(f"the download failed: {first_line(error)} {state}; push again.") from None
    except (*FAILURES, ValueError) as error:
        if not (explanation := _explain(error, repo, state)):
            raise
        raise explanation from None
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise ChestXrayError(
            f"{os.strerror(error.errno)} ({tempfile.gettempdir()}). {state}. Free some space there, or set TMPDIR to a "
            "folder with more, and push again: what has arrived is not sent twice."
        ) from None


def _explain(error: Exception, repo: str, state: str) -> ChestXrayError | None:
    """The sentence for a failure; None if it has nothing to do with the Hub."""
    status, said = _status(error)
    if status == 401:
        return UsageError(
            f"the Hub rejected the token (401{said}). Log in again (`hf auth login`), or correct HF_TOKEN, which takes "
            "precedence."
        )
    if status == 403:
        return UsageError(
            f"the token may not write to {repo} (403{said}). Use a token with write permission for that owner."
        )
    if status:
        what = f"failed ({status}{said})"
    elif isinstance(error, ValueError):
        what = f"returned an invalid answer ({first_line(error)})"
    elif _is_network(error):
        what = f"cannot be reached ({first_line(error)})"
    else:
        return None
    return ChestXrayError(f"the Hub {what}. {state}; check the network and push again.")


def _status(error: Exception) -> tuple[int | None, str]:
    """The status that the Hub answered with, and where and what it said besides; never an address's secrets."""
    if answer := _answer(error):
        said = " ".join((answer.server_message or "").split())[:300]
        return answer.response.status_code, f" from {answer.response.url.path}{': ' if said else ''}{said}"
    match = XET_STATUS.search(str(error))
    return (int(match[1]) if match else None), ""
