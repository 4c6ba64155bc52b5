"""Output folders that appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from space.errors import UsageError


def check_free(path: Path) -> None:
    """Refuse an output folder that already holds something.

    Raises:
        UsageError: `path` is a file or a folder with content.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UsageError(f"--output {path} exists already. Name another folder, or delete that one first.")


def partial_of(path: Path) -> Path:
    """The temporary folder in which `path` is being written."""
    path = path.absolute()
    return path.with_name(path.name + ".partial")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` that becomes `path` when the block ends without an error.

    Args:
        path: The folder to make; must not exist or be empty.

    Yields:
        `<path>.partial`, empty. What an earlier, interrupted try left there is removed.

    Raises:
        UsageError: `path` holds something already.
    """
    path = path.absolute()
    check_free(path)
    partial = partial_of(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    check_free(path)
    if path.is_dir():
        path.rmdir()
    partial.rename(path)
