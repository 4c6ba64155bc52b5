import ast
import json
import os
import re
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from space.results.results_file import read_results
from tests.commands import call
from tests.conftest import REPOSITORY, TINY_RECIPE, run_python
from tests.train.engine.fixtures import finetune
from train.config.recipe_file import load_recipe
from train.report import model_card
from train.report.model_card import render_card, render_evaluation

FILES = {
    "EVALUATION.md", "README.md", "classification_report.csv", "config.json", "confusion_matrix.csv", "figures",
    "golden.safetensors",
    "guard.safetensors", "history.csv", "model.safetensors", "onnx", "predictions.csv", "recipe.toml", "results.json",
    "tensorboard",
}  # fmt: skip

PIPELINE = """
import csv, json, sys
from PIL import Image
from transformers import pipeline
run, dataset = sys.argv[1:]
classify = pipeline("image-classification", model=run)
from datasets import load_dataset
images = load_dataset(dataset, split="test")["image"]
rows = [row for row in csv.DictReader(open(f"{run}/predictions.csv")) if row["split"] == "test"]
worst = 0
for row, image in list(zip(rows, images))[::4]:
    gray = image.convert("L")
    for variant in (gray, gray.convert("RGB"), gray.convert("RGBA"), gray.convert("P")):
        for answer in classify(variant):
            worst = max(worst, abs(answer["score"] - float(row["prob:" + answer["label"]])))
print(json.dumps({"worst": worst, "labels": sorted(answer["label"] for answer in classify(gray))}))
"""


@pytest.fixture(scope="module")
def results(run_folder) -> dict:
    return json.loads((run_folder / "results.json").read_text())


def test_a_short_run_learns_the_phantoms_signal(results):
    assert results["splits"]["test"]["argmax"]["auroc"]["value"] > 0.9


def test_the_run_folder_holds_the_contract(run_folder, results):
    assert {path.name for path in run_folder.iterdir()} == FILES
    assert {path.name for path in (run_folder / "figures").iterdir()} - {"local"} == {
        f"{name}.png" for name in results["figures"]
    }
    assert not run_folder.with_name("tiny.partial").exists()
    config = json.loads((run_folder / "config.json").read_text())
    assert config["label_names"] == ["NORMAL", "PNEUMONIA"]
    assert config["problem_type"] == "single_label_classification"
    assert config["pretrained_cfg"]["crop_mode"] == "squash"
    assert config["operating_point"] == results["operating_point"]
    recipe = load_recipe(run_folder / "recipe.toml")
    assert replace(recipe, name="tiny") == load_recipe(TINY_RECIPE)
    assert "# A recipe for tests" in (run_folder / "recipe.toml").read_text()
    assert list((run_folder / "tensorboard").rglob("events.out.tfevents.*"))
    for metrics in results["splits"]["test"].values():
        for name, found in metrics.items():
            assert found["low"] <= found["high"]
            assert name == "ece" or found["low"] <= found["value"] <= found["high"]
            assert found["unit"] == "patient"


def test_the_kept_epoch_is_the_latest_of_the_best_on_validation(results):
    scores = [row["validation_auroc"] for row in results["history"]]
    best = [row["epoch"] for row in results["history"] if row["validation_auroc"] == max(scores)]
    assert results["selection"]["epoch"] == best[-1]


def test_the_card_is_rendered_from_the_results_and_says_what_it_must(run_folder, results):
    card = (run_folder / "README.md").read_text()
    evaluation = (run_folder / "EVALUATION.md").read_text()
    typed = read_results(run_folder / "results.json")
    assert (card, evaluation) == (render_card(typed), render_evaluation(typed))
    auroc = results["splits"]["test"]["argmax"]["auroc"]
    assert f"| AUROC | {auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f}) |" in card
    assert "not a medical device" in card
    assert "CC BY 4.0" in card or "cc-by-4.0" in card
    assert "10.17632/rscbjbr9sj.2" in card
    assert "--init scratch" in evaluation
    assert str(run_folder.parent) not in card + evaluation + json.dumps(results)
    assert not [path for path in run_folder.rglob("*") if socket.gethostname() in path.name]
    done = call(model_card.main, run_folder)
    assert done.returncode == 0, done.stderr
    assert (run_folder / "README.md").read_text() == card


