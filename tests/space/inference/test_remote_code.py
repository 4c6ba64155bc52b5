"""Code that comes with a model runs only unchanged, only if it is ours, and only if somebody asked for it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTImageProcessor

from space.errors import UsageError
from space.inference.classifier import Classifier
from space.inference.remote_code import KNOWN_DIGESTS, MODULE
from tests.conftest import REPOSITORY, run_python
from tests.hub_server import serving
from tests.hub_state import COMMIT
from tests.phantoms import draw_phantom
from train.models.modeling_chest_cnn import ChestCnnConfig, ChestCnnForImageClassification

EVIL = "raise SystemExit('remote code ran')\n"


@pytest.fixture(scope="module")
def cnn() -> ChestCnnForImageClassification:
    torch.manual_seed(0)
    labels = {0: "NORMAL", 1: "PNEUMONIA"}
    config = ChestCnnConfig(image_size=64, widths=[4, 8], paddings=[1, 1], block_dropouts=[0.0, 0.1], id2label=labels)
    config.label2id = {name: index for index, name in labels.items()}
    return ChestCnnForImageClassification(config).eval()


@pytest.fixture
def folder(cnn, tmp_path) -> Path:
    """A model repository of our own network, as training saves it."""
    path = tmp_path / "cnn"
    cnn.save_pretrained(path)
    processor = {"size": {"height": 64, "width": 64}, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    ViTImageProcessor(do_convert_rgb=True, **processor).save_pretrained(path)
    return path


def change_auto_map(folder: Path, auto_map: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": auto_map}))


def test_the_network_of_this_version_is_known():
    digest = hashlib.sha256((REPOSITORY / "train" / "models" / f"{MODULE}.py").read_bytes()).hexdigest()
    assert digest in KNOWN_DIGESTS, (
        f"{MODULE}.py changed: put its SHA-256, {digest}, into KNOWN_DIGESTS of space/inference/remote_code.py, "
        "and keep the older digests of versions that models were published with."
    )


def test_our_network_runs_if_it_is_asked_for_and_openvino_agrees_with_it(cnn, folder):
    classifier = Classifier.load(folder, trust_remote_code=True)
    random = np.random.default_rng(0)
    images = [draw_phantom(random, pneumonia=k % 2 == 0) for k in range(3)]
    with torch.inference_mode():
        expected = cnn(classifier.preprocess(images)).logits
    assert classifier.backend == "OpenVINO"
    assert classifier.labels == ["NORMAL", "PNEUMONIA"]
    assert (classifier.logits(images) - expected).abs().max() <= 1e-4


def test_unasked_no_code_runs(folder):
    (folder / f"{MODULE}.py").write_text(EVIL)
    with pytest.raises(UsageError, match="--trust-remote-code"):
        Classifier.load(folder)


def test_changed_code_does_not_run(folder):
    with (folder / f"{MODULE}.py").open("a") as file:
        file.write(EVIL)
    with pytest.raises(UsageError, match="only an unchanged"):
        Classifier.load(folder, trust_remote_code=True)


@pytest.mark.parametrize(
    "auto_map",
    [
        {"AutoConfig": "other.Config"},
        {"AutoConfig": f"{MODULE}.ChestCnnConfig", "AutoModelForImageClassification": "other.Net"},
        {"AutoConfig": f"somebody/else--{MODULE}.ChestCnnConfig"},
        {"AutoConfig": f"folder.{MODULE}.ChestCnnConfig"},
        {"AutoConfig": [f"{MODULE}.ChestCnnConfig"]},
        [f"{MODULE}.ChestCnnConfig"],
        MODULE,
    ],
)
def test_code_from_elsewhere_does_not_run(folder, auto_map):
    change_auto_map(folder, auto_map)
    (folder / "other.py").write_text(EVIL)
    with pytest.raises(UsageError, match="only an unchanged"):
        Classifier.load(folder, trust_remote_code=True)


def test_a_processor_brings_no_code(folder):
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text()) | {"auto_map": {"AutoImageProcessor": "other.Processor"}}
    config["image_processor_type"] = "Processor"
    path.write_text(json.dumps(config))
    (folder / "other.py").write_text(EVIL)
    with pytest.raises(UsageError, match="no model could be loaded"):
        Classifier.load(folder, trust_remote_code=True)


def test_a_lacking_file_is_named(folder):
    (folder / f"{MODULE}.py").unlink()
    with pytest.raises(UsageError, match=rf"no {MODULE}\.py"):
        Classifier.load(folder, trust_remote_code=True)


@pytest.mark.parametrize("content", ["[1]", "{", "\x00"])
def test_a_config_that_is_none_is_a_usage_error(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(UsageError, match="no model could be loaded"):
        Classifier.load(folder)


def test_our_network_is_loaded_from_the_hub_if_it_is_asked_for(folder, tmp_path):
    files = {f"user/cnn/{path.name}": path.read_bytes() for path in folder.iterdir()}
    program = (
        "import sys\n"
        "from space.inference.classifier import Classifier\n"
        "from space.errors import run_cli\n"
        "from space.inference.remote_code import check_code\n"
        "trust = 'trust' in sys.argv\n"
        "run_cli(lambda: print(Classifier.load('user/cnn', None, trust).backend, *check_code('user/cnn', None, trust)))"
    )
    with serving(files) as endpoint:
        environment = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
        refused = run_python("-c", program, **environment)
        asked = run_python("-c", program, "trust", **environment)
    assert (refused.returncode, "--trust-remote-code" in refused.stderr) == (2, True), refused.stderr
    assert asked.stdout.split() == ["OpenVINO", COMMIT, "True"], asked.stderr


def test_what_is_loaded_is_the_commit_that_was_checked(monkeypatch):
    asked = []

    def spy(name, **options):
        asked.append((options["revision"], options["code_revision"], options["trust_remote_code"]))
        raise OSError("not today")

    monkeypatch.setattr("space.inference.classifier.check_code", lambda name, revision, trust: (COMMIT, trust))
    monkeypatch.setattr("transformers.AutoModelForImageClassification.from_pretrained", spy)
    with pytest.raises(UsageError, match="not today"):
        Classifier.load("user/cnn", "main", trust_remote_code=True)
    assert asked == [(COMMIT, COMMIT, True)]
