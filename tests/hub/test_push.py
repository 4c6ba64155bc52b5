"""Folders pushed to a Hub on the loopback address, through the real clients, and loaded back by them."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.conftest import run_python
from tests.hub_server import COMMIT, TOKEN, Hub, Repository

LOAD_MODEL = """
import json, sys, timm
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
import torch
from PIL import Image
from safetensors.torch import load_file
repo, golden = sys.argv[1:]
pixels, logits = load_file(golden)["pixels"], load_file(golden)["logits"]
picture = Image.fromarray(pixels[0, 0].numpy())
classify = pipeline("image-classification", model=repo)
scores = {one["label"]: one["score"] for one in classify(picture)}
model = AutoModelForImageClassification.from_pretrained(repo).eval()
inputs = AutoImageProcessor.from_pretrained(repo, backend="pil")(picture.convert("RGB"), return_tensors="pt")
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


@pytest.fixture
def run(run_folder, tmp_path):
    """A copy of the tiny run."""
    return shutil.copytree(run_folder, tmp_path / "tiny")


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


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".env", "a secret"),
        ("id_rsa", "a secret"),
        ("optimizer.pt", "a pickle"),
        ("patient.png", "may show a patient"),
        ("figures/patient.png", "may show a patient"),
        ("notes.txt", "not known"),
    ],
)
def test_what_does_not_belong_there_stops_the_push(hub, run, name, reason):
    (run / name).write_text("x")
    done = push(hub, "model", run, "someone/tiny", "--dry-run")
    assert done.returncode == 2
    assert name in done.stderr
    assert reason in done.stderr


def test_a_link_stops_the_push(hub, run, tmp_path):
    (run / "figures" / "more.png").symlink_to(tmp_path / "elsewhere.png")
    done = push(hub, "model", run, "someone/tiny", "--dry-run")
    assert (done.returncode, "a link" in done.stderr) == (2, True)


def test_no_token_no_evaluation_no_folder_and_a_bad_name_are_usage_errors(hub, run, tmp_path):
    done = push(hub, "model", run, "someone/tiny", HF_TOKEN="", HF_HOME=str(tmp_path / "empty"))
    assert (done.returncode, "hf auth login" in done.stderr) == (2, True), done.stderr
    assert not hub.requests
    for arguments, expected in (
        (("model", tmp_path / "nothing", "someone/tiny"), "is no folder"),
        (("model", run, "tiny"), "USER/NAME"),
        (("model", run, "some one/ti ny"), "no name of a repository"),
    ):
        done = push(hub, *arguments)
        assert (done.returncode, expected in done.stderr) == (2, True), done.stderr
    (run / "results.json").unlink()
    done = push(hub, "model", run, "someone/tiny")
    assert (done.returncode, "without evaluation" in done.stderr) == (2, True), done.stderr


def test_tampered_weights_are_not_published(hub, run):
    weights = load_file(run / "model.safetensors")
    name = next(name for name in weights if name.endswith("classifier.weight"))
    weights[name] = weights[name] * 1.01
    save_file(weights, run / "model.safetensors", {"format": "pt"})
    done = push(hub, "model", run, "someone/tiny")
    assert done.returncode == 1
    assert "other outputs than the run recorded" in done.stderr
    assert not hub.repositories


def test_swapped_labels_are_not_published(hub, run):
    config = json.loads((run / "config.json").read_text())
    config["label_names"] = config["label_names"][::-1]
    config |= {"id2label": {"0": "PNEUMONIA", "1": "NORMAL"}, "label2id": {"PNEUMONIA": 0, "NORMAL": 1}}
    (run / "config.json").write_text(json.dumps(config))
    done = push(hub, "model", run, "someone/tiny")
    assert (done.returncode, "labels" in done.stderr) == (1, True)
    assert not hub.repositories


