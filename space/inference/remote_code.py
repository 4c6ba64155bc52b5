"""Code that comes with a model: never run unasked, and only if it is this project's own network, byte for byte."""

import hashlib
import json
from pathlib import Path

from space.errors import UsageError
from space.inference.repository import get_file

MODULE = "modeling_chest_cnn"
# SHA-256 of train/models/modeling_chest_cnn.py, for every version of it that a model was saved with.
KNOWN_DIGESTS = {"7606c9bb5d15e286d42c033287be7d1a7f03d3903cfc0b5a6419ebf27bf9cda4"}


def check_code(name: str, revision: str | None, trust_remote_code: bool) -> tuple[str | None, bool]:
    """Decide whether code of a model repository may run.

    Args:
        name: Folder of a model, or `owner/name` on the Hub.
        revision: Branch, tag or commit SHA on the Hub.
        trust_remote_code: Whether the user agreed to run this project's own network from there.

    Returns:
        The commit SHA that was looked at, which is the one to load (None for folders), and whether its code may run.

    Raises:
        UsageError: There is no such repository, or it brings code, and the user did not agree to it or it is not this
            project's.
        ChestXrayError: The Hub cannot be reached.
        ValueError: Its config.json cannot be read.
    """
    path = get_file(name, "config.json", revision)
    commit = None if Path(name).is_dir() else path.parent.name  # the cache keeps files below snapshots/COMMIT/
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("its config.json is not a JSON object.")
    if not (auto_map := config.get("auto_map")):
        return commit, False
    if not trust_remote_code:
        raise UsageError(
            f"the model {name!r} brings its own code (auto_map in its config.json), which is not run by default. If "
            f"it is a network of this project ({MODULE}.py), allow it with --trust-remote-code (app.py: the "
            "environment variable TRUST_REMOTE_CODE=1)."
        )
    if not _is_ours(auto_map) or _digest(get_file(name, f"{MODULE}.py", commit)) not in KNOWN_DIGESTS:
        raise UsageError(
            f"the model {name!r} brings code that this version does not know: only an unchanged {MODULE}.py of this "
            "project is run. If a newer version saved the model, update the project. If you have read the code and "
            "trust it, load the model with transformers."
        )
    return commit, True


def _is_ours(auto_map: object) -> bool:
    """Whether all classes come from our module in the repository itself (`OTHER/REPO--module.Class` would not)."""
    classes = auto_map.values() if isinstance(auto_map, dict) else [None]
    return all(isinstance(path, str) and path.rpartition(".")[0] == MODULE for path in classes)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
