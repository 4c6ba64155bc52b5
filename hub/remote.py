"""A repository on the Hub, written in one commit and checked by what comes back."""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from httpx2 import TransportError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, get_token, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from hub.contents import Contents
from space.errors import ChestXrayError, UsageError, first_line

KEPT = (".gitattributes",)  # the Hub's own, never deleted
TRIES, FIRST_WAIT, LONGEST_WAIT = 5, 1.0, 60.0  # seconds
PASSING = (408, 429, 500, 502, 503, 504)
# What the client raises; errors of an upload reach us as the cause of a RuntimeError.
FAILURES = (HfHubHTTPError, TransportError, ConnectionError, RuntimeError)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Pushed:
    """A commit on the Hub.

    Attributes:
        url: Of the repository at that commit.
        commit: Its SHA.
        is_new: Whether this push made it; else the repository held the same files already.
    """

    url: str
    commit: str
    is_new: bool


@dataclass(frozen=True)
class Target:
    """Where to push.

    Attributes:
        repo: `owner/name`.
        kind: "model", "dataset" or "space".
        public: Whether everybody may see it.
        revision: Branch; None for main.
        tag: Name for the commit; None for none.
    """

    repo: str
    kind: str
    public: bool
    revision: str | None
    tag: str | None


def check_token() -> None:
    """Look for a token in huggingface_hub's own places.

    Raises:
        UsageError: There is none.
    """
    if not get_token():
        raise UsageError(
            "no token for the Hugging Face Hub. Make one with write permission at "
            "https://huggingface.co/settings/tokens, then `hf auth login`, or put it into the environment variable "
            "HF_TOKEN."
        )


def push(target: Target, contents: Contents, message: str) -> Pushed:
    """Make a repository hold exactly these files, in one commit; no commit where it does already.

    Args:
        target: Where.
        contents: What.
        message: The commit's summary.

    Raises:
        UsageError: The token may not write there, the name is impossible, or the repository is public unasked.
        ChestXrayError: The Hub failed, also after several tries; nothing is visible there then.
    """
    api = HfApi()
    with _explained(target):
        _create(api, target)
        _validate_card(contents, target)
        head = _retry(lambda: api.repo_info(target.repo, repo_type=target.kind, revision=target.revision)).sha
        done = _retry(lambda: _commit(api, target, contents, message))
        if target.tag:
            where = {"revision": done.oid, "repo_type": target.kind}
            _retry(lambda: api.create_tag(target.repo, tag=target.tag, exist_ok=True, **where))
    prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[target.kind]
    return Pushed(f"{api.endpoint}/{prefix}{target.repo}/tree/{done.oid}", done.oid, done.oid != head)


def _create(api: HfApi, target: Target) -> None:
    """Make the repository and the branch where they are not there."""
    sdk = "gradio" if target.kind == "space" else None
    private = not target.public
    _retry(lambda: api.create_repo(target.repo, repo_type=target.kind, private=private, exist_ok=True, space_sdk=sdk))
    if target.revision:
        _retry(lambda: api.create_branch(target.repo, branch=target.revision, repo_type=target.kind, exist_ok=True))
    info = _retry(lambda: api.repo_info(target.repo, repo_type=target.kind))
    if info.private is False and not target.public:
        raise UsageError(f"{target.repo} is public already: everybody would see this. Add --public if that is meant.")


def _validate_card(contents: Contents, target: Target) -> None:
    """Have the Hub check the card's front matter before anything is uploaded."""
    try:
        card = RepoCard(contents.files["README.md"].read_text(encoding="utf-8"))
        _retry(lambda: card.validate(repo_type=target.kind))
    except ValueError as error:
        raise ChestXrayError(f"the Hub refuses the card (README.md): {first_line(error)}") from None


def _commit(api: HfApi, target: Target, contents: Contents, message: str):
    """One commit; asked again after a lost answer, it finds nothing left to do."""
    there = api.list_repo_files(target.repo, repo_type=target.kind, revision=target.revision)
    gone = [name for name in there if name not in contents.files and name not in KEPT]
    operations = [CommitOperationAdd(name, path) for name, path in contents.files.items()]
    operations += [CommitOperationDelete(name) for name in gone]
    return api.create_commit(
        target.repo, operations, commit_message=message, repo_type=target.kind, revision=target.revision
    )


def check_arrived(target: Target, commit: str, contents: Contents, check: Callable[[Path], None] | None) -> None:
    """Download a commit into an empty cache and compare every file.

    Args:
        target: Where it lies.
        commit: Its SHA.
        contents: What was pushed.
        check: Is asked about the downloaded folder besides.

    Raises:
        ChestXrayError: Something else came back.
    """
    with tempfile.TemporaryDirectory() as cache, _explained(target):
        folder = Path(
            _retry(lambda: snapshot_download(target.repo, repo_type=target.kind, revision=commit, cache_dir=cache))
        )
        for name, path in contents.files.items():
            if not (folder / name).is_file() or _digest(folder / name) != _digest(path):
                raise ChestXrayError(
                    f"{target.repo} at {commit} does not give back {name} as it was pushed. Push again; if that does "
                    "not help, delete the repository first."
                )
        if check:
            check(folder)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _retry(call: Callable[[], Result]) -> Result:
    """Call, and call again after errors that pass: the network's, and the Hub's 429 and 5xx, when it asks to wait."""
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
        return None if isinstance(error, RuntimeError) and not _is_network(error) else FIRST_WAIT * 2**number
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
def _explained(target: Target) -> Iterator[None]:
    """Turn what the client raises into one sentence."""
    try:
        yield
    except HFValidationError as error:
        raise UsageError(f"{target.repo!r} is no name of a repository: {first_line(error)} Give OWNER/NAME.") from None
    except LocalEntryNotFoundError as error:
        raise ChestXrayError(f"the commit cannot be downloaded for a check ({first_line(error)}) Push again.") from None
    except FAILURES as error:
        response = _response(error)
        if response is not None and response.status_code in (401, 403):
            raise UsageError(
                f"the Hub does not let this token write to {target.repo} ({response.status_code}). Use a token with "
                "write permission for that owner (`hf auth login`)."
            ) from None
        if response is None and not _is_network(error):
            raise
        what = "failed" if response is not None else "cannot be reached"
        raise ChestXrayError(
            f"the Hub {what} ({first_line(error)}) Nothing half-done is there; check the network and push again."
        ) from None
