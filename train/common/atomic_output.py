"""Files and folders that are complete or absent."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from space.errors import ChestXrayError, UsageError, first_line

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


def check_free(path: Path) -> None:
    """Refuse an output folder that already holds something.

    Raises:
        UsageError: `path` is a file or a folder with content.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UsageError(f"--output {path} exists already. Name another folder, or delete that one first.")


def partial_of(path: Path) -> Path:
    """The temporary place in which `path` is being written."""
    path = path.resolve()  # of "." or a link, only what it means can be replaced
    return path.with_name(path.name + ".partial")


def write_text_whole(path: Path, text: str) -> None:
    """Write a UTF-8 file that is complete or absent, replacing what was there."""
    partial = partial_of(path)
    with naming(path):
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


@contextmanager
def written_whole(
    path: Path, resume: bool = False, worth_keeping: Callable[[Path], bool] = lambda _: False
) -> Iterator[Path]:
    """Give a temporary folder beside `path` that becomes `path` when the block ends without an error.

    Args:
        path: The folder to make; must not exist or be empty.
        resume: Go on from what an earlier, interrupted try left there, which else is removed.
        worth_keeping: Whether the temporary folder is left behind after an error, to continue from it.

    Yields:
        `partial_of(path)`, empty unless resumed.

    Raises:
        UsageError: `path` holds something already, or another process is writing it.
    """
    path = path.resolve()
    check_free(path)
    partial = partial_of(path)
    partial.mkdir(parents=True, exist_ok=True)
    with locked(partial):
        if not resume:
            _empty(partial)
        try:
            with naming(path):
                yield partial
            check_free(path)
            _as_umask_says(partial)
        except BaseException:
            if not worth_keeping(partial):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if path.is_dir():
            path.rmdir()
        partial.rename(path)


@contextmanager
def rewritten_whole(path: Path) -> Iterator[Path]:
    """Give a copy of a folder that takes its place when the block ends without an error.

    Raises:
        UsageError: Another process is writing it.
    """
    path = path.resolve()
    partial = partial_of(path)
    partial.mkdir(exist_ok=True)
    with locked(partial):
        try:
            _empty(partial)
            with naming(path):
                shutil.copytree(path, partial, dirs_exist_ok=True)
                yield partial
            _as_umask_says(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        old = Path(tempfile.mkdtemp(prefix=f"{path.name}.old-", dir=path.parent))
        path.rename(old)
        partial.rename(path)
    shutil.rmtree(old)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say what was being written when the system, or safetensors, says only that it could not be: a full disk.

    Raises:
        OSError: With the name of a file, or of `path` where it has none.
        ChestXrayError: In place of a SafetensorError, whose message has no name.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS and not error.filename:
            error.filename = str(path)
        raise
    except SafetensorError as error:
        raise ChestXrayError(f"{path} could not be written: {first_line(error)}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; the system lets go of it when the process ends, however it ends.

    Raises:
        UsageError: Another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(f"another process is writing {folder}. Wait for it, or name another --output.") from None
    finally:
        os.close(handle)


def _as_umask_says(folder: Path) -> None:
    """Let whoever may read a folder read its files: safetensors writes them for their owner alone."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
