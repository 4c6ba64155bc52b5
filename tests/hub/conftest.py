"""What tests of pushing share."""

import shutil
import threading
from pathlib import Path

import pytest

from tests.conftest import DEFAULT_MODEL, HUB_SERVER
from tests.hub_state import TOKEN, Hub


@pytest.fixture(scope="session")
def hub_server():
    """The Hub's address that this process knows."""
    threading.Thread(target=HUB_SERVER.serve_forever, daemon=True).start()
    yield HUB_SERVER
    HUB_SERVER.shutdown()


@pytest.fixture
def hub(hub_server, monkeypatch) -> Hub:
    """An empty Hub, which this process can reach, and whose waiting times are short."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("hub.publishing.retry.FIRST_WAIT", 0.01)
    monkeypatch.setattr("hub.push.verify_in_fresh_process", _verify)
    return hub_server.serve(Hub())


def _verify(folder: Path) -> None:
    """The check of a push, in this process; test_preflight.py makes it in a fresh one."""
    from hub.verify import verify_model  # brings torch and transformers, which most tests here do without

    verify_model(folder)


@pytest.fixture
def phantoms(dataset_folder, tmp_path) -> Path:
    """A copy of the converted phantoms."""
    return shutil.copytree(dataset_folder, tmp_path / "phantoms")


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy of the bundled model, which is a run folder."""
    return shutil.copytree(DEFAULT_MODEL, tmp_path / "tiny")
