"""Files of a model or dataset repository: in a folder, or on the Hub."""

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from space.errors import ChestXrayError, UsageError, check_local, first_line


class MissingFileError(UsageError):
    """A repository has no file of that name."""


class UnreachableError(ChestXrayError):
    """The Hub cannot be reached, and the file is not in its cache."""


def check_model(name: str, what: str) -> None:
    """Tell a mistake in a model's name before anything is loaded, which takes seconds.

    Args:
        name: Folder of a model, or `OWNER/NAME` on the Hub, which is not asked here.
        what: The option or thing that it was given for.

    Raises:
        UsageError: There is no such folder, or it has no config.json.
    """
    check_local(name, what)
    if Path(name).exists() and not (Path(name) / "config.json").is_file():
        raise UsageError(f"{what} {name}: no config.json. Give a folder with config.json and model.safetensors.")


def commit_of(name: str, revision: str | None) -> str | None:
    """The commit SHA that a revision of a repository stands for now; None for a folder.

    Raises:
        ChestXrayError: See `get_file`.
    """
    path = get_file(name, "config.json", revision)
    return None if Path(name).is_dir() else path.parent.name  # the cache keeps files below snapshots/COMMIT/


def get_file(name: str, file: str, revision: str | None = None, kind: str = "model") -> Path:
    """A file of a repository.

    Args:
        name: Folder, or `OWNER/NAME` on the Hub.
        file: Its name there.
        revision: Branch, tag or commit SHA on the Hub; None for the main branch.
        kind: "model" or "dataset".

    Raises:
        MissingFileError: The folder or repository has no such file.
        UnreachableError: The Hub cannot be reached, and the file is not in its cache.
        UsageError: There is no such folder, repository or revision.
        ChestXrayError: The Hub fails, or the file cannot be stored.
    """
    if Path(name).is_dir():
        path = Path(name) / file
        if not path.is_file():
            raise MissingFileError(f"the folder {name} has no {file}.")
        return path
    try:
        return Path(hf_hub_download(name, file, revision=revision, repo_type=kind))
    except HFValidationError:
        raise UsageError(f"{name}: no such folder, and not a repository name (OWNER/NAME).") from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        place = f"{name} at {revision}" if revision else name
        raise UsageError(f"the Hub has no {kind} {place}, or you may not read it (try `hf auth login`).") from None
    except LocalEntryNotFoundError as error:
        reason = first_line(error.__cause__ or error)
        raise UnreachableError(f"the Hub cannot be reached for {file} of {name}: {reason}") from error
    except EntryNotFoundError:
        raise MissingFileError(f"the {kind} {name} has no {file} on the Hub.") from None
    except (HfHubHTTPError, OSError) as error:
        raise ChestXrayError(f"{file} of {name} cannot be downloaded from the Hub: {first_line(error)}") from error


def find_file(name: str, file: str, revision: str | None = None, kind: str = "model") -> Path | None:
    """Like `get_file`; None where the repository has no such file, or the Hub is unreachable and its cache has none."""
    try:
        return get_file(name, file, revision, kind)
    except (MissingFileError, UnreachableError):
        return None
