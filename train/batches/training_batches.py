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
from train.config.recipe import AugmentationRecipe, TrainingRecipe
from train.data.compositing import outer_frame, plausible, swap_surroundings
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


@dataclass(frozen=True)
class _Donors:
    """What the images of a step get from others.

    Attributes:
        surroundings, frames: (n,) rows of the split; -1: an image keeps its own.
        widths: (n, 4) of the frames, as `outer_frame` takes them.
    """

    surroundings: np.ndarray
    frames: np.ndarray
    widths: np.ndarray


class TrainingBatches:
    """What each optimiser step trains on: a function of seed, epoch and step, whoever asks and when.

    Args:
        split: The training split.
        training: Batch size, accumulation, class balance.
        seed: The run's seed.
        device: The training device.
        rank: This process, of `processes`.
        processes: All processes together take `batch_size * processes` images at a time.
        augmentation: Its `swap_surroundings`, for which the split has lung masks, and `swap_frame`; the other changes
            are those of `train.batches.augmentation`.

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
        augmentation: AugmentationRecipe = AugmentationRecipe(),
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
        self.augmentation, self.usable = augmentation, None if split.lungs is None else plausible(split.lungs)
        blind = bool(augmentation.swap_surroundings) if self.usable is None else not self.usable.any()
        if blind:
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

    def _donors(self, seed: tuple[int, ...], rows: np.ndarray, augmented: np.ndarray) -> _Donors:
        """Whose surroundings and frames the images of a step get."""
        random, n, recipe = np.random.default_rng(seed), len(rows), self.augmentation
        surroundings = frames = np.full(n, -1)
        if recipe.swap_surroundings:
            swapped = (random.random(n) < recipe.swap_surroundings) & augmented & self.usable[rows]
            surroundings = np.where(swapped, random.choice(np.flatnonzero(self.usable), n), -1)
        if recipe.swap_frame:
            framed = (random.random(n) < recipe.swap_frame) & augmented
            frames = np.where(framed, random.integers(len(self.labels), size=n), -1)
        return _Donors(surroundings, frames, random.uniform(*recipe.frame_width, (n, 4)))

    def _batches(self, rows: np.ndarray, augmented: np.ndarray, donors: _Donors) -> list[Batch]:
        """This process's share of one optimiser step."""
        weights = np.ones(len(rows)) if self.weights is None else self.weights[self.labels[rows]]
        batches = []
        for part in np.array_split(np.arange(len(rows)), self.training.accumulation_steps):
            mine = np.array_split(part, self.processes)[self.rank]
            place = slice(int(mine[0] - part[0]), int(mine[-1] - part[0]) + 1)
            masked = None if augmented.all() else torch.from_numpy(augmented[mine]).to(self.device)
            pixels, lungs = self._pixels(rows[mine]), self._lungs(rows[mine])
            self._swap_surroundings(pixels, lungs, donors.surroundings[mine])
            self._swap_frames(pixels, donors.frames[mine], donors.widths[mine])
            labels = self._move(self.split.labels[rows[mine]])
            batches.append(Batch(pixels, labels, lungs, masked, place, len(part), float(weights.sum())))
        return batches

    def _swap_surroundings(self, pixels: Tensor, lungs: Tensor | None, donors: np.ndarray) -> None:
        """Give images the surroundings of their donors, in place."""
        rows = np.flatnonzero(donors >= 0)
        if len(rows):
            places, donors = torch.from_numpy(rows).to(self.device), donors[rows]
            images, surroundings = (some.float() / 255 for some in (pixels[places], self._pixels(donors)))
            cut, holes = ((some == 255).float() for some in (lungs[places], self._lungs(donors)))
            pixels[places] = (swap_surroundings(images, cut, surroundings, holes) * 255).round().to(torch.uint8)

    def _swap_frames(self, pixels: Tensor, donors: np.ndarray, widths: np.ndarray) -> None:
        """Give images the outer frames of their donors, in place."""
        rows = np.flatnonzero(donors >= 0)
        if len(rows):
            places = torch.from_numpy(rows).to(self.device)
            frame = outer_frame(torch.from_numpy(widths[rows]).to(self.device), *pixels.shape[2:])
            pixels[places] = torch.where(frame, self._pixels(donors[rows]), pixels[places])

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