def check_snippets(run_folder, tmp_path, before: str = "", *arguments) -> list[str]:
    """Run what a card shows, as it stands, in a fresh process after `before`; returns the lines that it printed."""
    gray = np.tile(np.arange(0, 4096, 64, dtype=np.uint16), (64, 1))
    Image.fromarray(gray).save(tmp_path / "xray16.png")
    Image.fromarray((gray // 16).astype(np.uint8)).save(tmp_path / "xray.png")
    snippets = re.findall(r"```python\n(.*?)```", (run_folder / "README.md").read_text(), re.DOTALL)
    point = json.loads((run_folder / "config.json").read_text())["operating_point"]
    assert len(snippets) == (4 if point else 3)
    script = "\n".join([before, *snippets]).replace("DIR_OR_REPO", str(run_folder))
    script = script.replace("onnx/model.onnx", str(run_folder / "onnx" / "model.onnx"))
    done = run_python("-c", script, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    called = re.findall(r"^PNEUMONIA is called: (True|False)$", done.stdout, re.MULTILINE)
    lines = done.stdout.splitlines()
    answers = [ast.literal_eval(line) for line in lines if line.startswith(("[{", "{")) and "worst" not in line]
    assert len(answers) == 3
    assert {each["label"]: round(each["score"], 4) for each in answers[0]} == pytest.approx(answers[1], abs=1e-4)
    assert called == ([str(answers[1]["PNEUMONIA"] >= point["threshold"])] if point else [])
    return lines


def test_pipeline_and_the_cards_snippets_give_the_recorded_probabilities_elsewhere(
    run_folder, dataset_folder, tmp_path
):
    lines = check_snippets(run_folder, tmp_path, PIPELINE, run_folder, dataset_folder)
    answer = json.loads(next(line for line in lines if "worst" in line))
    assert answer["labels"] == ["NORMAL", "PNEUMONIA"]
    assert answer["worst"] < 1e-4


def test_the_launcher_prints_plan_progress_and_results(launched):
    _, done = launched
    assert "137 train, 15 validation, 48 test; training: NORMAL 47, PNEUMONIA 90" in done.stdout
    assert "14 epochs of 8 steps, batches of 16 x 1 x 1" in done.stdout
    assert "test, operating point" in done.stdout
    assert re.search(r"loss=\d", done.stderr)
    assert "val_auroc=" in done.stderr


def test_training_uses_all_cores_although_the_launcher_asks_for_one_thread(launched):
    _, done = launched
    assert f"{len(os.sched_getaffinity(0))} threads" in done.stdout


def test_the_launcher_ends_with_what_to_do_next(launched):
    run, done = launched
    after = done.stdout.split(f"written: {run}\n")[1]
    assert after.splitlines() == [
        "",
        "next:",
        f"  predict  python -m train.predict {run} IMAGES --output predictions.csv",
        f"  serve    python app.py --model {run}",
        f"  share    python -m hub.push model {run} USER/NAME",
    ]


def test_a_mistake_is_one_line_also_through_the_launcher():
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", "1", "--quiet", "train/finetune.py"]
    done = run_python(*launcher, "--recipe", "nope", "--dataset", "nosuch", "--output", "never")
    assert done.returncode == 1  # the launcher's own
    assert done.stderr.splitlines()[-1].startswith("error: no recipe 'nope'. Recipes are: best-chestcnn-pneumonia")
    assert "Traceback" not in done.stderr


def test_the_script_starts_from_any_folder(tmp_path):
    done = run_python(REPOSITORY / "train/finetune.py", "--recipe", "nope", "--dataset", "nosuch", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: missing --output. For example: accelerate launch")


def test_the_same_seed_gives_the_same_weights_in_either_way_of_starting(dataset_folder, tmp_path):
    def weights(name, start):
        options = ["--recipe", TINY_RECIPE, "--dataset", dataset_folder, "--output", tmp_path / name]
        done = start(*options, "--init", "scratch", "--seed", 5, "--max-steps", "3", "--set", "test=false")
        assert done.returncode == 0, done.stderr
        return load_file(tmp_path / name / "model.safetensors")

    cores = len(os.sched_getaffinity(0))
    script = weights("script", lambda *options: run_python(REPOSITORY / "train/finetune.py", *options, cwd=tmp_path))
    module = weights("module", lambda *options: finetune(*options, threads=cores))
    assert all(torch.equal(tensor, script[name]) for name, tensor in module.items())


def test_a_finished_run_is_never_overwritten(run_folder, dataset_folder):
    before = (run_folder / "results.json").read_bytes()
    options = ["--recipe", TINY_RECIPE, "--dataset", dataset_folder, "--output", run_folder, "--init", "scratch"]
    done = finetune(*options)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (run_folder / "results.json").read_bytes() == before


def test_a_chest_cnn_becomes_a_run_folder_that_works_elsewhere_with_remote_code(dataset_folder, tmp_path):
    output = tmp_path / "run"
    options = ["--recipe", "chestcnn-pneumonia", "--dataset", dataset_folder, "--output", output]
    done = finetune(*options, "--max-steps", "2", "--set", "image_size=64")
    assert done.returncode == 0, done.stderr
    files = {"modeling_chest_cnn.py", "preprocessor_config.json"}
    assert {path.name for path in output.iterdir()} == FILES | files
    remote = PIPELINE.replace("model=run)", "model=run, trust_remote_code=True)")
    lines = check_snippets(output, tmp_path, remote, output, dataset_folder)
    assert json.loads(next(line for line in lines if "worst" in line))["worst"] < 1e-4
    card = (output / "README.md").read_text()
    assert "revision=commit, trust_remote_code=True" in card
    assert "start: scratch" in done.stdout
    assert f"python app.py --model {output}" in done.stdout
