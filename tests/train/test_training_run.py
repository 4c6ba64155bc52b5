import json

import pytest

from tests.conftest import TINY_RECIPE
from tests.train.engine.fixtures import finetune


def test_a_positive_label_that_the_dataset_lacks_is_refused_before_training(dataset_folder, tmp_path):
    recipe = tmp_path / "other.toml"
    recipe.write_text(TINY_RECIPE.read_text().replace('"PNEUMONIA"', '"FRACTURE"'))
    options = ["--recipe", recipe, "--dataset", dataset_folder, "--output", tmp_path / "run", "--init", "scratch"]
    done = finetune(*options)
    assert done.returncode == 2
    assert "but the dataset has the classes NORMAL, PNEUMONIA" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_says_so_and_leaves_nothing(dataset_folder, tmp_path):
    recipe = tmp_path / "hot.toml"
    recipe.write_text(TINY_RECIPE.read_text().replace("learning_rate = 3e-3", "learning_rate = 1e30"))
    options = ["--recipe", recipe, "--dataset", dataset_folder, "--output", tmp_path / "run", "--init", "scratch"]
    done = finetune(*options, "--max-steps", "4")
    assert done.returncode == 1
    assert "diverged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("run*"))


def test_changes_of_the_recipe_are_recorded(dataset_folder, tmp_path):
    options = ["--recipe", TINY_RECIPE, "--dataset", dataset_folder, "--output", tmp_path / "run", "--init", "scratch"]
    changes = ["--set", "selection=robust-auroc", "--set", "tracker=none", "--set", "test=false"]
    done = finetune(*options, *changes, "--max-steps", "2")
    assert done.returncode == 0, done.stderr
    recorded = json.loads((tmp_path / "run" / "results.json").read_text())
    assert recorded["command"].endswith("--set selection=robust-auroc --set tracker=none --set test=false")
    assert recorded["recipe"]["control"]["selection"] == "robust-auroc"
    row = recorded["history"][0]
    assert row["robust_auroc"] == pytest.approx((row["validation_auroc"] + row["corrupted_auroc"]) / 2)
    assert set(recorded["splits"]) == {"validation"}
    assert not (tmp_path / "run" / "tensorboard").exists()
    card = (tmp_path / "run" / "README.md").read_text()
    assert "The test split was not read" in card
    assert "a corrupted copy of it" in (tmp_path / "run" / "EVALUATION.md").read_text()
    assert "# Changed here: selection=robust-auroc" in (tmp_path / "run" / "recipe.toml").read_text()
