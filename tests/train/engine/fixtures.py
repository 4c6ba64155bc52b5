"""A tiny training run inside the tests' own process."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from tests.commands import Done, call
from tests.conftest import TINY_RECIPE
from tests.phantoms import draw_phantom
from train.config.recipe import Recipe
from train.config.recipe_file import load_recipe
from train.data.pixel_cache import Normaliser, PixelDataset
from train.engine.trainer import Trainer
from train.engine.training_inputs import TrainingInputs
from train.finetune import main
from train.models.modeling_chest_cnn import ChestCnnConfig, ChestCnnForImageClassification

SIZE = 32
CPU = torch.device("cpu")
# For networks this small, threads wait for each other five times as long as they compute.
torch.set_num_threads(1)


def small_recipe(*changes: str) -> Recipe:
    """Two epochs of six steps for 48 training images, unless changed."""
    return load_recipe(TINY_RECIPE, ["epochs=2", "batch_size=8", *changes])


def small_model(dropout: float = 0.0, batch_norm: bool = False, seed: int = 0) -> ChestCnnForImageClassification:
    """A chest CNN of two blocks for images of 32 pixels."""
    torch.manual_seed(seed)
    config = ChestCnnConfig(
        image_size=SIZE, num_channels=1, widths=(4, 8), paddings=(1, 1), block_dropouts=(dropout, dropout),
        hidden_sizes=(8,), hidden_dropouts=(dropout,), batch_norm=batch_norm,
    )  # fmt: skip
    return ChestCnnForImageClassification(config)


@cache
def small_splits(counts: tuple[int, int] = (32, 16)) -> dict[str, PixelDataset]:
    """Phantoms: `counts` images of each class to train on, 16 to validate with."""
    random = np.random.default_rng(0)

    def split(*n: int) -> PixelDataset:
        labels = np.repeat([0, 1], n)
        images = [np.asarray(draw_phantom(random, bool(label), SIZE, SIZE)) for label in labels]
        return PixelDataset(np.stack(images), labels)

    return {"train": split(*counts), "validation": split(8, 8)}


def make_inputs(folder: Path, recipe: Recipe, model=None, splits=None, **changes) -> TrainingInputs:
    """What a trainer is given, on phantoms."""
    normalise = Normaliser(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25), CPU)
    inputs = TrainingInputs(
        recipe, model or small_model(), splits or small_splits(), normalise, folder, 1, None, recipe.to_dict()
    )
    return replace(inputs, **changes)


def make_trainer(folder: Path, recipe: Recipe, model=None, splits=None, **changes) -> Trainer:
    """A trainer on phantoms, in this process, in fp32."""
    return Trainer(Accelerator(cpu=True), make_inputs(folder, recipe, model, splits, **changes))


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The history of a run without what differs between two of the same."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def finetune(*options: str | Path, threads: int = 1) -> Done:
    """Run `train/finetune.py OPTIONS` in this process.

    Args:
        options: Of the command line.
        threads: How many cores it finds. Weights are the same bits only where this is the same.
    """
    with (
        patch("os.sched_getaffinity", lambda _: set(range(threads))),
        patch("train.training_run.keep_freed_memory"),  # it changes a process for good
    ):
        AcceleratorState._reset_state(reset_partial_state=True)  # else a run is refused another precision than the last
        try:
            return call(main, *options)
        finally:
            AcceleratorState._reset_state(reset_partial_state=True)
            torch.set_num_threads(1)
