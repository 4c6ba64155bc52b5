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
from train.batches.sampler import DONORS, class_weights, epoch_length, epoch_order
from train.config.recipe import TrainingRecipe
from train.data.compositing import plausible, swap_surroundings
from train.data.pixel_cache import PixelDataset

PREFETCHED = 2


@dataclass(frozen=True)
class Batch:
    """One process's share of a batch, on the training device.

    Attributes:
        pixels: (B, 1, H, W) uint8.
        labels: (B,) int64.
        lungs: (B, 1, H, W) uint8, 255 = lung, empty where the mask cannot be right; None where nothing needs masks.
        augmented: (B,) bool: images to augment; None for all.
        place: Where its images stand in the batch of all processes.
        total: Images in the batch of all processes.
        divisor: What summed losses of this batch are divided by: the weights of all images of the optimiser step.
    """

    pixels: Tensor
    labels: Tensor
    lungs: Tensor | None
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
        swap: Chance that an image gets the surroundings of another one; the split then has lung masks.

    Raises:
        UsageError: There are fewer training images than the processes need for one step, or no lungs to swap.
    """

    def __init__(
        self,
        split: PixelDataset,
        training: TrainingRecipe,
        seed: int,
        device: torch.device,
        rank: int,
        processes: int,
        swap: float = 0.0,
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
        self.swap, self.usable = swap, None if split.lungs is None else plausible(split.lungs)
        if (swap and self.usable is None) or (self.usable is not None and not self.usable.any()):
            raise UsageError(
                "swap_surroundings, blur_surroundings and fill_surroundings need lung masks, and no training image has "
                "one that can be right. Set them to 0, or convert the dataset with its masks."
            )

    def epoch(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """The optimiser steps of an epoch from step `first` on: for each, the batches to accumulate."""
        order = epoch_order(self.labels, self.split.origins, self.training.class_balance, self.seed, epoch)
        waiting: deque[Future[list[Batch]]] = deque()
        # Threads begin on the first GPU, whichever one their process works on.
        choose = partial(torch.cuda.set_device, self.device) if self.device.type == "cuda" else None
        with ThreadPoolExecutor(1, initializer=choose) as pool:
            for step in range(first, self.steps):
                here = slice(step * self.per_step, (step + 1) * self.per_step)
                donors = self._donors((self.seed, DONORS, epoch, step), order.indices[here], order.augmented[here])
                waiting.append(pool.submit(self._batches, order.indices[here], order.augmented[here], donors))
                if len(waiting) > PREFETCHED:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _donors(self, seed: tuple[int, ...], rows: np.ndarray, augmented: np.ndarray) -> np.ndarray:
        """Whose surroundings each image of a step gets, (n,) rows of the split; -1: it keeps its own."""
        if not self.swap:
            return np.full(len(rows), -1)
        random = np.random.default_rng(seed)
        swapped = (random.random(len(rows)) < self.swap) & augmented & self.usable[rows]
        return np.where(swapped, random.choice(np.flatnonzero(self.usable), len(rows)), -1)

    def _batches(self, rows: np.ndarray, augmented: np.ndarray, donors: np.ndarray) -> list[Batch]:
        """This process's share of one optimiser step."""
        weights = np.ones(len(rows)) if self.weights is None else self.weights[self.labels[rows]]
        batches = []
        for part in np.array_split(np.arange(len(rows)), self.training.accumulation_steps):
            mine = np.array_split(part, self.processes)[self.rank]
            place = slice(int(mine[0] - part[0]), int(mine[-1] - part[0]) + 1)
            masked = None if augmented.all() else torch.from_numpy(augmented[mine]).to(self.device)
            pixels, lungs = self._pixels(rows[mine]), self._lungs(rows[mine])
            self._swap(pixels, lungs, donors[mine])
            labels = self._move(self.split.labels[rows[mine]])
            batches.append(Batch(pixels, labels, lungs, masked, place, len(part), float(weights.sum())))
        return batches

    def _swap(self, pixels: Tensor, lungs: Tensor | None, donors: np.ndarray) -> None:
        """Give images the surroundings of their donors, in place."""
        rows = np.flatnonzero(donors >= 0)
        if len(rows):
            places, donors = torch.from_numpy(rows).to(self.device), donors[rows]
            images, surroundings = (some.float() / 255 for some in (pixels[places], self._pixels(donors)))
            cut, holes = ((some == 255).float() for some in (lungs[places], self._lungs(donors)))
            pixels[places] = (swap_surroundings(images, cut, surroundings, holes) * 255).round().to(torch.uint8)

    def _pixels(self, rows: np.ndarray) -> Tensor:
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self.device)].unsqueeze(1)
        return self._move(self.split.take(rows))

    def _lungs(self, rows: np.ndarray) -> Tensor | None:
        if self.usable is None:
            return None
        lungs = self.split.lungs[rows] * self.usable[rows, None, None]
        return self._move(torch.from_numpy(lungs).unsqueeze(1))

    def _move(self, values: Tensor) -> Tensor:
        """Values on the training device; pinned memory is copied while the device computes."""
        return values.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else values


def _on_device(split: PixelDataset, device: torch.device) -> Tensor | None:
    """All pixels of a split in the memory of a GPU, where they take less than a third of what is free; else None."""
    if device.type != "cuda" or split.pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 3:
        return None
    return torch.from_numpy(np.array(split.pixels)).to(device)
