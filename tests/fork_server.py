"""Start `python ARGUMENTS` without waiting for torch, transformers and the like to be imported.

A server process imports these libraries once and forks for every command. The child has a working directory,
environment, arguments and standard files of its own, runs the module, script or code as `python` would, and ends as
`python` would. Nothing of this project is imported beforehand: what a command imports is part of what is tested.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import re
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[1]
PR_SET_PDEATHSIG = 1  # Linux: the signal to get when the parent ends
ENVIRONMENT = dict(os.environ)  # before a test changes it for a while
TORCH = [
    "torch", "torch._dynamo", "torchvision.transforms.v2", "torch.utils.tensorboard", "scipy.ndimage", "scipy.stats",
    "sklearn.calibration", "sklearn.metrics", "matplotlib.figure", "pandas", "pyarrow.parquet", "PIL.ImageDraw",
    "pydicom", "jinja2", "openpyxl", "fastapi", "uvicorn",
]  # fmt: skip
HUB = [
    "huggingface_hub", "datasets", "transformers.modeling_utils", "transformers.processing_utils",
    "transformers.models.auto", "transformers.pipelines", "timm", "accelerate", "evaluate",
]  # fmt: skip
# Variables that are read once: by Python and the libraries of TORCH, by those of HUB, and by gradio.
READ_BY_TORCH = re.compile("PYTHON|HOME$|XDG_|LD_|MPL|OMP_|MKL_|OPENBLAS|KMP_|CUDA|TORCH_")
READ_BY_HUB = re.compile("HF_|HUGGING|TRANSFORMERS_|DATASETS_|ACCELERATE_")
READ_BY_GRADIO = re.compile("GRADIO_(?!SERVER_PORT)")  # the port is handed over


class ForkServer:
    """A process with libraries imported, which forks for every command.

    It ends when this one does, and its children with it.

    Args:
        modules: What it imports.
        environment: Its variables.
        base: A server that has imported other libraries already; None: a fresh process.
    """

    def __init__(self, modules: list[str], environment: dict[str, str], base: "ForkServer | None" = None):
        # Packets, for a request comes whole or not at all.
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [__file__, *modules]
        with theirs:
            if base:
                base.start(command, Path.cwd(), environment, theirs, 1, 2)
            else:  # in a session of its own: Ctrl-C is for the tests
                subprocess.Popen([sys.executable, *command], env=environment, stdin=theirs, start_new_session=True)

    def start(
        self,
        arguments: list[str],
        cwd: Path,
        environment: dict[str, str],
        stdin: IO | int = subprocess.DEVNULL,
        stdout: IO | int = subprocess.PIPE,
        stderr: IO | int = subprocess.PIPE,
    ) -> "Process":
        """Start `python ARGUMENTS`.

        Args:
            arguments: `-m MODULE …`, `-c CODE …` or `SCRIPT …`.
            cwd: Where.
            environment: All of its variables.
            stdin, stdout, stderr: As for `subprocess.Popen`.
        """
        pipes, descriptors = [], []
        reports, report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with report, ExitStack() as theirs:
            for file in (stdin, stdout, stderr):
                pipes.append(None)
                if file == subprocess.PIPE:
                    end, file = os.pipe()
                    pipes[-1] = open(end)  # noqa: SIM115 - for whoever reads it
                    theirs.callback(os.close, file)
                elif file == subprocess.DEVNULL:
                    file = theirs.enter_context(open(os.devnull))
                descriptors.append(file if isinstance(file, int) else file.fileno())
            request = json.dumps([arguments, str(cwd), environment]).encode()
            socket.send_fds(self._requests, [request], [*descriptors, report.fileno()])
        return Process(reports, *pipes[1:])


class Process:
    """A started command, with those attributes and methods of `subprocess.Popen` that the tests use."""

    def __init__(self, reports: socket.socket, stdout: IO | None, stderr: IO | None):
        self._reports, self.stdout, self.stderr, self.returncode = reports, stdout, stderr, None
        self.pid = self._read()

    def _read(self) -> int:
        report = self._reports.recv(100)
        if not report:
            raise RuntimeError("the fork server has ended")
        return int(report)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit code, negative for a signal, or raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._reports.settimeout(timeout)
            try:
                self.returncode = self._read()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None
            self._reports.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and what it started in its session."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


@cache
def torch_server() -> ForkServer:
    """A process that has imported torch, and nothing that reads the Hub's settings."""
    return ForkServer(TORCH, ENVIRONMENT)


