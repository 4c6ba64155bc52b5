"""A Space as it is pushed: it starts from its own files alone and serves the pinned commit of the model."""

import json
import shutil

import numpy as np
import pytest
from gradio_client import Client, handle_file
from huggingface_hub import RepoCard

from hub.publishing.space_bundle import BUNDLED, build_bundle
from space.errors import UsageError
from tests.conftest import REPOSITORY
from tests.hub.pushing import online, push
from tests.hub_state import COMMIT, Repository
from tests.phantoms import draw_phantom
from tests.server import running_app


@pytest.fixture
def space(hub, run, tmp_path):
    """A Hub with a private run and a Space of it, the Space's files in a folder, and the run's commit."""
    commit = "a" * 40
    files = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    hub.repositories["models/someone/tiny"] = Repository(commits={COMMIT: {}, commit: files}, refs={"main": commit})
    # It was public when it was pushed, but is no longer.
    (run / "pushed.json").write_text(json.dumps({"repo": "someone/tiny", "commit": commit, "public": True}))
    done = push("space", run, "someone/demo")
    assert done.returncode == 0, done.stderr
    assert "someone/tiny is private. In the Space's settings, add a secret HF_TOKEN" in done.stdout
    for name, content in hub.files("spaces/someone/demo").items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "files", commit


def test_a_space_is_the_code_and_a_card_that_says_what_to_install_and_fetch(space):
    folder, commit = space
    data = RepoCard.load(folder / "README.md").data.to_dict()
    pins = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert (data["sdk"], data["sdk_version"], data["app_file"]) == ("gradio", pins["gradio"], "app.py")
    assert data["models"] == ["someone/tiny"]
    assert "preload_from_hub" not in data  # which the Hub does not support for private models
    assert "The model someone/tiny is private" in (folder / "README.md").read_text()
    assert json.loads((folder / "model.json").read_text()) == {"model": "someone/tiny", "revision": commit}
    assert data["license"] == "apache-2.0"
    assert (folder / "requirements.txt").read_text() == (REPOSITORY / "space" / "requirements.txt").read_text()
    # The code is a verbatim copy, and nothing else comes along.
    assert {path.name for path in folder.iterdir()} == {
        "LICENSE", "README.md", "app.py", "model.json", "requirements.txt", "space",
    }  # fmt: skip
    for path in (folder / "space").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (REPOSITORY / path.relative_to(folder)).read_bytes()
    assert not list(folder.rglob("__pycache__"))
    assert not (folder / "space" / "lung-segmenter").exists()


def test_it_answers_from_an_otherwise_empty_folder_with_the_pinned_model(hub, space, tmp_path):
    folder, commit = space
    draw_phantom(np.random.default_rng(3), True).save(tmp_path / "xray.png")
    # Somebody pushes another model later: the Space still serves the commit that it was made with.
    hub.repositories["models/someone/tiny"].refs["main"] = next(iter(hub.repositories["models/someone/tiny"].commits))
    settings = online(hub) | {"HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": ""}
    with running_app(folder=folder, **settings) as address:
        answer = Client(address, verbose=False).predict(handle_file(tmp_path / "xray.png"), api_name="/classify")
    assert set(answer["probabilities"]) == {"NORMAL", "PNEUMONIA"}
    assert any(commit in request for request in hub.requests)


def test_the_bundled_model_needs_no_hub(tmp_path):
    contents = build_bundle(BUNDLED, tmp_path)
    assert "space/default-model/model.safetensors" in contents.files
    assert "model.json" not in contents.files
    assert "models" not in RepoCard.load(tmp_path / "README.md").data.to_dict()


def test_a_run_that_was_not_pushed_makes_no_space(run, tmp_path):
    with pytest.raises(UsageError, match="has not been pushed"):
        build_bundle(run, tmp_path)


def test_a_space_fetches_the_graph_of_a_run_and_neither_weights_nor_code(run, tmp_path):
    (run / "pushed.json").write_text(json.dumps({"repo": "someone/cnn", "commit": "0" * 40, "public": True}))
    (tmp_path / "space").mkdir()
    build_bundle(run, tmp_path / "space")
    assert json.loads((tmp_path / "space" / "model.json").read_text()) == {"model": "someone/cnn", "revision": "0" * 40}
    fetched = "onnx/model.onnx,golden.safetensors,guard.safetensors,config.json,README.md,results.json"
    card = RepoCard.load(tmp_path / "space" / "README.md")
    assert card.data["preload_from_hub"] == [f"someone/cnn {fetched} {'0' * 40}"]
    assert "HF_TOKEN" not in card.text


def test_a_run_without_a_graph_makes_no_space(run, tmp_path):
    shutil.rmtree(run / "onnx")
    (run / "pushed.json").write_text(json.dumps({"repo": "someone/cnn", "commit": "0" * 40}))
    with pytest.raises(UsageError, match=r"python -m train\.export"):
        build_bundle(run, tmp_path)
