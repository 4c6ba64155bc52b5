"""Files of a model repository: in a folder, or on the Hub."""

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError


def find_file(name: str, file: str, revision: str | None) -> Path | None:
    """A file of a model repository; None if it has none of that name.

    Args:
        name: Folder of a model, or `owner/name` on the Hub.
        file: Its name there.
        revision: Branch, tag or commit SHA on the Hub.
    """
    if Path(name).is_dir():
        path = Path(name) / file
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except EntryNotFoundError:  # also where the network is off and it was not kept
        return None
