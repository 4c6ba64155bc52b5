"""Where things are kept between runs."""

from pathlib import Path

from train.common.cache_folder import cache_folder


def test_the_cache_lies_where_it_is_told_to_or_among_the_users(monkeypatch):
    monkeypatch.setenv("CHEST_XRAY_CACHE", "/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/users")
    assert cache_folder() == Path("/mine")
    monkeypatch.delenv("CHEST_XRAY_CACHE")
    assert cache_folder() == Path("/users/chest-xray")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "chest-xray"
