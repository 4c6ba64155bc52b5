"""What is never pushed: secrets, damaged and tampered things, what is not one's own, what must not be public."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from hub.publishing.allowlist import collect
from hub.verify import verify_model
from space.errors import ChestXrayError, UsageError
from tests.hub.test_push import push
from tests.hub_state import COMMIT, Repository


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
def test_what_does_not_belong_there_stops_the_push(run, name, reason):
    (run / name).write_text("x")
    with pytest.raises(UsageError, match=reason) as caught:
        collect(run, "model")
    assert name in str(caught.value)


def test_a_link_stops_the_push(run, tmp_path):
    (run / "figures" / "more.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(UsageError, match="a link"):
        collect(run, "model")


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
    assert (done.returncode, "has no results.json" in done.stderr) == (2, True), done.stderr


def test_tampered_weights_are_not_published(hub, run):
    weights = load_file(run / "model.safetensors")
    name = next(name for name in weights if name.endswith("classifier.weight"))
    weights[name] = weights[name] * 1.01
    save_file(weights, run / "model.safetensors", {"format": "pt"})
    done = push(hub, "model", run, "someone/tiny")
    assert done.returncode == 1
    assert "other outputs than the run recorded" in done.stderr
    assert not hub.repositories


def test_swapped_labels_are_not_published(run):
    config = json.loads((run / "config.json").read_text())
    config["label_names"] = config["label_names"][::-1]
    config |= {"id2label": {"0": "PNEUMONIA", "1": "NORMAL"}, "label2id": {"PNEUMONIA": 0, "NORMAL": 1}}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ChestXrayError, match="labels"):
        verify_model(run)


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


def test_a_token_in_a_text_stops_the_push(run):
    (run / "README.md").write_text((run / "README.md").read_text() + "\nhf_" + "a1B2" * 9)
    with pytest.raises(UsageError, match="looks like a token"):
        collect(run, "model")


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


def test_a_branchs_name_is_no_tag(hub, run):
    done = push(hub, "model", run, "someone/tiny", "--tag", "main")
    assert (done.returncode, "is a branch's name" in done.stderr) == (2, True)


def test_a_damaged_dataset_is_not_published(hub, phantoms):
    shard = next((phantoms / "data").glob("test-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    done = push(hub, "dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "damaged parquet file" in done.stderr) == (2, True), done.stderr
    assert not hub.requests


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