@cache
def hub_server() -> ForkServer:
    """A process that has imported transformers and the like too."""
    return ForkServer(HUB, ENVIRONMENT, torch_server())


@cache
def gradio_server() -> ForkServer:
    """A process that has imported gradio too."""
    return ForkServer(["gradio", "gradio.mcp"], ENVIRONMENT, hub_server())


def server_for(arguments: list[str], environment: dict[str, str]) -> ForkServer | None:
    """The server that can start `python ARGUMENTS` with these variables; None if Python itself must."""
    changed = {name for name, _ in environment.items() ^ ENVIRONMENT.items()}
    if environment.get("PYTHONPATH") == str(REPOSITORY):
        changed.discard("PYTHONPATH")
    options = arguments[0].startswith("-") and arguments[0] not in ("-m", "-c")
    if options or any(map(READ_BY_TORCH.match, changed)):
        return None
    if any(map(READ_BY_HUB.match, changed)):
        return torch_server()
    serves = arguments[0] == "app.py" and not any(map(READ_BY_GRADIO.match, changed))
    return gradio_server() if serves else hub_server()


def serve(requests: socket.socket) -> list:
    """Fork for every request; returns in the child alone, with the request."""
    children = {}  # {pidfd: (pid, where to report its end)}
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not requests:
                selector.unregister(key.fd)
                os.close(key.fd)
                pid, report = children.pop(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with report, suppress(BrokenPipeError):  # who asked may not care
                    report.send(str(code).encode())
                continue
            message, descriptors, _, _ = socket.recv_fds(requests, 2**20, 4)
            if not message:
                os._exit(0)  # nobody can ask any more
            report = socket.socket(fileno=descriptors.pop())
            pid = os.fork()
            if not pid:
                selector.close()
                adopt(descriptors)
                report.send(str(os.getpid()).encode())
                report.close()
                return json.loads(message)
            for descriptor in descriptors:
                os.close(descriptor)
            pidfd = os.pidfd_open(pid)
            children[pidfd] = pid, report
            selector.register(pidfd, selectors.EVENT_READ)


def adopt(files: list[int]) -> None:
    """Make a forked child a process of its own, with these descriptors as its standard files."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for target, file in enumerate(files):
        os.dup2(file, target)  # beneath sys.stdout and sys.stderr, which loggers of the libraries hold
        os.close(file)
    if os.isatty(0):
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # a session's first terminal becomes the one that controls it
    sys.stdout.reconfigure(line_buffering=os.isatty(1))


def run(arguments: list[str], cwd: str, environment: dict[str, str]) -> None:
    """Do what `python ARGUMENTS` does, in this process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # which TMPDIR names
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    first, *others = arguments
    places = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    folder = {"-m": cwd, "-c": ""}.get(first, str(Path(cwd, first).parent))
    sys.path[:1] = [folder, *places]
    sys.argv = ["-c", *others[1:]] if first == "-c" else others if first == "-m" else arguments
    if first == "-m":
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(others[0], "<string>", "exec"), vars(main))  # noqa: S102 - the code of a test
    else:
        runpy.run_path(first, run_name="__main__")


def end(error: BaseException | None) -> None:
    """End this process as Python does, but leave its memory to the kernel: Python would visit every object first."""
    code = int(error is not None)
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error:
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


def main() -> None:
    """Import the libraries named, then serve on standard input."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # a collection in a child would otherwise copy every page
    request = serve(socket.socket(fileno=os.dup(0)))
    error = None
    try:
        run(*request)
    except BaseException as raised:  # noqa: BLE001 - whatever ends a command
        error = raised
    end(error)


if __name__ == "__main__":
    main()
