"""The app as a process of its own, for tests that talk to it as a client or a browser does."""

import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from tests.conftest import REPOSITORY, start_python
from tests.fork_server import Process


@contextmanager
def running_app(
    *arguments: str | Path,
    folder: Path = REPOSITORY,
    end: str = "SIGTERM",
    log: Path | None = None,
    real: bool = False,
    **environment: str,
) -> Iterator[str]:
    """Start `python app.py ARGUMENTS` in a folder on a free port; yields its address and stops it afterwards.

    Args:
        arguments: Of the command line.
        folder: Where app.py is.
        end: The signal that stops it.
        log: Where its output goes; None: nowhere, unless it stops by itself.
        real: See `tests.conftest.start_python`.
        environment: Variables.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    # No pipe: a server that prints much would wait for someone to read.
    with log.open("w+") if log else TemporaryFile("w+") as output:
        variables = {"GRADIO_SERVER_PORT": str(port)} | environment
        files = {"stdout": output, "stderr": output}
        process = start_python("app.py", *arguments, cwd=folder, real=real, **files, **variables)
        try:
            _wait(address, process, output)
            yield address
        finally:
            process.send_signal(signal.Signals[end])
            process.wait(timeout=20)


def _wait(address: str, process: subprocess.Popen | Process, log: TextIO, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"the app stopped:\n{log.read()}")
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own loopback address
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"the app did not answer at {address} within {seconds:.0f} s")
