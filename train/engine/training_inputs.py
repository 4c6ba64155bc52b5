"""What the trainer is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from train.config.recipe import Recipe
from train.data.pixel_cache import Normaliser, PixelDataset
from train.engine.dialogue import Answer


@dataclass(frozen=True)
class TrainingInputs:
    """What is trained, on what, and how.

    Attributes:
        recipe: Optimiser, schedule, augmentation, control.
        model: A transformers image classifier.
        splits: "train", "validation", and `CORRUPTED` where the recipe selects by it.
        normalise: Pixels -> the model's input.
        folder: The run folder in the making; checkpoints go into it.
        seed: Of sampling, augmentation and dropout.
        max_steps: Stop after this many optimiser steps.
        identity: What must be the same for a checkpoint to be resumed from; plain values.
        ask: Asks a person whether to continue (see `Control`).
        interrupted: Which signal asked the process to end; 0: none. Training then saves its state and ends.
    """

    recipe: Recipe
    model: nn.Module
    splits: dict[str, PixelDataset]
    normalise: Normaliser
    folder: Path
    seed: int
    max_steps: int | None
    identity: dict[str, Any]
    ask: Callable[[int, int, float], Answer | None] | None = None
    interrupted: Callable[[], int] = lambda: 0
