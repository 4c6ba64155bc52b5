"""What results.json says of the training."""

import hashlib
import platform

import pytest
import torch

from tests.train.engine.test_run_spec import spec
from train.config.recipe_file import find_recipe
from train.engine.trainer import Fit
from train.report.training_record import environment, record_training

CPU = torch.device("cpu")
IMAGES = {"train": 40, "validation": 20}


def row(epoch: int, **values: float) -> dict[str, float]:
    """An epoch of 7 seconds."""
    numbers = {"train_loss": 0.5, "learning_rate": 0.001, "validation_loss": 0.4, "validation_accuracy": 0.8}
    return numbers | {"epoch": epoch, "step": 3 * epoch, "validation_auroc": 0.9, "seconds": 7.0} | values


FIT = Fit([row(1), row(2), row(3)], row(2), "validation_auroc has not improved for 1 epochs")


def test_a_run_is_recorded_with_what_chose_its_weights():
    run = spec()
    record = record_training(run, FIT, IMAGES, CPU)
    assert (record.selection.epoch, record.selection.metric) == (2, "validation_auroc")
    assert record.selection.stopped == FIT.stopped
    assert record.train_seconds == 21
    assert [epoch.step for epoch in record.history] == [3, 6, 9]
    assert record.recipe_sha256 == hashlib.sha256(run.recipe_text().encode()).hexdigest()
    assert record.recipe.training["learning_rate"] == run.recipe.training.learning_rate
    assert (record.command, record.seed, record.precision, record.processes) == (run.command, 3, "fp32", 1)
    assert record.images == IMAGES


def test_the_selection_metric_is_the_recipes():
    robust = row(2, corrupted_auroc=0.7, robust_auroc=0.8)
    record = record_training(spec(changes=("selection=robust-auroc",)), Fit([robust], robust, ""), IMAGES, CPU)
    assert (record.selection.metric, record.selection.robust_auroc) == ("robust_auroc", 0.8)


def test_no_local_path_is_recorded_and_the_base_model_only_of_imagenet_weights():
    local = record_training(spec(init="/home/me/secret/weights.safetensors", init_sha256="f00d"), FIT, IMAGES, CPU)
    assert (local.init, local.init_sha256, local.base_model) == ("weights.safetensors", "f00d", None)
    run = spec(path=find_recipe("mobilenetv2-pneumonia"), init="imagenet")
    assert record_training(run, FIT, IMAGES, CPU).base_model == "timm/mobilenetv2_100.ra_in1k"


@pytest.mark.parametrize(("recipe", "own_code"), [("chestcnn-pneumonia", True), ("mobilenetv2-pneumonia", False)])
def test_own_networks_need_their_own_code(recipe, own_code):
    assert record_training(spec(path=find_recipe(recipe)), FIT, IMAGES, CPU).remote_code is own_code


def test_the_test_split_is_described_only_where_it_was_read(finished):
    unread = record_training(finished.run, FIT, IMAGES, CPU).dataset
    assert set(unread.counts) == {"train", "validation"}
    assert unread.test_image_size is None
    read = record_training(finished.run, FIT, IMAGES | {"test": 40}, CPU).dataset
    assert read.counts["test"] == {"NORMAL": 20, "PNEUMONIA": 20}
    assert read.test_image_size == "64 x 64 (40 of 40)"


def test_the_environment_names_the_device_and_the_versions():
    versions = environment(CPU)
    assert versions["device"] == f"CPU ({torch.get_num_threads()} threads)"
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == torch.__version__.partition("+")[0] or versions["torch"] == torch.__version__
    assert "Pillow" in versions
