"""What tests of conversion and of pushing share."""

import shutil
import threading
import time
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from hub.conversion import Options, convert
from tests.conftest import DEFAULT_MODEL, HUB_SERVER
from tests.hub_state import TOKEN, Hub
from tests.phantoms import write_images


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
    sleep = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: sleep(min(seconds, 0.01)))  # before the next try
    monkeypatch.setattr("hub.publishing.publish.verify_in_fresh_process", _verify)
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


@pytest.fixture(scope="session")
def leaky_source(tmp_path_factory) -> Path:
    """Two classes with 20 training and 8 test images each, and copies of every kind among them."""
    folder = tmp_path_factory.mktemp("leaky")
    write_images(folder, *(f"{s}/{c}/{i}.png" for s, n in (("train", 20), ("test", 8)) for c in "ab" for i in range(n)))
    shutil.copy(folder / "test/a/0.png", folder / "train/a/exact.png")
    enhanced = ImageEnhance.Contrast(Image.open(folder / "test/b/1.png")).enhance(1.5)
    enhanced.resize((300, 250)).save(folder / "train/b/near.jpg", quality=80)
    shutil.copy(folder / "train/a/3.png", folder / "train/b/conflict.png")
    (folder / "metadata.csv").write_text("file_name,patient\ntrain/a/5.png,Ann\ntest/a/5.png,Ann\ntrain/a/6.png,Ben\n")
    return folder


@pytest.fixture(scope="session")
def leaky_dataset(leaky_source, tmp_path_factory) -> Path:
    """The same, converted."""
    output = tmp_path_factory.mktemp("converted") / "leaky"
    convert(leaky_source, output, Options(keep_names=True))
    return output
