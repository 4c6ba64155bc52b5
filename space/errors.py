"""Errors that a person caused and can fix, and how a command line shows them."""

import argparse
import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from enum import StrEnum, auto
from pathlib import Path
from typing import NoReturn

from safetensors import SafetensorError

REPOSITORY_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)  # OWNER/NAME on the Hub


class ChestXrayError(Exception):
    """A failure that one sentence explains: what was given, what is allowed, what to do.

    Attributes:
        exit_code: What a command line returns: 1 for failures, 2 for usage errors.
    """

    exit_code = 1


class UsageError(ChestXrayError):
    """The command was given something it cannot work with (a path, an option, a recipe key)."""

    exit_code = 2


class ErrorCode(StrEnum):
    """Why a file has no answer; the page has a sentence for each in every language but English (`error_<code>`)."""

    NO_FILE = auto()
    MISSING = auto()
    UNREADABLE = auto()
    EMPTY = auto()
    TOO_MANY_BYTES = auto()
    TOO_MANY_PIXELS = auto()
    UNKNOWN_FORMAT = auto()
    UNSUPPORTED = auto()  # a DICOM file of a kind that is not read
    SEVERAL_FRAMES = auto()
    COLOUR = auto()
    DAMAGED = auto()
    BAD_ARCHIVE = auto()
    BAD_URL = auto()
    FETCH = auto()  # a web address that does not answer with a file
    TOO_LATE = auto()  # an image of a batch that was not reached in time
    NOT_FINITE = auto()  # the model returned NaN or infinity


class XrayError(ChestXrayError):
    """A file that cannot be read as a radiograph, or that the model has no answer for.

    Attributes:
        code: The kind of error, for programs.
    """

    def __init__(self, code: ErrorCode, sentence: str):
        super().__init__(sentence)
        self.code = code


def too_large(max_bytes: int) -> XrayError:
    """The error for a file of more than `max_bytes` bytes."""
    sentence = f"The file is too large: at most {max_bytes / 10**6:.4g} MB are allowed."
    return XrayError(ErrorCode.TOO_MANY_BYTES, sentence)


def too_many_pixels(max_pixels: int, size: tuple[int, int] | None = None) -> XrayError:
    """The error for an image of more than `max_pixels` pixels; its width and height, where they are known."""
    stated = f" of {size[0]:,} x {size[1]:,} pixels" if size else ""
    sentence = f"The image{stated} is too large: at most {max_pixels:,} pixels are allowed."
    return XrayError(ErrorCode.TOO_MANY_PIXELS, sentence)


def unreadable(error: OSError) -> XrayError:
    """The error for a file that the system cannot read; names no path."""
    return XrayError(ErrorCode.UNREADABLE, f"The file cannot be read: {os.strerror(error.errno or errno.EIO)}.")


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are raised as `UsageError`, so that `run_cli` shows them like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        raise UsageError(f"{message.removeprefix('argument ')}. See --help.")


def run_cli(main: Callable[[], None]) -> None:
    """Run a command-line entry point and end the process with its exit code. SIGTERM ends it as Ctrl-C does.

    Args:
        main: The entry point; raises `ChestXrayError` for anything the user can fix.

    Raises:
        SystemExit: With 0 on success, else with the error's exit code (130 after Ctrl-C).
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing half-written stays
    sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: names of files need not be texts
    try:
        main()
    except ChestXrayError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("interrupted: the output was not written", file=sys.stderr)
        raise SystemExit(130) from None
    except (OSError, SafetensorError) as error:
        # A full or read-only disk has one clear cause; its traceback explains nothing more.
        print(f"error: {_reason(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(0)


def check_local(name: str, what: str) -> None:
    """Tell a mistyped path from a Hub repository before the Hub is asked, which takes long where it cannot be reached.

    Args:
        name: A path or `OWNER/NAME`.
        what: The option or thing that it was given for.

    Raises:
        UsageError: `name` is empty (which a path takes for the current folder), or does not exist here and cannot be
            a repository: it is not of the form OWNER/NAME, or it points into a folder that is here.
    """
    path = Path(name)
    if name and (path.exists() or (REPOSITORY_NAME.fullmatch(name) and not path.parent.is_dir())):
        return
    raise UsageError(
        f"{what} {name or repr(name)}: no such file or folder. (A repository on the Hub is written OWNER/NAME.)"
    )


def first_line(error: Exception) -> str:
    """What a library's error says in its first line, or its type where it says nothing, ended by a full stop."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _reason(error: OSError | SafetensorError) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) + (f" ({error.filename})" if error.filename else "")
    return str(error)
