"""Folders pushed to a Hub on the loopback address, through the real clients, and loaded back by them."""

import json
import shutil

from tests.conftest import run_python
from tests.hub_state import COMMIT, TOKEN, Hub, Repository

LOAD_MODEL = """
import json, sys, timm
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
import torch
from PIL import Image
from safetensors.torch import load_file
repo, golden = sys.argv[1:]
pixels, logits = load_file(golden)["pixels"], load_file(golden)["logits"]
image = Image.fromarray(pixels[0, 0].numpy())
classify = pipeline("image-classification", model=repo)
scores = {one["label"]: one["score"] for one in classify(image)}
model = AutoModelForImageClassification.from_pretrained(repo).eval()
inputs = AutoImageProcessor.from_pretrained(repo, backend="pil")(image.convert("RGB"), return_tensors="pt")
other = timm.create_model(f"hf-hub:{repo}", pretrained=True).eval()
with torch.no_grad():
    found = [model(**inputs).logits[0], other(inputs["pixel_values"])[0]]
labels = [model.config.id2label[i] for i in range(2)]
expected = dict(zip(labels, logits[0].softmax(0).tolist()))
print(json.dumps({
    "worst": max(float((one - logits[0]).abs().max()) for one in found),
    "pipeline": max(abs(scores[name] - expected[name]) for name in labels),
    "labels": [labels, list(other.pretrained_cfg["label_names"])],
}))
"""

LOAD_DATASET = """
import sys
from datasets import load_dataset
repo, folder = sys.argv[1:]
for streaming in (False, True):
    there, here = load_dataset(repo, streaming=streaming), load_dataset(folder)
    assert list(there) == list(here)
    for split in here:
        assert there[split].features == here[split].features
        pairs = list(zip(there[split], here[split], strict=True))
        assert pairs and all(a["source"] == b["source"] and a["label"] == b["label"] for a, b in pairs)
        assert all(a["image"].tobytes() == b["image"].tobytes() for a, b in pairs[:5])
"""


def online(hub: Hub, token: str = TOKEN) -> dict[str, str]:
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token}
    return settings | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}


def push(hub: Hub, *arguments, **changes):
    return run_python("-m", "hub.push", *arguments, **(online(hub) | changes))


def pushed(folder) -> dict:
    return json.loads((folder / "pushed.json").read_text())


def test_a_model_comes_back_through_pipeline_transformers_and_timm(hub, run, tmp_path):
    done = push(hub, "model", run, "someone/tiny", "--tag", "v1")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["models/someone/tiny"]
    assert repository.private
    assert len(repository.commits) == 2  # the empty one, and ours
    noted = pushed(run)
    assert noted["commit"] == repository.refs["main"] == repository.refs["v1"]
    assert noted["commit"] in done.stdout
    assert noted["url"] in done.stdout
    files = hub.files("models/someone/tiny")
    assert {"README.md", "config.json", "model.safetensors", "results.json", "golden.safetensors"} <= files.keys()
    assert not [name for name in files if "local" in name or name == "pushed.json" or "checkpoints" in name]
    assert TOKEN not in done.stdout + done.stderr + json.dumps(noted)
    assert not [name for name, content in files.items() if TOKEN.encode() in content]
    cache = {"HF_HOME": str(tmp_path / "cache")}
    arguments = ("-c", LOAD_MODEL, "someone/tiny", run / "golden.safetensors")
    assert b'model="someone/tiny"' in files["README.md"]
    loaded = run_python(*arguments, cwd=tmp_path, **(online(hub) | cache))
    assert loaded.returncode == 0, loaded.stderr
    answer = json.loads(loaded.stdout.splitlines()[-1])
    assert answer["worst"] < 1e-4
    assert answer["pipeline"] < 1e-4
    assert answer["labels"] == [["NORMAL", "PNEUMONIA"]] * 2
    again = push(hub, "model", run, "someone/tiny")
    assert again.returncode == 0, again.stderr
    assert "nothing new to push" in again.stdout
    assert len(repository.commits) == 2


def test_a_dataset_comes_back_through_load_dataset_and_streamed(hub, dataset_folder, tmp_path):
    folder = shutil.copytree(dataset_folder, tmp_path / "phantoms")
    (folder / "quarantine.csv").write_text("source,reason\nsecret name.png,broken\n")
    done = push(hub, "dataset", folder, "someone/phantoms", "--public")
    assert done.returncode == 0, done.stderr
    assert not hub.repositories["datasets/someone/phantoms"].private
    assert not {"quarantine.csv", "pushed.json"} & hub.files("datasets/someone/phantoms").keys()
    cache = {"HF_HOME": str(tmp_path / "cache"), "HF_DATASETS_CACHE": str(tmp_path / "datasets")}
    arguments = ("-c", LOAD_DATASET, "someone/phantoms", folder)
    loaded = run_python(*arguments, cwd=tmp_path, **(online(hub) | cache))
    assert loaded.returncode == 0, loaded.stderr


def test_what_is_gone_here_goes_there_in_the_same_commit(hub, run):
    assert push(hub, "model", run, "someone/tiny").returncode == 0
    first = pushed(run)["commit"]
    (run / "history.csv").unlink()
    done = push(hub, "model", run, "someone/tiny")
    assert done.returncode == 0, done.stderr
    assert "history.csv" not in hub.files("models/someone/tiny")
    assert "history.csv" in hub.files("models/someone/tiny", first)
    assert pushed(run)["commit"] != first


def test_a_branch_leaves_main_alone(hub, run):
    assert push(hub, "model", run, "someone/tiny", "--revision", "trial").returncode == 0
    repository = hub.repositories["models/someone/tiny"]
    assert repository.refs["main"] == COMMIT
    assert repository.refs["trial"] == pushed(run)["commit"]


def test_a_dry_run_lists_files_and_card_and_contacts_nobody(hub, run):
    done = push(hub, "model", run, "someone/tiny", "--dry-run", HF_TOKEN="")
    assert done.returncode == 0, done.stderr
    size = (run / "model.safetensors").stat().st_size
    assert f"{size:>12,}  model.safetensors" in done.stdout
    assert "# tiny" in done.stdout
    assert "left out: figures/local/mistakes.png" in done.stdout
    assert not hub.requests


def test_a_tag_never_moves(hub, phantoms):
    assert push(hub, "dataset", phantoms, "someone/phantoms", "--tag", "v1").returncode == 0
    repository = hub.repositories["datasets/someone/phantoms"]
    first = repository.refs["v1"]
    assert push(hub, "dataset", phantoms, "someone/phantoms", "--tag", "v1").returncode == 0  # the same content
    (phantoms / "figures" / "sizes.png").unlink()
    done = push(hub, "dataset", phantoms, "someone/phantoms", "--tag", "v1")
    assert (done.returncode, f"v1 names commit {first[:7]}" in done.stderr) == (2, True), done.stderr
    assert repository.refs == {"main": first, "v1": first}


def test_a_private_repository_stays_so(hub, phantoms):
    hub.repositories["datasets/someone/phantoms"] = Repository(private=True)
    done = push(hub, "dataset", phantoms, "someone/phantoms", "--public")
    assert done.returncode == 0, done.stderr
    assert "was private already and stays so" in done.stdout
    assert pushed(phantoms)["public"] is False
