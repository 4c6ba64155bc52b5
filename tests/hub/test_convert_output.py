"""Where a conversion writes, and what it leaves when it is interrupted."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from hub.convert import convert
from space.errors import UsageError
from tests.conftest import REPOSITORY, run_python
from tests.phantoms import write_images

CLASSES = [f"{c}/{i}.png" for c in ("ill", "well") for i in range(12)]
SLOW = """
import sys, time
from hub import convert
from hub.dataset import image_summary
summarise = image_summary.summarise_image
image_summary.summarise_image = lambda data: (print("reading", flush=True), time.sleep(0.5), summarise(data))[2]
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
    assert convert(tmp_path / "in", tmp_path / "out")["images"] == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_output_inside_the_source_is_refused(tmp_path):
    write_images(tmp_path, *CLASSES)
    with pytest.raises(UsageError, match="inside the source"):
        convert(tmp_path, tmp_path / "out")


def test_an_empty_folder_or_a_link_to_one_can_be_the_output(tmp_path):
    write_images(tmp_path / "in", *CLASSES)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    done = run_python(
        "-m", "hub.convert", tmp_path / "in", "--output", ".", cwd=tmp_path / "empty", PYTHONPATH=str(REPOSITORY)
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    convert(tmp_path / "in", tmp_path / "link")
    assert (tmp_path / "empty" / "README.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in", "link"]
