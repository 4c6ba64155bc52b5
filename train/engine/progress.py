"""What a training run shows while it runs."""

from collections import deque

import torch
from torch import Tensor
from tqdm import tqdm

from train.engine.control import Row

# The loss shown is the mean of this many steps. Reading it waits for the device, so it is not read at every step.
AVERAGED, EVERY = 20, 5


class Progress:
    """A bar of all optimiser steps with the running loss, and lines above it.

    Args:
        done: Steps done before.
        total: Steps of the whole training, as things stand.
        visible: False for processes other than the main one.
    """

    def __init__(self, done: int, total: int, visible: bool):
        self.bar = tqdm(total=total, initial=done, desc="training", unit="step", disable=not visible)
        self.losses: deque[Tensor] = deque(maxlen=AVERAGED)
        self.steps = 0
        self.shown: dict[str, str] = {}

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, loss: Tensor) -> None:
        """Count an optimiser step; `loss` is a scalar on the training device."""
        self.losses.append(loss)
        if self.steps % EVERY == 0 and not self.bar.disable:
            self._show(loss=f"{torch.stack(list(self.losses)).mean():.3f}")
        self.steps += 1
        self.bar.update()

    def epoch(self, row: Row, metric: str, kept: Row, total: int) -> None:
        """Report an epoch.

        Args:
            row: Its row of the history.
            metric: The column that chooses the weights.
            kept: The row whose weights are kept.
            total: Steps of the whole training, as things stand.
        """
        names = dict.fromkeys(["train_loss", "validation_loss", "validation_auroc", metric])
        values = ", ".join(f"{name.replace('_', ' ')} {row[name]:.4f}" for name in names)
        mark = " (kept)" if kept is row else ""
        self.note(f"epoch {row['epoch']}: {values}, {row['seconds']:.0f} s{mark}")
        self.bar.total = total
        self._show(**{metric.replace("validation", "val"): f"{kept[metric]:.4f}"})

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        if not self.bar.disable:
            self.bar.write(text)

    def _show(self, **values: str) -> None:
        self.shown |= values
        self.bar.set_postfix(self.shown, refresh=False)
