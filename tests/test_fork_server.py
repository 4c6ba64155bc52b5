"""A forked command behaves as one that Python itself starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import run_python
from tests.fork_server import REPOSITORY, hub_server, server_for, torch_server

SHOW = """
import os, sys
print(os.getcwd(), os.environ.get("ASKED"), sys.argv[1:], sys.stdin.read(), sep="|")
print("to the errors", file=sys.stderr)
"""


@pytest.mark.parametrize("real", [False, True], ids=["forked", "real"])
@pytest.mark.parametrize(
    ("code", "returned", "said"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('a sentence')", 1, "a sentence\n"),
        ("import sys; sys.exit(None)", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import atexit, sys; atexit.register(lambda: print('last', file=sys.stderr))", 0, "last\n"),
        ("import threading as t, time, sys; t.Timer(0.1, lambda: print('late', file=sys.stderr)).start()", 0, "late\n"),
    ],
)
def test_it_ends_as_python_ends(real, code, returned, said):
    done = run_python("-c", code, real=real)
    assert done.returncode == returned
    assert done.stderr.endswith(said)
    assert bool(done.stderr) == bool(said)


@pytest.mark.parametrize("real", [False, True], ids=["forked", "real"])
@pytest.mark.parametrize("how", ["code", "module", "script"])
def test_folder_variables_arguments_and_files_are_its_own(real, how, tmp_path):
    (tmp_path / "shown.py").write_text(SHOW)
    command = {"code": ("-c", SHOW), "module": ("-m", "shown"), "script": ("shown.py",)}[how]
    done = run_python(*command, "a b", "ü", cwd=tmp_path, real=real, ASKED="yes")
    assert done.stdout == f"{tmp_path}|yes|['a b', 'ü']|\n"
    assert done.stderr == "to the errors\n"
    assert Path.cwd() != tmp_path
    assert "ASKED" not in os.environ


def test_nothing_of_this_project_is_imported_beforehand():
    rooms = ("train", "hub", "space", "tests", "app", "openvino", "gradio")
    done = run_python("-c", f"import sys; print([name for name in sys.modules if name.split('.')[0] in {rooms}])")
    assert done.stdout == "[]\n"
    assert run_python("-c", "import sys; print('torch' in sys.modules, 'timm' in sys.modules)").stdout == "True True\n"


def test_libraries_compute_in_several_threads():
    code = """
import numpy, torch, pyarrow
from sklearn.linear_model import LogisticRegression
matrix = torch.randn(700, 700)
assert torch.allclose(matrix @ matrix, torch.from_numpy(matrix.numpy() @ matrix.numpy()), atol=1e-2)
torch.nn.functional.conv2d(matrix[None, None], torch.randn(8, 1, 3, 3)).sum()
LogisticRegression().fit(matrix[:, :5], matrix[:, 5] > 0)
pyarrow.compute.sort_indices(pyarrow.array(matrix[0].numpy()))
print(torch.get_num_threads())
"""
    forked, real = (run_python("-c", code, real=real) for real in (False, True))
    assert forked.returncode == 0, forked.stderr
    assert forked.stdout == real.stdout


def test_random_numbers_differ_from_process_to_process():
    code = "import random, numpy, tempfile; print(random.random(), numpy.random.random(), tempfile.mktemp())"
    first, second = (run_python("-c", code).stdout.split() for _ in range(2))
    assert not set(first) & set(second)


def test_settings_that_libraries_read_on_import_are_not_missed():
    assert server_for(["-m", "train.finetune"], dict(os.environ)) is hub_server()
    assert server_for(["-m", "train.finetune"], os.environ | {"PYTHONPATH": str(REPOSITORY)}) is hub_server()
    assert server_for(["app.py"], os.environ | {"HF_ENDPOINT": "http://127.0.0.1"}) is torch_server()
    for name in ("OMP_NUM_THREADS", "PYTHONPATH", "HOME"):
        assert server_for(["app.py"], os.environ | {name: "/elsewhere"}) is None
    assert server_for(["-X", "utf8", "app.py"], dict(os.environ)) is None
    code = "from huggingface_hub import constants; print(constants.ENDPOINT)"
    assert run_python("-c", code, HF_ENDPOINT="http://127.0.0.1:9").stdout == "http://127.0.0.1:9\n"


def test_a_process_takes_signals_and_is_killed_with_what_it_started(tmp_path):
    code = "import os, sys, time; os.fork(); open(f'{sys.argv[1]}/{os.getpid()}', 'w'); time.sleep(60)"
    process = hub_server().start(["-c", code, str(tmp_path)], tmp_path, dict(os.environ))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    assert process.poll() is None
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    until(lambda: not [path for path in tmp_path.iterdir() if alive(path.name)])
    other = hub_server().start(["-c", "import time; time.sleep(60)"], tmp_path, dict(os.environ))
    other.send_signal(signal.SIGTERM)
    assert other.wait(10) == -signal.SIGTERM


def test_when_the_tests_are_killed_nothing_stays(tmp_path):
    code = f"""
import os, signal
from tests.fork_server import hub_server
process = hub_server().start(["-c", "import time; time.sleep(60)"], {str(tmp_path)!r}, dict(os.environ))
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, timeout=120)
    until(lambda: not alive(done.stdout.strip()))


def alive(pid: str) -> bool:
    state = Path("/proc", pid, "stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
