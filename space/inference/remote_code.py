"""Code that comes with a model: never run unasked, and only if it is this project's own network, byte for byte."""

import hashlib
import json
from pathlib import Path

from huggingface_hub import hf_hub_download

from space.errors import UsageError

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
        UsageError: The repository brings code, and the user did not agree to it or it is not this project's.
        OSError, ValueError: There is no such repository, or its config.json cannot be read.
    """
    path = _fetch(name, "config.json", revision)
    commit = None if Path(name).is_dir() else path.parent.name  # the cache keeps files below snapshots/COMMIT/
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("its config.json holds no JSON object.")
    if not (auto_map := config.get("auto_map")):
        return commit, False
    if not trust_remote_code:
        raise UsageError(
            f"the model {name!r} brings code of its own (auto_map in its config.json), which is not run unasked. If it "
            f"is a network of this project ({MODULE}.py), allow that with --trust-remote-code (for app.py: the "
            "environment variable TRUST_REMOTE_CODE=1)."
        )
    if not _is_ours(auto_map) or _digest(_fetch(name, f"{MODULE}.py", commit)) not in KNOWN_DIGESTS:
        raise UsageError(
            f"the model {name!r} brings code that this version of the project does not know: only an unchanged "
            f"{MODULE}.py of this project is run. Read the code, and load the model with transformers itself if you "
            "trust it; a network of a newer version needs that version."
        )
    return commit, True


def _fetch(name: str, file: str, revision: str | None) -> Path:
    """A file of a model folder or repository."""
    if not Path(name).is_dir():
        return Path(hf_hub_download(name, file, revision=revision))
    path = Path(name) / file
    if not path.is_file():
        raise FileNotFoundError(f"it has no {file}.")
    return path


def _is_ours(auto_map: object) -> bool:
    """Whether all classes come from our module in the repository itself (`OTHER/REPO--module.Class` would not)."""
    classes = auto_map.values() if isinstance(auto_map, dict) else [None]
    return all(isinstance(path, str) and path.rpartition(".")[0] == MODULE for path in classes)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
