"""A model is converted once, and served from then on without the libraries that it was trained with."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from space.inference import converted_models as served
from space.inference.classifier import Classifier
from tests.conftest import REPOSITORY
from tests.phantoms import draw_phantom

IMAGES = [draw_phantom(np.random.default_rng(seed), bool(seed % 2), 200, 180) for seed in range(3)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "served"


def answers(classifier: Classifier) -> tuple[np.ndarray, list[np.ndarray]]:
    findings = classifier.examine(IMAGES)
    return np.stack([one.probabilities for one in findings]), [classifier.maps(one) for one in findings]


def is_recalled(classifier: Classifier) -> bool:
    """Whether the model was not built to be loaded."""
    return "_loaded" not in vars(classifier) and classifier._load.__class__.__name__ == "partial"


def test_the_second_start_answers_the_same_without_building_the_model(run_folder, cache):
    first, second = Classifier.load(run_folder), Classifier.load(run_folder)
    assert (is_recalled(first), is_recalled(second)) == (False, True)
    for name in ("labels", "operating_point", "backend"):
        assert getattr(first, name) == getattr(second, name)
    (scores, maps), (again, maps_again) = answers(first), answers(second)
    assert np.allclose(scores, again, atol=1e-6)
    assert np.allclose(maps, maps_again, atol=1e-5)
    assert is_recalled(second)
    pixels = second.preprocess(IMAGES)
    assert np.allclose(second.model(pixel_values=pixels).logits.softmax(-1).detach().numpy(), again, atol=1e-4)


def test_the_second_start_imports_neither_transformers_nor_timm(run_folder, cache):
    code = (
        "import sys; from space.inference.classifier import Classifier; from space.imaging.xray import Limits;"
        f"Classifier.load({str(run_folder)!r});"
        "print([name for name in ('timm', 'torchvision', 'transformers.modeling_utils') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120)
        for _ in range(2)
    ]
    assert runs[0].stdout.strip() == "['timm', 'torchvision', 'transformers.modeling_utils']"
    assert runs[1].stdout.strip() == "[]"


def test_a_changed_model_is_another_model(run_folder, cache, tmp_path):
    Classifier.load(run_folder)
    changed = tmp_path / "changed"
    shutil.copytree(run_folder, changed)
    config = json.loads((changed / "config.json").read_text())
    config["operating_point"]["threshold"] = 0.123
    (changed / "config.json").write_text(json.dumps(config))
    loaded = Classifier.load(changed)
    assert not is_recalled(loaded)
    assert loaded.operating_point.threshold == 0.123
    weights = load_file(changed / "model.safetensors")
    head = next(name for name in weights if name.endswith("classifier.bias"))
    weights[head] += np.array([3.0, 0.0], np.float32)
    save_file(weights, changed / "model.safetensors", {"format": "pt"})
    assert not np.allclose(answers(loaded)[0], answers(Classifier.load(changed))[0], atol=0.01)
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("file", ["facts.json", "tensors.safetensors", "model.xml", "model.bin"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other"])
def test_what_was_kept_and_is_damaged_is_made_anew(run_folder, cache, file, damage):
    expected = answers(Classifier.load(run_folder))[0]
    (folder,) = cache.iterdir()
    path = folder / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        other = content[: len(content) // 2] + bytes(len(content) - len(content) // 2)
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "other": other}[damage])
    mended = Classifier.load(run_folder)
    assert not is_recalled(mended)
    assert np.allclose(answers(mended)[0], expected, atol=1e-6)
    assert is_recalled(Classifier.load(run_folder))


def test_numbers_that_are_not_torchs_are_not_served(run_folder, cache):
    Classifier.load(run_folder)
    (folder,) = cache.iterdir()
    tensors = load_file(folder / "tensors.safetensors")
    tensors["logits"] = tensors["logits"] + 2e-3
    save_file(tensors, folder / "tensors.safetensors")
    assert not is_recalled(Classifier.load(run_folder))


def test_a_cache_that_cannot_be_written_is_no_obstacle(run_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path / "file"))
    assert answers(Classifier.load(run_folder))[0].shape == (3, 2)
    assert not is_recalled(Classifier.load(run_folder))


def test_without_openvino_nothing_is_kept_or_recalled(run_folder, cache, monkeypatch):
    Classifier.load(run_folder)
    monkeypatch.setitem(sys.modules, "openvino", None)
    loaded = Classifier.load(run_folder)
    assert (loaded.backend, is_recalled(loaded)) == ("torch", False)


def test_only_the_latest_models_are_kept(run_folder, cache):
    cache.mkdir(parents=True)
    for number in range(served.MOST_KEPT + 2):
        (cache / f"old{number}").mkdir()
        os.utime(cache / f"old{number}", (number, number))
    Classifier.load(run_folder)
    left = {path.name for path in cache.iterdir()}
    assert len(left) == served.MOST_KEPT
    assert {"old0", "old1", "old2"}.isdisjoint(left)
    assert is_recalled(Classifier.load(run_folder))
