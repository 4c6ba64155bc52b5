"""Where uploads lie, and that they go."""

import os
import signal
import subprocess
import sys
import time

import pytest

from space.web.uploads import PREFIX, new_file, sweep
from tests.conftest import REPOSITORY

OWN_FOLDER = (
    "from space.web.uploads import *; prepare(); path = new_file('a'); path.write_text('x'); print(path, flush=True); "
)


def python(code: str, tmp_path, **options) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    command = [sys.executable, "-c", OWN_FOLDER + code]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_folder_is_private_and_goes_with_the_process(tmp_path):
    process = python("print(oct(os.stat(os.environ['GRADIO_TEMP_DIR']).st_mode)[-3:])", tmp_path)
    path, mode = process.communicate(timeout=60)[0].split()
    assert path.startswith(str(tmp_path / f"{PREFIX}{process.pid}"))
    assert mode == "700"
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_behind_goes_at_the_next_start(tmp_path):
    killed = python("time.sleep(60)", tmp_path)
    left = killed.stdout.readline().strip()
    alive = python("time.sleep(60)", tmp_path)
    kept = alive.stdout.readline().strip()
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=10)
    assert os.path.exists(left)
    third = python("", tmp_path)
    third.communicate(timeout=60)
    assert not os.path.exists(left)
    assert os.path.exists(kept)  # whose process lives
    alive.kill()
    alive.wait(timeout=10)


def test_a_folder_of_no_possible_process_goes_too(tmp_path):
    (tmp_path / f"{PREFIX}{10**30}").mkdir()
    process = python("", tmp_path)
    assert process.communicate(timeout=60)[0]
    assert (process.returncode, list(tmp_path.iterdir())) == (0, [])


def test_a_folder_that_was_asked_for_is_left_alone(tmp_path):
    asked = tmp_path / "asked"
    environment = os.environ | {"TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": str(asked)}
    subprocess.run([sys.executable, "-c", OWN_FOLDER], cwd=REPOSITORY, env=environment, check=True, timeout=60)
    assert [path.read_text() for path in asked.rglob("a")] == ["x"]


def test_old_files_and_empty_folders_are_swept(tmp_path):
    old, fresh = time.time() - 100, tmp_path / "fresh" / "b"
    for path in (tmp_path / "old" / "deep" / "a", fresh):
        path.parent.mkdir(parents=True)
        path.write_text("x")
    os.utime(tmp_path / "old" / "deep" / "a", (old, old))
    sweep(tmp_path, 50)
    assert not (tmp_path / "old" / "deep" / "a").exists()
    for folder in (tmp_path / "old" / "deep", tmp_path / "old"):
        assert folder.exists()  # touched when its file went
        os.utime(folder, (old, old))
    os.utime(tmp_path / "fresh", (old, old))
    sweep(tmp_path, 50)
    os.utime(tmp_path / "old", (old, old))
    sweep(tmp_path, 50)
    assert list(tmp_path.rglob("*")) == [tmp_path / "fresh", fresh]


def test_new_files_never_meet(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    first, second = new_file("map.png"), new_file("map.png")
    assert first != second
    assert first.parent.is_dir()
    assert first.name == second.name == "map.png"


@pytest.mark.parametrize("name", ["chest-xray-uploads-notes", "chest-xray-uploads-"])
def test_what_is_not_ours_is_not_deleted(tmp_path, name):
    (tmp_path / name).mkdir()
    python("", tmp_path).communicate(timeout=60)
    assert (tmp_path / name).is_dir()