def test_what_is_somebody_elses_is_not_replaced(hub, run):
    hub.repositories["models/someone/thesis"] = Repository()
    hub.repositories["models/someone/thesis"].commits[COMMIT]["thesis.gguf"] = b"years of work"
    done = push(hub, "model", run, "someone/thesis")
    assert (done.returncode, "holds other things (thesis.gguf)" in done.stderr) == (2, True), done.stderr
    assert hub.files("models/someone/thesis") == {"thesis.gguf": b"years of work"}


@pytest.mark.parametrize("change", ["card", "shard", "split"])
def test_a_dataset_that_its_users_would_open_otherwise_is_not_published(hub, phantoms, change):
    data, card = phantoms / "data", phantoms / "README.md"
    if change == "card":
        card.write_text(card.read_text().replace("'1': PNEUMONIA", "'1': COVID"))
    elif change == "shard":
        shutil.copy(next(data.glob("test-*")), data / "patients.parquet")
    else:
        next(data.glob("test-*")).unlink()
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not hub.requests


def test_names_that_were_kept_do_not_become_public(hub, run, phantoms):
    results, audit = run / "results.json", phantoms / "audit.json"
    told = json.loads(results.read_text())
    told["dataset"]["audit"]["names_kept"] = True
    results.write_text(json.dumps(told))
    told = json.loads(audit.read_text())
    told["conversion"]["names_kept"] = True
    audit.write_text(json.dumps(told))
    for kind, folder in (("model", run), ("dataset", phantoms)):
        done = push(hub, kind, folder, "someone/names", "--public")
        assert (done.returncode, "may name persons" in done.stderr) == (2, True), done.stderr
    assert not hub.requests


def test_a_token_in_a_text_stops_the_push(hub, run):
    (run / "README.md").write_text((run / "README.md").read_text() + "\nhf_" + "a1B2" * 9)
    done = push(hub, "model", run, "someone/tiny")
    assert (done.returncode, "looks like a token" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("change", ["threshold", "guard"])
def test_another_threshold_or_guard_is_not_published(hub, run, change):
    if change == "guard":
        (run / "guard.safetensors").unlink()
    else:
        config = json.loads((run / "config.json").read_text())
        config["operating_point"]["threshold"] = 0.01
        (run / "config.json").write_text(json.dumps(config))
    done = push(hub, "model", run, "someone/tiny")
    assert (done.returncode, "the run recorded" in done.stderr) == (1, True), done.stderr
    assert not hub.repositories


def test_a_branchs_name_is_no_tag(hub, run):
    done = push(hub, "model", run, "someone/tiny", "--tag", "main")
    assert (done.returncode, "is a branch's name" in done.stderr) == (2, True)


def test_a_damaged_dataset_is_not_published(hub, phantoms):
    shard = next((phantoms / "data").glob("test-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "damaged parquet file" in done.stderr) == (2, True), done.stderr
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


def test_a_public_repository_is_not_pushed_to_unasked(hub, dataset_folder):
    hub.repositories["datasets/someone/phantoms"] = Repository(private=False)
    done = push(hub, "dataset", dataset_folder, "someone/phantoms")
    assert (done.returncode, "public already" in done.stderr) == (2, True)
    assert not hub.files("datasets/someone/phantoms")


def test_a_dataset_without_a_free_licence_is_not_made_public(hub, dataset_folder, tmp_path):
    folder = shutil.copytree(dataset_folder, tmp_path / "rsna")
    report = json.loads((folder / "audit.json").read_text())
    report["conversion"]["layout"] = "rsna-pneumonia-detection-challenge"
    (folder / "audit.json").write_text(json.dumps(report))
    done = push(hub, "dataset", folder, "someone/rsna", "--public")
    assert done.returncode == 2
    assert "does not let you publish them" in done.stderr
    assert not hub.requests
    (folder / "audit.json").unlink()
    done = push(hub, "dataset", folder, "someone/rsna", "--public")
    assert (done.returncode, "its licence is not known" in done.stderr) == (2, True)
