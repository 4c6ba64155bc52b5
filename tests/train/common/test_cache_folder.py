"""Where things are kept between runs."""

from pathlib import Path

import numpy as np
import pytest

from train.common.cache_folder import cache_folder, cached_array


def test_the_cache_lies_where_it_is_told_to_or_among_the_users(monkeypatch):
    monkeypatch.setenv("CHEST_XRAY_CACHE", "/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/users")
    assert cache_folder() == Path("/mine")
    monkeypatch.delenv("CHEST_XRAY_CACHE")
    assert cache_folder() == Path("/users/chest-xray")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "chest-xray"


def test_an_array_is_written_once_and_whole_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path))

    def fail_halfway(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cached_array("things", "ab" * 32, fail_halfway)
    assert not list((tmp_path / "things").iterdir())
    written = cached_array("things", "ab" * 32, lambda path: np.save(path, np.arange(3)))
    assert written.tolist() == [0, 1, 2]
    assert cached_array("things", "ab" * 32, fail_halfway).tolist() == [0, 1, 2]
    assert [file.name for file in (tmp_path / "things").iterdir()] == ["ab" * 16 + ".npy"]
