"""Visitors' files: kept for a while in a folder of this process alone, then deleted."""

import atexit
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

PREFIX = "chest-xray-uploads-"
KEPT_SECONDS = 3600  # how long gradio keeps a file that it knows of, and how often old files are looked for
ORPHANED_SECONDS = 2 * KEPT_SECONDS  # what is older than this, gradio has forgotten


def prepare() -> None:
    """Have gradio keep uploads in a folder of this process, unless `GRADIO_TEMP_DIR` names one.

    The folder is deleted when the process ends. Folders that killed processes left behind are deleted now.
    """
    if "GRADIO_TEMP_DIR" in os.environ:
        return
    root = Path(tempfile.gettempdir())
    for folder in root.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX)
        if pid.isdecimal() and (int(pid) == os.getpid() or not _lives(int(pid))):
            shutil.rmtree(folder, ignore_errors=True)
    own = root / f"{PREFIX}{os.getpid()}"
    own.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    threading.Thread(target=_keep_tidy, args=(own,), daemon=True).start()
    os.environ["GRADIO_TEMP_DIR"] = str(own)


def upload_folder() -> Path:
    """The folder in which gradio keeps uploads."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_file(name: str) -> Path:
    """A path for a file that visitors may download; it is deleted with their uploads."""
    return Path(tempfile.mkdtemp(dir=upload_folder())) / name


def sweep(folder: Path, seconds: float) -> None:
    """Delete files and empty folders below a folder that were not changed for some seconds."""
    oldest = time.time() - seconds
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(place, name)
            try:
                if path.lstat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue
        try:
            if place != str(folder) and os.stat(place).st_mtime < oldest:
                os.rmdir(place)
        except OSError:  # not empty, or gone
            continue


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # anybody may make a folder in /tmp, with any number
        return False
    except PermissionError:
        pass
    return True


def _keep_tidy(folder: Path) -> None:
    while True:
        time.sleep(KEPT_SECONDS)
        sweep(folder, ORPHANED_SECONDS)
