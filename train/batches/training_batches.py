"""The batches that training takes from decoded pixels."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from space.errors import UsageError
from train.batches.sampler import class_weights, epoch_length, epoch_order
from train.config.recipe import TrainingRecipe
from train.data.pixel_cache import PixelDataset

PREFETCHED = 2


@dataclass(frozen=True)
class Batch:
    """One process's share of a batch, on the training device.

    Attributes:
        pixels: (B, 1, H, W) uint8.
        labels: (B,) int64.
        augmented: (B,) bool: images to augment; None for all.
        place: Where its images stand in the batch of all processes.
        total: Images in the batch of all processes.
        divisor: What summed losses of this batch are divided by: the weights of all images of the optimiser step.
    """

    pixels: Tensor
    labels: Tensor
    augmented: Tensor | None
    place: slice
    total: int
    divisor: float


class TrainingBatches:
    """What each optimiser step trains on: a function of seed, epoch and step, whoever asks and when.

    Args:
        split: The training split.
        training: Batch size, accumulation, class balance.
        seed: The run's seed.
        device: The training device.
        rank: This process, of `processes`.
        processes: All processes together take `batch_size * processes` images at a time.

    Raises:
        UsageError: There are fewer training images than the processes need for one step.
    """

    def __init__(
        self, split: PixelDataset, training: TrainingRecipe, seed: int, device: torch.device, rank: int, processes: int
    ):
        self.split, self.training, self.seed, self.device = split, training, seed, device
        self.rank, self.processes = rank, processes
        self.labels = split.labels.numpy()
        self.weights = class_weights(self.labels) if training.class_balance == "weighted-loss" else None
        length = epoch_length(self.labels, training.class_balance)
        if length < processes * training.accumulation_steps:
            raise UsageError(
                f"{length} training images are too few for {processes} processes with "
                f"accumulation_steps = {training.accumulation_steps}. Use fewer processes or steps."
            )
        # A small last batch would upset batch norm, so an incomplete one is left out unless it is the only one.
        self.per_step = min(length, training.batch_size * processes * training.accumulation_steps)
        self.steps = length // self.per_step
        self.smallest = self.per_step // training.accumulation_steps // processes  # images of one forward pass
        self._resident = _on_device(split, device)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """The optimiser steps of an epoch from step `first` on: for each, the batches to accumulate."""
        order = epoch_order(self.labels, self.split.origins, self.training.class_balance, self.seed, epoch)
        waiting: deque[Future[list[Batch]]] = deque()
        # Threads begin on the first GPU, whichever one their process works on.
        choose = partial(torch.cuda.set_device, self.device) if self.device.type == "cuda" else None
        with ThreadPoolExecutor(1, initializer=choose) as pool:
            for step in range(first, self.steps):
                here = slice(step * self.per_step, (step + 1) * self.per_step)
                waiting.append(pool.submit(self._batches, order.indices[here], order.augmented[here]))
                if len(waiting) > PREFETCHED:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _batches(self, rows: np.ndarray, augmented: np.ndarray) -> list[Batch]:
        """This process's share of one optimiser step."""
        weights = np.ones(len(rows)) if self.weights is None else self.weights[self.labels[rows]]
        batches = []
        for part in np.array_split(np.arange(len(rows)), self.training.accumulation_steps):
            mine = np.array_split(part, self.processes)[self.rank]
            place = slice(int(mine[0] - part[0]), int(mine[-1] - part[0]) + 1)
            masked = None if augmented.all() else torch.from_numpy(augmented[mine]).to(self.device)
            pixels, labels = self._take(rows[mine])
            batches.append(Batch(pixels, labels, masked, place, len(part), float(weights.sum())))
        return batches

    def _take(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        labels = self.split.labels[rows]
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self.device)].unsqueeze(1), labels.to(self.device)
        pixels = self.split.take(rows)
        if self.device.type == "cuda":  # pinned memory is copied while the device computes
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        return pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def _on_device(split: PixelDataset, device: torch.device) -> Tensor | None:
    """All pixels of a split in the memory of a GPU, where they take less than a third of what is free; else None."""
    if device.type != "cuda" or split.pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 3:
        return None
    return torch.from_numpy(np.array(split.pixels)).to(device)
