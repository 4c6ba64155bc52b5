"""Errors that a person caused and can mend, and how a command line shows them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError


class ChestXrayError(Exception):
    """A failure that one sentence explains: what was got, what is allowed, what to do.

    Attributes:
        exit_code: What a command line returns: 1 for failures, 2 for usage errors.
    """

    exit_code = 1


class UsageError(ChestXrayError):
    """The command was given something it cannot work with (a path, an option, a recipe key)."""

    exit_code = 2


class XrayError(ChestXrayError):
    """A file that cannot be read as a radiograph.

    Attributes:
        code: Machine-readable reason: `missing`, `unreadable`, `empty`, `too_many_bytes`, `unknown_format`,
            `unsupported` (a DICOM file of a kind that is not read), `too_many_pixels`, `several_frames`, `damaged` or
            `colour`.
    """

    def __init__(self, code: str, sentence: str):
        super().__init__(sentence)
        self.code = code


def run_cli(main: Callable[[], None]) -> None:
    """Run a command-line entry point and end the process with its exit code.

    Args:
        main: The entry point; raises `ChestXrayError` for anything the user can mend.

    Raises:
        SystemExit: With 0 on success, else with the error's exit code (130 after Ctrl-C).
    """
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
        name: A path or `owner/name`.
        what: The option or thing that it was given for.

    Raises:
        UsageError: `name` points into a folder that is here, at something that is not.
    """
    path = Path(name)
    if not path.exists() and path.parent != Path(".") and path.parent.is_dir():
        raise UsageError(f"{what} {name}: there is no such file or folder in {path.parent}.")


def first_line(error: Exception) -> str:
    """What a library's error says in its first line, or its type where it says nothing, ended by a full stop."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _reason(error: OSError | SafetensorError) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) + (f" ({error.filename})" if error.filename else "")
    return str(error)
