"""The folder for files that are kept between runs and can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`CHEST_XRAY_CACHE`, else `chest-xray` below the user's cache folder; it may be deleted at any time."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "chest-xray"
    return Path(os.environ.get("CHEST_XRAY_CACHE", default))
