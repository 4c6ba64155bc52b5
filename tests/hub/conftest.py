"""What tests of pushing share."""

import shutil
from pathlib import Path

import pytest

from tests.hub_server import running
from tests.hub_state import Hub


@pytest.fixture
def hub():
    with running(Hub()) as hub:
        yield hub


@pytest.fixture
def phantoms(dataset_folder, tmp_path) -> Path:
    """A copy of the converted phantoms."""
    return shutil.copytree(dataset_folder, tmp_path / "phantoms")


@pytest.fixture
def run(run_folder, tmp_path):
    """A copy of the tiny run."""
    return shutil.copytree(run_folder, tmp_path / "tiny")
