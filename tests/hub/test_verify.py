"""A model folder that is not what its run recorded is told, and never published."""

import json

import pytest
from safetensors.torch import load_file, save_file

import hub.verify
from hub.verify import verify_model
from space.errors import ChestXrayError
from tests.commands import call
from tests.hub.pushing import push


def test_what_the_run_recorded_is_found_again(run):
    done = call(hub.verify.main, run)
    assert (done.returncode, done.stdout) == (0, f"{run} reproduces the recorded outputs\n")


def test_tampered_weights_are_not_published(hub, run):
    weights = load_file(run / "model.safetensors")
    name = next(name for name in weights if name.endswith("classifier.weight"))
    weights[name] = weights[name] * 1.01
    save_file(weights, run / "model.safetensors", {"format": "pt"})
    done = push("model", run, "someone/tiny")
    assert done.returncode == 1
    assert "onnx/model.onnx was exported from other weights than model.safetensors" in done.stderr
    assert not hub.repositories


def test_swapped_labels_are_not_published(run):
    config = json.loads((run / "config.json").read_text())
    config["label_names"] = config["label_names"][::-1]
    config |= {"id2label": {"0": "PNEUMONIA", "1": "NORMAL"}, "label2id": {"PNEUMONIA": 0, "NORMAL": 1}}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ChestXrayError, match="labels"):
        verify_model(run)


@pytest.mark.parametrize("change", ["threshold", "guard"])
def test_another_threshold_or_guard_is_not_published(run, change):
    if change == "guard":
        (run / "guard.safetensors").unlink()
    else:
        config = json.loads((run / "config.json").read_text())
        config["operating_point"]["threshold"] = 0.01
        (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ChestXrayError, match="the run recorded"):
        verify_model(run)
