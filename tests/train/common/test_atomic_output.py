"""Outputs that appear whole or not at all."""

import os
import resource

import numpy as np
import pytest
from safetensors.numpy import save_file

from space.errors import ChestXrayError, UsageError
from train.common.atomic_output import partial_of, rewritten_whole, write_text_whole, written_whole


def test_a_link_and_what_it_leads_to_are_written_in_one_place(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with written_whole(tmp_path / "link") as folder:
        assert folder == partial_of(tmp_path / "link") == partial_of(tmp_path / "out")


def test_two_conversions_of_one_folder_at_a_time_are_refused(tmp_path):
    with written_whole(tmp_path / "out") as folder:
        (folder / "work").write_text("of an hour")
        with pytest.raises(UsageError, match="another process"), written_whole(tmp_path / "out"):
            pytest.fail("entered")
        assert (folder / "work").exists()
    assert (tmp_path / "out" / "work").read_text() == "of an hour"


def test_a_file_replaces_another_whole(tmp_path):
    for text in ("first\n", "second\n"):
        write_text_whole(tmp_path / "x.txt", text)
        assert (tmp_path / "x.txt").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_a_folder_is_rewritten_whole_or_stays(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a").write_text("1")
    with pytest.raises(RuntimeError), rewritten_whole(folder) as copy:
        (copy / "a").write_text("2")
        raise RuntimeError
    assert (folder / "a").read_text() == "1"
    with rewritten_whole(folder) as copy:
        (copy / "a").write_text("2")
    assert (folder / "a").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_may_be_read_by_whom_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with written_whole(tmp_path / "run") as folder:
            (folder / "onnx").mkdir()
            save_file({"weights": np.zeros(3)}, folder / "onnx" / "model.safetensors")
            (folder / "README.md").write_text("text")
        with rewritten_whole(tmp_path / "run") as folder:
            save_file({"weights": np.ones(3)}, folder / "model.safetensors")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {mode}
    assert len(files) == 3


@pytest.fixture
def full_disk():
    """No file may grow beyond 1000 bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_could_not_be_written_is_named(tmp_path, full_disk):
    def save_weights(folder):
        save_file({"weights": np.zeros(10_000)}, folder / "model.safetensors")

    def save_text(folder):
        (folder / "README.md").write_text("text" * 1000)

    (tmp_path / "old").mkdir()
    for error, save in ((ChestXrayError, save_weights), (OSError, save_text)):
        for name, written in (("new", written_whole), ("old", rewritten_whole)):
            with pytest.raises(error, match=str(tmp_path / name)), written(tmp_path / name) as folder:
                save(folder)
    with pytest.raises(OSError, match=str(tmp_path / "x.txt")):
        write_text_whole(tmp_path / "x.txt", "text" * 1000)


def test_a_folder_of_the_users_beside_it_is_not_touched(tmp_path):
    for name in ("run", "run.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with rewritten_whole(tmp_path / "run") as copy:
        (copy / "a").write_text("again")
    left = {path.name: (path / "a").read_text() for path in tmp_path.iterdir()}
    assert left == {"run": "again", "run.old": "run.old"}
