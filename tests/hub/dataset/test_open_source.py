"""Folders, zips and Kaggle slugs, as the command line takes them."""

import sys

import pytest

from hub.convert import main
from hub.dataset.open_source import open_source
from space.errors import UsageError
from tests.commands import call
from tests.phantoms import write_images


def test_an_empty_name_is_not_the_current_folder(tmp_path):
    done = call(main, "", "--output", tmp_path / "out")
    assert (done.returncode, done.stderr.partition(".")[0]) == (2, "error: '' does not exist")


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("nowhere", 2, "does not exist"),
        ("notes.txt", 2, "neither a folder nor a zip"),
        ("set.7z", 2, "Unpack it (7z x set.7z)"),
        ("broken.zip", 1, "download it again"),
    ],
)
def test_the_command_line_says_what_is_wrong_with_a_source(tmp_path, source, code, says):
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "set.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    (tmp_path / "broken.zip").write_text("no zip")
    done = call(main, tmp_path / source, "--output", tmp_path / "out")
    assert done.returncode == code
    assert says in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_kaggle_slug_comes_from_kagglehubs_cache(tmp_path, monkeypatch):
    pytest.importorskip("kagglehub")
    versions = tmp_path / "datasets" / "owner" / "name" / "versions"
    write_images(versions / "1", "Covid19-dataset/train/Covid/1.png")
    (versions.parent / "1.complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    assert list(open_source("kaggle:owner/name/versions/1").sizes) == ["Covid19-dataset/train/Covid/1.png"]


def test_a_kaggle_slug_without_network_login_or_package_is_a_clear_message(tmp_path, monkeypatch):
    pytest.importorskip("kagglehub")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    done = call(main, "kaggle:owner/name", "--output", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert "Kaggle did not deliver owner/name" in done.stderr
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # which makes its import fail
    done = call(main, "kaggle:owner/name", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "pip install kagglehub" in done.stderr


def test_a_slug_that_is_none_is_a_usage_error():
    pytest.importorskip("kagglehub")
    with pytest.raises(UsageError, match="OWNER/NAME"):
        open_source("kaggle:nonsense")
