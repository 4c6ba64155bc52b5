"""A repository on the Hub, written in one commit and checked by what comes back."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetInfo,
    HfApi,
    ModelInfo,
    RepoCard,
    RepoFile,
    SpaceInfo,
    get_token,
    snapshot_download,
)
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from hub.publishing.allowlist import Contents
from hub.publishing.retry import FAILURES, LONGEST_SILENCE, explained, limit_silence, retry
from space.errors import ChestXrayError, UsageError, first_line

KEPT = (".gitattributes",)  # the Hub's own, never deleted
# Files by which a repository is known to be one of ours, which a push may make anew.
OURS = {"model": "golden.safetensors", "dataset": "audit.json", "space": "space/default-model/config.json"}


@dataclass(frozen=True)
class Pushed:
    """A commit on the Hub.

    Attributes:
        url: Of the repository at that commit.
        commit: Its SHA.
        is_new: Whether this push made it; else the repository held the same files already.
        public: Whether everybody sees it.
    """

    url: str
    commit: str
    is_new: bool
    public: bool


@dataclass(frozen=True)
class Target:
    """Where to push.

    Attributes:
        repo: `owner/name`.
        kind: "model", "dataset" or "space".
        public: Whether everybody may see it.
        revision: Branch; None for main.
        tag: Name for the commit; None for none.
        licence: Of a dataset, as its publisher states it; None: the card's own.
    """

    repo: str
    kind: str
    public: bool
    revision: str | None
    tag: str | None
    licence: str | None = None


def check_token() -> None:
    """Look for a token in huggingface_hub's own places.

    Raises:
        UsageError: There is none.
    """
    if not get_token():
        raise UsageError(
            "there is no token for the Hugging Face Hub. Make one with write permission at "
            "https://huggingface.co/settings/tokens, then run `hf auth login` or set the environment variable HF_TOKEN."
        )


def check_model(repo: str, commit: str) -> bool:
    """Whether a commit of a model is there, for a Space to load; tells whether it is private.

    Raises:
        UsageError: It is not there.
        ChestXrayError: The Hub failed or cannot be reached.
    """
    limit_silence()
    with explained(repo):
        try:
            info = retry(lambda: HfApi().model_info(repo, revision=commit, timeout=LONGEST_SILENCE))
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise UsageError(f"{repo} at {commit[:7]} is no longer on the Hub. Push the model first.") from None
    return bool(info.private)


def push(target: Target, contents: Contents, message: str) -> Pushed:
    """Make a repository hold exactly these files, in one commit; no commit where it does already.

    Args:
        target: Where.
        contents: What.
        message: The commit's summary.

    Raises:
        UsageError: The token may not write there, the name is impossible, the repository is public unasked, holds
            something else, or the tag is another commit's.
        ChestXrayError: The Hub failed, also after several tries; nothing is visible there then.
    """
    limit_silence()
    api = HfApi()
    state = "Nothing was pushed"
    with explained(target.repo):
        if not retry(lambda: api.repo_exists(target.repo, repo_type=target.kind)):
            state = f"Nothing was pushed; if {target.repo} was created, it is empty"
    with explained(target.repo, state):
        public = _create(api, target)
        _validate_card(contents, target)
        head = _commit_of(api, target, target.revision)
        _check_ours(retry(lambda: _files(api, target)), target, contents)
        tagged = _commit_of(api, target, target.tag) if target.tag else None
        if tagged and (tagged != head or retry(lambda: _changes(_files(api, target), contents))):
            raise UsageError(f"--tag {target.tag} is commit {tagged[:7]} of {target.repo} already. Choose another tag.")
        try:
            made = retry(lambda: _commit(api, target, contents, message))
        except KeyboardInterrupt:
            raise ChestXrayError(f"interrupted: {_arrived(api, target, contents) or state}. Push again.") from None
        commit = made or _commit_of(api, target, target.revision)
    with explained(target.repo, f"Commit {commit} was pushed, without the tag"):
        if target.tag and not tagged:
            where = {"revision": commit, "repo_type": target.kind}
            retry(lambda: api.create_tag(target.repo, tag=target.tag, exist_ok=True, **where))
    prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[target.kind]
    return Pushed(f"{api.endpoint}/{prefix}{target.repo}/tree/{commit}", commit, commit != head, public)


def _create(api: HfApi, target: Target) -> bool:
    """Make the repository and the branch where they are not there; tell whether everybody sees it."""
    sdk = "gradio" if target.kind == "space" else None
    private = not target.public
    retry(lambda: api.create_repo(target.repo, repo_type=target.kind, private=private, exist_ok=True, space_sdk=sdk))
    if target.revision:
        retry(lambda: api.create_branch(target.repo, branch=target.revision, repo_type=target.kind, exist_ok=True))
    info = _info(api, target)
    if info.private is False and not target.public:
        raise UsageError(
            f"{target.repo} exists and is public, so anyone could see this. Add --public if you want that."
        )
    return info.private is False


def _info(api: HfApi, target: Target, revision: str | None = None) -> ModelInfo | DatasetInfo | SpaceInfo:
    where = {"repo_type": target.kind, "revision": revision, "timeout": LONGEST_SILENCE}
    return retry(lambda: api.repo_info(target.repo, **where))


def _commit_of(api: HfApi, target: Target, revision: str | None) -> str | None:
    """SHA of a branch or tag; None if there is none of that name."""
    try:
        return _info(api, target, revision).sha
    except RevisionNotFoundError:
        return None


def _files(api: HfApi, target: Target) -> dict[str, RepoFile]:
    """{path: file} of everything that the branch holds."""
    entries = api.list_repo_tree(target.repo, recursive=True, repo_type=target.kind, revision=target.revision)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def _validate_card(contents: Contents, target: Target) -> None:
    """Have the Hub check the card's front matter before anything is uploaded."""
    try:
        card = RepoCard(contents.files["README.md"].read_text(encoding="utf-8"))
        retry(lambda: card.validate(repo_type=target.kind))
    except JSONDecodeError:
        raise  # no answer of the Hub's
    except ValueError as error:
        raise ChestXrayError(f"the Hub refuses the card (README.md): {first_line(error)}") from None


