"""A model that has no graph gets one: a run folder of an earlier version, and others' models on the Hub."""

import json
import shutil

import numpy as np
import pytest
import timm
import torch
from timm.models import save_for_hf

import train.export
import train.predict
from space.errors import UsageError
from space.inference.classifier import Classifier
from space.inference.graph import FILE, Graph
from tests.commands import call
from tests.conftest import DEFAULT_MODEL, run_python
from tests.hub_server import serving
from tests.phantoms import draw_phantom
from train.export import export
from train.models.graph import check_graph
from train.models.load import load_saved

WITHOUT_GRAPH = shutil.ignore_patterns("onnx")


@pytest.fixture
def earlier_run(run_folder, tmp_path):
    """A run folder as versions before the graph left it."""
    return shutil.copytree(run_folder, tmp_path / "earlier", ignore=WITHOUT_GRAPH)


def test_a_run_folder_of_an_earlier_version_gets_the_graph_of_a_new_one(earlier_run, run_folder, tmp_path):
    done = call(train.export.main, earlier_run, "--output", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert f"python app.py --model {tmp_path / 'new'}" in done.stdout
    names = {path.relative_to(run_folder) for path in run_folder.rglob("*")}
    assert {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*")} == names
    assert (tmp_path / "new" / FILE).read_bytes() == (run_folder / FILE).read_bytes()


def test_predict_exports_a_model_without_a_graph_once(earlier_run, tmp_path, monkeypatch):
    monkeypatch.setenv("CHEST_XRAY_CACHE", str(tmp_path / "cache"))
    image = tmp_path / "xray.png"
    draw_phantom(np.random.default_rng(0), True).save(image)
    first = call(train.predict.main, earlier_run, image, "--output", tmp_path / "first.csv")
    assert "has no graph, so it is exported first" in first.stdout, first.stderr
    (exported,) = (tmp_path / "cache" / "exported").iterdir()
    (exported / "README.md").write_text("kept")
    again = call(train.predict.main, earlier_run, image, "--output", tmp_path / "again.csv")
    assert again.returncode == 0
    assert (exported / "README.md").read_text() == "kept"
    assert (tmp_path / "first.csv").read_text() == (tmp_path / "again.csv").read_text()


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_timm_model_of_others_is_exported_with_its_own_preprocessing(interpolation, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", num_classes=3)
    config = {"input_size": (3, 64, 64), "crop_pct": 0.875, "interpolation": interpolation, "mean": (0.5,) * 3}
    names = {"label_names": ["a", "b", "c"]}
    save_for_hf(network, tmp_path / "theirs", data_config=config, model_config=names, safe_serialization=True)
    path = tmp_path / "theirs" / "config.json"
    values = json.loads(path.read_text())
    del values["model_args"]  # transformers does not open what timm writes there
    path.write_text(json.dumps(values))
    export(str(tmp_path / "theirs"), None, tmp_path / "ours")
    resizing = Graph.load(tmp_path / "ours" / FILE).metadata.resizing
    assert (resizing.size, resizing.scaled, resizing.squash, resizing.interpolation) == (64, 73, False, interpolation)
    assert Classifier.load(tmp_path / "ours").labels == ["a", "b", "c"]
    random = np.random.default_rng(0)
    images = [draw_phantom(random, True, *size) for size in ((200, 90), (64, 64), (70, 300))]
    check_graph(tmp_path / "ours", *load_saved(tmp_path / "ours"), images)


def test_a_model_on_the_hub_is_exported_at_its_commit(three_classes, tmp_path):
    names = ("config.json", "model.safetensors")
    files = {f"someone/three/{name}": (three_classes / name).read_bytes() for name in names}
    with serving(files) as endpoint:
        environment = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        command = ["-m", "train.export", "someone/three@main", "--output", tmp_path / "three"]
        done = run_python(*command, **environment, HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "three" / FILE).read_bytes() == (three_classes / FILE).read_bytes()


@pytest.mark.parametrize(("model", "message"), [("nowhere", "no such file"), (DEFAULT_MODEL.parent, "no config.json")])
def test_a_mistake_is_told_before_anything_is_loaded(model, message, tmp_path):
    done = call(train.export.main, model, "--output", tmp_path / "new")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "new").exists()


def test_an_existing_output_is_left_alone(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").touch()
    done = call(train.export.main, DEFAULT_MODEL, "--output", tmp_path / "new")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)


def test_a_model_that_brings_code_is_refused_and_leaves_nothing(three_classes, tmp_path):
    folder = shutil.copytree(three_classes, tmp_path / "theirs")
    path = folder / "config.json"
    changes = {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / "theirs.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(UsageError, match="cannot be loaded"):
        export(str(folder), None, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("*.partial"))
