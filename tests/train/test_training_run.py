import csv
import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from tests.conftest import TINY_RECIPE
from tests.train.engine.fixtures import finetune
from tests.train.sources import write_merged
from train.report.reevaluate import reevaluate


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


BY_ORIGIN = ["class_balance=origin", "selection=worst-origin-auroc", "operating_point=youden-worst", "tracker=none"]


def trained(dataset, output, *changes) -> dict:
    """Two epochs on a dataset of several origins; returns results.json."""
    options = ["--recipe", TINY_RECIPE, "--dataset", dataset, "--output", output, "--init", "scratch"]
    sets = [word for change in ("epochs=2", *BY_ORIGIN, *changes) for word in ("--set", change)]
    done = finetune(*options, *sets)
    assert done.returncode == 0, done.stderr
    return json.loads((output / "results.json").read_text())


def test_each_origin_is_followed_in_training_and_judged_at_its_end(merged, tmp_path):
    results = trained(merged, tmp_path / "run")
    assert [set(row["origin_auroc"]) for row in results["history"]] == [{"north", "south-a"}] * 2
    chosen = results["selection"]
    assert (chosen["metric"], chosen["worst_origin_auroc"]) == (
        "worst_origin_auroc",
        max(min(row["origin_auroc"].values()) for row in results["history"]),
    )
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        assert {"worst_origin_auroc", "origin_auroc:north", "origin_auroc:south-a"} <= set(next(csv.DictReader(file)))
    groups = results["subgroups"]["test"]
    assert (set(groups["origin"]), set(groups["hospital"])) == ({"north", "south-a", "south-b"}, {"North", "South"})
    assert groups["hospital"]["South"]["labels"] == {"NORMAL": 16, "PNEUMONIA": 16}
    assert set(groups["origin"]["south-b"]["operating_point"]) == {"auroc", "accuracy", "sensitivity", "specificity"}
    assert "left-out" not in results["splits"]


@pytest.fixture(scope="module")
def without_south(merged, tmp_path_factory) -> tuple[Path, dict]:
    """A run that leaves "South" out, and its results."""
    output = tmp_path_factory.mktemp("runs") / "run"
    return output, trained(merged, output, 'leave_out=["South"]')


def test_a_hospital_that_is_left_out_is_judged_as_never_seen(without_south):
    run, results = without_south
    assert results["recipe"]["data"] == {"leave_out": ["South"]}
    assert results["images"] == {"train": 40, "validation": 44, "left-out": 88, "test": 52}
    assert set(results["history"][0]["origin_auroc"]) == {"north"}
    assert set(results["splits"]) == set(results["guard"]["accepted"]) == {"validation", "left-out", "test"}
    assert set(results["subgroups"]["left-out"]["origin"]) == {"south-a", "south-b"}
    assert set(results["subgroups"]["validation"]["origin"]) == {"north"}
    assert set(results["subgroups"]["test"]["origin"]) == {"north", "south-a", "south-b"}
    with (run / "predictions.csv").open(newline="") as file:
        left_out = [row for row in csv.DictReader(file) if row["split"] == "left-out"]
    assert {row["source"].split("/")[0] for row in left_out} == {"south-a", "south-b"}
    of_b = [(row["label"], float(row["prob:PNEUMONIA"])) for row in left_out if row["source"].startswith("south-b")]
    recomputed = roc_auc_score([label == "PNEUMONIA" for label, _ in of_b], [score for _, score in of_b])
    assert results["subgroups"]["left-out"]["origin"]["south-b"]["argmax"]["auroc"]["value"] == pytest.approx(
        recomputed
    )
    card, evaluation = ((run / name).read_text() for name in ("README.md", "EVALUATION.md"))
    auroc = results["subgroups"]["test"]["hospital"]["South"]["argmax"]["auroc"]
    shown = f"{auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f})"
    assert f"- It never saw images of South. Its AUROC there is {shown} (test)." in card
    assert f"| test | South (never seen) | NORMAL 16, PNEUMONIA 16 | {shown} |" in card
    assert "| left-out | south-b (never seen) | NORMAL 8, PNEUMONIA 8 |" in evaluation


def test_what_is_left_out_chooses_nothing_and_is_measured_also_where_test_is_not_read(without_south, tmp_path):
    run, results = without_south
    other = write_merged(tmp_path / "other", south=6)  # the same images of North, other ones of South
    without_test = trained(other, tmp_path / "run", 'leave_out=["South"]', "test=false")
    assert set(without_test["splits"]) == {"validation", "left-out"}
    assert without_test["splits"]["left-out"] != results["splits"]["left-out"]
    assert without_test["splits"]["validation"] == results["splits"]["validation"]
    for name in ("model.safetensors", "config.json", "guard.safetensors"):
        assert (run / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    card = (tmp_path / "run" / "README.md").read_text()
    assert "- It never saw images of South. Its AUROC there is " in card
    assert "(left-out)." in card


def test_a_run_that_left_a_hospital_out_is_evaluated_again_without_it(without_south, merged, tmp_path):
    run, results = without_south
    shutil.copytree(run, tmp_path / "run")
    again = {"also": None, "also_labels": None, "with_samples": False}
    reevaluate(Namespace(evaluate_only=tmp_path / "run", dataset=str(merged), **again))
    repeated = json.loads((tmp_path / "run" / "results.json").read_text())
    for name in ("images", "subgroups", "operating_point"):
        assert repeated[name] == results[name]


def test_a_hospital_that_the_dataset_lacks_is_refused_with_those_it_has(merged, tmp_path):
    options = ["--recipe", TINY_RECIPE, "--dataset", merged, "--output", tmp_path / "run", "--init", "scratch"]
    done = finetune(*options, "--set", 'leave_out=["Sout"]')
    assert done.returncode == 2
    assert "no hospital or origin 'Sout'; did you mean South? It has hospitals: North, South; origins" in done.stderr
