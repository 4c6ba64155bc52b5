"""The folder for files that are kept between runs and can be made again."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


def cache_folder() -> Path:
    """`CHEST_XRAY_CACHE`, else `chest-xray` below the user's cache folder; it may be deleted at any time."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "chest-xray"
    return Path(os.environ.get("CHEST_XRAY_CACHE", default))


def cached_array(kind: str, digest: str, write: Callable[[Path], None]) -> np.ndarray:
    """An array that is computed once and then read from disk, memory-mapped.

    Args:
        kind: Folder of such arrays in the cache.
        digest: Hexadecimal hash of everything that the content depends on.
        write: Writes the array as a .npy file to a path. If it fails, nothing is kept.
    """
    path = cache_folder() / kind / f"{digest[:32]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            write(part)
            part.replace(path)
    return np.load(path, mmap_mode="r")
