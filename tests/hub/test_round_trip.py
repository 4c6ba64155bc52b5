"""The whole story on a Hub: a dataset from there is trained on, the chest CNN goes there and is used from there."""

import json

import pytest
from huggingface_hub import ModelCard

from hub.publishing.space_bundle import build_bundle
from tests.conftest import run_python
from tests.hub.pushing import online, push, pushed
from tests.train.engine.fixtures import finetune

# In a process of its own, for it runs the repository's code.
LOAD = """
import json, sys, torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification, pipeline
repo, commit, golden = sys.argv[1:]
pixels, logits = load_file(golden)["pixels"], load_file(golden)["logits"]
classify = pipeline("image-classification", model=repo, revision=commit, trust_remote_code=True)
scores = {one["label"]: one["score"] for one in classify(Image.fromarray(pixels[0, 0].numpy()))}
model = AutoModelForImageClassification.from_pretrained(repo, revision=commit, trust_remote_code=True)
expected = dict(zip(model.config.id2label.values(), logits[0].softmax(0).tolist()))
print(json.dumps({name: abs(score - expected[name]) for name, score in scores.items()}))
"""


@pytest.fixture
def trained(hub, phantoms, tmp_path):
    """A chest CNN, two steps old, of a dataset on the Hub."""
    assert push("dataset", phantoms, "someone/phantoms").returncode == 0
    options = ["--recipe", "chestcnn-pneumonia", "--dataset", "someone/phantoms", "--output", tmp_path / "cnn"]
    done = finetune(*options, "--max-steps", "2", "--set", "image_size=64")
    assert done.returncode == 0, done.stderr
    return tmp_path / "cnn"


def test_a_chest_cnn_of_a_hub_dataset_is_used_with_its_code_pinned(hub, trained, tmp_path):
    run = trained
    card = ModelCard.load(run / "README.md")
    assert card.data.datasets == ["someone/phantoms"]
    assert "Its audit says" in (run / "EVALUATION.md").read_text()
    (run / "EVALUATION.md").unlink()  # run folders of earlier versions have none, and are pushed all the same
    done = push("model", run, "someone/cnn")
    assert done.returncode == 0, done.stderr
    repository, commit = hub.repositories["models/someone/cnn"], pushed(run)["commit"]
    assert "EVALUATION.md" not in repository.commits[commit]
    assert b'model="someone/cnn", revision=commit, trust_remote_code=True' in repository.commits[commit]["README.md"]
    # Somebody pushes other code later: who pinned the commit never runs it.
    later = repository.commits[commit] | {"modeling_chest_cnn.py": b"raise SystemExit('other code ran')"}
    repository.commits["f" * 40] = later
    repository.refs["main"] = "f" * 40
    loaded = run_python("-c", LOAD, "someone/cnn", commit, run / "golden.safetensors", cwd=tmp_path, **online(hub))
    assert loaded.returncode == 0, loaded.stderr
    differences = json.loads(loaded.stdout.splitlines()[-1])
    assert set(differences) == {"NORMAL", "PNEUMONIA"}
    assert max(differences.values()) < 1e-4
    (tmp_path / "space").mkdir()
    space = build_bundle(run, tmp_path / "space")
    assert ModelCard.load(space.files["README.md"]).data["datasets"] == ["someone/phantoms"]
