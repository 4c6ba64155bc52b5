"""What README says is true: its commands run on phantoms, its numbers are the bundled model's."""

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import which

import numpy as np

from tests.conftest import DEFAULT_MODEL, REPOSITORY, TINY_RECIPE
from tests.phantoms import draw_phantom, write_kaggle_tree
from tests.server import running_app
from train.config.recipe import RECIPES
from train.report.model_card import METRIC_NAMES

README = (REPOSITORY / "README.md").read_text()


def commands() -> list[list[str]]:
    """Every shell command of README, split into words, without its comment."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    return [words for line in blocks.splitlines() if (words := shlex.split(line, comments=True))]


def test_the_make_targets_exist():
    targets = {words[1] for words in commands() if words[0] == "make"}
    assert {"demo", "test"} <= targets
    assert targets <= set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def test_the_commands_from_kaggle_to_a_model_run_as_written(tmp_path):
    write_kaggle_tree(tmp_path / "chest-xray-pneumonia")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    steps = [["python", "-m", "hub.convert"], ["accelerate", "launch", "train/finetune.py"]]
    steps += [["python", "-m", "train.predict"]]
    story = [words for words in commands() if words[:3] in steps]
    assert len(story) == 3
    for words in story:
        words = [str(TINY_RECIPE) if word == "mobilenetv2-pneumonia" else word for word in words]
        words = [str(REPOSITORY / word) if word == "train/finetune.py" else word for word in words]
        words += ["--init", "scratch", "--max-steps", "2"] if words[0] == "accelerate" else []
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    app = next(words for words in commands() if words[:2] == ["python", "app.py"])
    assert (tmp_path / app[app.index("--model") + 1] / "model.safetensors").is_file()
    assert "PNEUMONIA" in (tmp_path / "predictions.csv").read_text()


def test_the_table_of_recipes_is_complete():
    named = set(re.findall(r"`((?:best|chestcnn|mobilenetv2|densenet\d+)-\w+)`", README))
    assert named == {path.stem for path in RECIPES.glob("*.toml")}


def test_the_results_are_the_bundled_models():
    recorded = json.loads((DEFAULT_MODEL / "results.json").read_text())["splits"]["test"]
    rows = dict(re.findall(r"^\| ([\w ()]+?) \| (.*) \|$", README, re.MULTILINE))
    for name in ("auroc", "accuracy", "balanced_accuracy", "sensitivity", "specificity"):
        expected = [recorded[rule][name] for rule in ("argmax", "operating_point")]
        cells = [f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})" for found in expected]
        assert rows[METRIC_NAMES[name]] == " | ".join(cells), name


def test_every_file_that_is_linked_exists():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_the_api_answers_as_written(tmp_path):
    draw_phantom(np.random.default_rng(3), True, 300, 280).save(tmp_path / "xray.png")
    with zipfile.ZipFile(tmp_path / "xrays.zip", "w") as archive:
        archive.write(tmp_path / "xray.png", "xray.png")
    snippets = re.findall(r"```(python|bash)\n(.*?)```", README, re.DOTALL)
    (python,) = (code for kind, code in snippets if kind == "python" and "gradio_client" in code)
    (shell,) = (code for kind, code in snippets if kind == "bash" and "curl" in code)
    asked = [[sys.executable, "-c", python]] + ([["bash", "-euo", "pipefail", "-c", shell]] if which("curl") else [])
    with running_app() as address:
        for command in asked:
            assert "http://127.0.0.1:7860" in command[-1]
            command[-1] = command[-1].replace("http://127.0.0.1:7860", address)
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert "PNEUMONIA" in done.stdout
