"""The project's commands, called in this process: a second each that a process of their own would need to start."""

import io
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from space.errors import run_cli


@dataclass(frozen=True)
class Done:
    """What a command left, named as `subprocess.CompletedProcess` names it."""

    returncode: int
    stdout: str
    stderr: str


def call(main: Callable[[], None], *arguments: str | Path) -> Done:
    """Run `main` as `python -m its.module ARGUMENTS` would."""
    stdout, stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        with (
            patch.object(sys, "argv", ["command", *map(str, arguments)]),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            run_cli(main)
    except SystemExit as end:
        return Done(int(end.code or 0), stdout.buffer.getvalue().decode(), stderr.getvalue())
    finally:
        signal.signal(signal.SIGTERM, on_term)
    raise AssertionError("run_cli always ends with SystemExit")
