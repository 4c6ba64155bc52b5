"""What a training run is given, and what it leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from space.errors import ChestXrayError
from train.config.recipe import Recipe
from train.data.pixel_cache import Normaliser, PixelDataset
from train.engine.dialogue import Answer


@dataclass(frozen=True)
class TrainingInputs:
    """What is to be trained.

    Attributes:
        recipe: Optimiser, schedule, augmentation, control.
        model: A transformers image classifier.
        splits: "train", "validation", and `CORRUPTED` where the recipe selects by it.
        normalise: Pixels -> the model's input.
        folder: The run folder in the making; checkpoints lie in it.
        seed: Of sampling, augmentation and dropout.
        max_steps: Stop after this many optimiser steps.
        identity: What a checkpoint must agree on to be resumed from; plain values.
        ask: See `Control`.
        interrupted: Tells which signal asked the process to end; 0: none. The state is then saved first.
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


class Interrupted(ChestXrayError):
    """The process was asked to end, and the state of training is saved.

    Args:
        step: Optimiser steps done.
        signal: The signal that asked.
    """

    def __init__(self, step: int, signal: int):
        super().__init__(f"interrupted after step {step}; the state of training is saved. Go on with --resume.")
        self.exit_code = 128 + signal


@dataclass(frozen=True)
class Fit:
    """What training left behind, besides the kept weights in the model.

    Attributes:
        history: One row per epoch: epoch, step, learning_rate, train_loss, validation_loss, validation_accuracy,
            validation_auroc, with a corrupted copy also corrupted_auroc and robust_auroc, and seconds.
        kept: The row whose weights were kept.
        stopped: Why training ended early; "" if it did not.
    """

    history: list[dict[str, float]]
    kept: dict[str, float]
    stopped: str