def _check_ours(there: dict[str, RepoFile], target: Target, contents: Contents) -> None:
    """Refuse to replace what somebody else's tools put there."""
    others = _gone(there, contents)
    if others and OURS[target.kind] not in there:
        raise UsageError(
            f"{target.repo} holds other files ({', '.join(others[:5])}{' …' if len(others) > 5 else ''}), which a push "
            "would delete. Choose another name, or empty that repository first."
        )


def _commit(api: HfApi, target: Target, contents: Contents, message: str) -> str | None:
    """One commit, whose SHA is returned; asked again after a lost answer, it finds nothing left to do: None."""
    parent = _commit_of(api, target, target.revision)
    if not (changes := _changes(_files(api, target), contents)):
        return None
    where = {"repo_type": target.kind, "revision": target.revision}
    return api.create_commit(target.repo, changes, commit_message=message, parent_commit=parent, **where).oid


def _arrived(api: HfApi, target: Target, contents: Contents) -> str:
    """What is known of a commit whose making was interrupted; "" if it is not on the Hub."""
    try:
        if _changes(_files(api, target), contents):
            return ""
        return f"commit {_commit_of(api, target, target.revision)} was pushed, but not checked"
    except FAILURES as error:
        return f"whether the commit arrived is not known ({first_line(error)})"


def _changes(there: dict[str, RepoFile], contents: Contents) -> list[CommitOperationAdd | CommitOperationDelete]:
    """What is to be done so that the repository holds exactly these files.

    `create_commit` skips unchanged files as well, but only on its way to a commit: whether a tag still fits must be
    known before.
    """
    changed = [name for name, path in contents.files.items() if name not in there or not _is_same(there[name], path)]
    additions = [CommitOperationAdd(name, contents.files[name]) for name in changed]
    return additions + [CommitOperationDelete(name) for name in _gone(there, contents)]


def _gone(there: dict[str, RepoFile], contents: Contents) -> list[str]:
    """Files of the repository that are not among these."""
    return [name for name in there if name not in contents.files and name not in KEPT]


def _is_same(there: RepoFile, path: Path) -> bool:
    """Whether a file of a repository has the content of one here, by the hash that the Hub knows it by."""
    if there.size != path.stat().st_size:
        return False
    if there.lfs:
        return there.lfs.sha256 == _digest(path)
    content = path.read_bytes()
    return there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's own


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
    state = f"Commit {commit} was pushed, but not checked"
    with tempfile.TemporaryDirectory() as cache, explained(target.repo, state):
        folder = Path(
            retry(lambda: snapshot_download(target.repo, repo_type=target.kind, revision=commit, cache_dir=cache))
        )
        for name, path in contents.files.items():
            if not (folder / name).is_file() or _digest(folder / name) != _digest(path):
                raise ChestXrayError(
                    f"{target.repo} at {commit} returns a different {name}. Push again; if that does not help, "
                    "delete the repository first."
                )
        if check:
            check(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
