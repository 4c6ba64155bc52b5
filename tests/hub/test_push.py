"""Folders pushed to a Hub on the loopback address, through the real clients, and loaded back by them."""

import json

import pytest
import timm
import torch
from datasets import load_dataset
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

from tests.conftest import run_python
from tests.hub.pushing import online, push, pushed
from tests.hub_state import TOKEN


def test_a_model_comes_back_through_pipeline_transformers_and_timm(hub, run):
    golden = load_file(run / "golden.safetensors")
    done = push("model", run, "someone/tiny", "--tag", "v1")
    assert done.returncode == 0, done.stderr
    repository, noted = hub.repositories["models/someone/tiny"], pushed(run)
    assert repository.private
    assert noted["commit"] == repository.refs["main"] == repository.refs["v1"]
    assert noted["commit"] in done.stdout
    assert noted["url"] in done.stdout
    files = hub.files("models/someone/tiny")
    assert {"config.json", "model.safetensors", "results.json", "golden.safetensors"} <= files.keys()
    assert files["EVALUATION.md"] == (run / "EVALUATION.md").read_bytes()
    assert b'model="someone/tiny"' in files["README.md"]
    assert TOKEN not in done.stdout + done.stderr + json.dumps(noted)
    assert not [name for name, content in files.items() if TOKEN.encode() in content]

    image = Image.fromarray(golden["pixels"][0, 0].numpy())
    expected = golden["logits"][0]
    model = AutoModelForImageClassification.from_pretrained("someone/tiny").eval()
    processor = AutoImageProcessor.from_pretrained("someone/tiny", backend="pil")
    inputs = processor(image.convert("RGB"), return_tensors="pt")
    other = timm.create_model("hf-hub:someone/tiny", pretrained=True).eval()
    with torch.no_grad():
        for logits in (model(**inputs).logits[0], other(inputs["pixel_values"])[0]):
            assert torch.allclose(logits, expected, atol=1e-4)
    labels = ["NORMAL", "PNEUMONIA"]
    assert list(model.config.id2label.values()) == list(other.pretrained_cfg["label_names"]) == labels
    scores = {row["label"]: row["score"] for row in pipeline("image-classification", model="someone/tiny")(image)}
    assert scores == pytest.approx(dict(zip(labels, expected.softmax(0).tolist(), strict=True)), abs=1e-4)


def test_a_dataset_comes_back_through_load_dataset_and_streamed(hub, phantoms):
    (phantoms / "quarantine.csv").write_text("source,reason\nsecret name.png,broken\n")
    done = push("dataset", phantoms, "someone/phantoms", "--public")
    assert done.returncode == 0, done.stderr
    assert not hub.repositories["datasets/someone/phantoms"].private
    assert not {"quarantine.csv", "pushed.json"} & hub.files("datasets/someone/phantoms").keys()
    here = load_dataset(str(phantoms))
    for streaming in (False, True):
        there = load_dataset("someone/phantoms", streaming=streaming)
        assert list(there) == list(here)
        for split in here:
            assert there[split].features == here[split].features
            pairs = list(zip(there[split], here[split], strict=True))
            assert pairs
            assert all((a["source"], a["label"]) == (b["source"], b["label"]) for a, b in pairs)
            assert all(a["image"].tobytes() == b["image"].tobytes() for a, b in pairs[:5])


def test_the_command_in_a_process_of_its_own(hub, phantoms):
    done = run_python("-m", "hub.push", "dataset", phantoms, "someone/phantoms", **online(hub))
    assert done.returncode == 0, done.stderr
    assert f"commit {pushed(phantoms)['commit']}, checked by downloading it; private" in done.stdout
    done = run_python("-m", "hub.push", "dataset", phantoms, "others/phantoms", **online(hub))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: the token may not write to others/phantoms")
    assert "Traceback" not in done.stderr


def test_no_token_is_a_usage_error(hub, run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    done = push("model", run, "someone/tiny")
    assert (done.returncode, "hf auth login" in done.stderr) == (2, True), done.stderr
    assert not hub.requests


@pytest.mark.parametrize(
    ("source", "repo", "options", "expected"),
    [
        ("nothing", "someone/tiny", (), "nothing is not a folder. Give a run folder."),
        ("tiny", "tiny", (), "'tiny' is not a repository name. Give USER/NAME"),
        ("tiny", "some one/ti ny", (), "'some one/ti ny' is not a repository name"),
        ("tiny", "someone/tiny", ("--licence", "mit"), "--licence is for datasets"),
        ("tiny", "a/b/c", (), "'a/b/c' is not a repository name"),
        ("tiny", "someone/tiny", ("--tag", "main"), "--tag main is the name of a branch"),
        ("tiny", "someone/tiny", ("--revision", "x", "--tag", "x"), "--tag x is the name of a branch"),
    ],
)
def test_arguments_that_make_no_sense_are_usage_errors(tmp_path, source, repo, options, expected):
    (tmp_path / "tiny").mkdir()
    done = push("model", tmp_path / source, repo, *options)
    assert (done.returncode, expected in done.stderr) == (2, True), done.stderr
