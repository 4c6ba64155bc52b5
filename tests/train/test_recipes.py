"""Every recipe of the house trains."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tests.train.engine.fixtures import CPU, SIZE, small_splits
from train.config.recipe_file import RECIPES, load_recipe
from train.data.pixel_cache import CORRUPTED, Normaliser, PixelDataset
from train.engine.trainer import Trainer
from train.engine.training_inputs import TrainingInputs
from train.models.factory import build
from train.models.preprocessing import normalisation

CLASSES = {"covid19": 3, "covidquex": 3, "radiography": 4, "pneumonia": 2}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_two_steps_of_every_recipe(path, tmp_path):
    """With its own network, optimiser, schedule, batch size and augmentation; only the images are smaller."""
    recipe = load_recipe(path, [f"image_size={SIZE}"])
    classes = CLASSES[path.stem.rsplit("-", 1)[1]]
    torch.manual_seed(0)
    model, processor = build(recipe.model, [f"class {k}" for k in range(classes)], init="scratch")
    small = small_splits((40, 40))["train"].pixels
    labels = np.arange(len(small)) % classes
    lungs = np.zeros(small.shape, np.uint8)
    lungs[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = 255
    masks = lungs if recipe.needs_lungs else None
    splits = {"train": PixelDataset(small, labels, lungs=masks), "validation": PixelDataset(small[:12], labels[:12])}
    splits |= {CORRUPTED: splits["validation"]} if recipe.control.selection == "robust-auroc" else {}
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    job = TrainingInputs(recipe, model, splits, Normaliser(*normalisation(processor), CPU), tmp_path, 0, 2, {})
    fit = Trainer(Accelerator(cpu=True), job).run()
    assert fit.history[-1]["step"] == 2
    assert np.isfinite(fit.history[-1]["train_loss"])
    assert all(not torch.equal(tensor, before[name]) for name, tensor in model.named_parameters() if tensor.ndim > 1)
