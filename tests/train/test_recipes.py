"""Every recipe of the house trains."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tests.train.engine.fixtures import CPU, small_splits
from train.config.recipe import RECIPES, load_recipe
from train.data.pixel_cache import CORRUPTED, Normaliser, PixelDataset
from train.engine.trainer import Trainer
from train.engine.training_inputs import TrainingInputs
from train.models.factory import build
from train.models.preprocessing import normalisation

CLASSES = {"covid19": 3, "covidquex": 3, "radiography": 4, "pneumonia": 2}
SIZE = 64


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_two_steps_of_every_recipe(path, tmp_path):
    """With its own network, optimiser, schedule, batch size and augmentation; only the images are smaller."""
    recipe = load_recipe(path, [f"image_size={SIZE}"])
    classes = CLASSES[path.stem.rsplit("-", 1)[1]]
    torch.manual_seed(0)
    model, processor = build(recipe.model, [f"class {k}" for k in range(classes)], init="scratch")
    small = small_splits((40, 40))["train"].pixels.repeat(2, axis=1).repeat(2, axis=2)
    labels = np.arange(len(small)) % classes
    splits = {"train": PixelDataset(small, labels), "validation": PixelDataset(small[:12], labels[:12])}
    splits |= {CORRUPTED: splits["validation"]} if recipe.control.selection == "robust-auroc" else {}
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    job = TrainingInputs(recipe, model, splits, Normaliser(*normalisation(processor), CPU), tmp_path, 0, 2, {})
    fit = Trainer(Accelerator(cpu=True), job).run()
    assert fit.history[-1]["step"] == 2
    assert np.isfinite(fit.history[-1]["train_loss"])
    assert all(not torch.equal(tensor, before[name]) for name, tensor in model.named_parameters() if tensor.ndim > 1)


def test_each_study_and_each_task_has_its_recipe():
    names = {path.stem for path in RECIPES.glob("*.toml")}
    assert names == {
        "chestcnn-covid19", "mobilenetv2-pneumonia", "densenet121-covidquex", "chestcnn-pneumonia",
        "densenet169-radiography", "best-covid19", "best-covidquex", "best-pneumonia", "best-radiography",
    }  # fmt: skip
    study_a = load_recipe(RECIPES / "chestcnn-covid19.toml")
    assert (study_a.training.optimizer, study_a.training.learning_rate) == ("adam", 1e-4)
    assert (study_a.training.batch_size, study_a.training.epochs, study_a.model.image_size) == (32, 100, 256)
    study_d = load_recipe(RECIPES / "chestcnn-pneumonia.toml")
    assert (study_d.training.optimizer, study_d.training.schedule) == ("rmsprop", "plateau")
    assert study_d.training.class_balance == "oversample"
    assert study_d.augmentation.rotation_degrees > 0
    assert study_d.augmentation.shift > 0
    study_e = load_recipe(RECIPES / "densenet169-radiography.toml")
    assert (study_e.training.optimizer, study_e.training.learning_rate) == ("adamax", 1e-3)
    assert (study_e.training.batch_size, study_e.training.epochs) == (16, 100)
    assert study_e.control.ask_after_epochs > 0
    assert study_e.augmentation.flip_probability == 0.5
