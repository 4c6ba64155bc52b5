"""The command `hub.convert`: its options, its output folder, and how it ends when it is interrupted."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from hub.conversion import Options, convert
from hub.convert import main
from tests.commands import call
from tests.conftest import REPOSITORY, run_python
from tests.phantoms import write_images

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]


@pytest.mark.parametrize("module", ["hub.convert", "hub.merge", "hub.audit", "hub.push"])
def test_help_is_printed_without_loading_what_is_slow(module):
    done = run_python("-X", "importtime", "-m", module, "--help")
    assert done.returncode == 0
    assert "--output" in done.stdout or "--public" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "matplotlib"}


def test_the_command_in_a_process_of_its_own(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    done = run_python("-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out", real=True)
    assert done.returncode == 0, done.stderr
    assert "train 18, validation 3, test 3 images" in done.stdout
    again = run_python("-m", "hub.convert", tmp_path / "in", "--output", tmp_path / "out", real=True)
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: --output {tmp_path / 'out'} ")
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"), [("--val-fraction", "0"), ("--test-fraction", "0.9"), ("--size", "3"), ("--workers", "0")]
)
def test_options_out_of_range_are_usage_errors(kaggle_folder, tmp_path, option, value):
    done = call(main, kaggle_folder, "--output", tmp_path / "out", option, value)
    assert done.returncode == 2
    assert option in done.stderr


SLOW = """
import sys, time
from hub import convert
from hub.dataset import image_summary
summarise = image_summary.summarise_image
image_summary.summarise_image = lambda data: (print("reading", flush=True), time.sleep(0.1), summarise(data))[2]
from space.errors import run_cli
sys.argv[0] = "hub.convert"
run_cli(convert.main)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_nothing_half_written_is_left_and_run_again_it_finishes(tmp_path, how):
    write_images(tmp_path / "in", *CLASSES)
    command = [sys.executable, "-c", SLOW, str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes) as job:
        assert any("reading" in line for line in job.stdout)
        start = time.monotonic()
        job.send_signal(how)
        _, said = job.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert job.returncode == 130
    assert "interrupted: the output was not written" in said
    assert "Traceback" not in said
    assert convert(tmp_path / "in", tmp_path / "out", Options(audit=False))["images"] == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_empty_folder_or_a_link_to_one_can_be_the_output(tmp_path, monkeypatch):
    write_images(tmp_path / "in", *CLASSES)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    done = call(main, tmp_path / "in", "--output", ".", "--no-audit")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    convert(tmp_path / "in", tmp_path / "link", Options(audit=False))
    assert (tmp_path / "empty" / "README.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in", "link"]
