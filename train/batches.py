"""Decoded pixels in a memory-mapped cache, and the batches that training takes from them."""

import hashlib
import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from space.cache import cache_folder
from space.errors import ChestXrayError, UsageError
from space.xray import READER_VERSION, XrayError, read_xray
from train.corruption import CORRUPTION_VERSION, corrupt
from train.data import Data
from train.models import input_size, resize
from train.recipe import TrainingRecipe
from train.sampling import class_weights, epoch_length, epoch_order

# The validation split once more, with `train.corruption` applied.
CORRUPTED = "corrupted"
PREFETCHED = 2


def load_pixels(data: Data, processor, threads: int, names: Iterable[str] | None = None) -> dict[str, "PixelDataset"]:
    """Decode and resize pictures once; later runs read the result from disk.

    Args:
        data: The dataset.
        processor: The model's image processor, which does the resizing.
        threads: Pictures decoded at a time.
        names: Splits, and `CORRUPTED`; None for all splits of the dataset.

    Returns:
        {split: pixels and labels}; the pixels are memory-mapped.

    Raises:
        ChestXrayError: A picture cannot be read; the message names it.
    """
    versions = [READER_VERSION, version("Pillow"), version("timm"), version("transformers")]
    pixels = {}
    for name in data.splits if names is None else names:
        split = data.splits["validation" if name == CORRUPTED else name]
        content = [name, CORRUPTION_VERSION] if name == CORRUPTED else name
        key = json.dumps([data.fingerprint, content, processor.to_dict(), versions], sort_keys=True, default=str)
        path = cache_folder() / "pixels" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                part = Path(folder) / path.name
                _decode(name, split, processor, threads, part)
                part.replace(path)
        pixels[name] = PixelDataset(np.load(path, mmap_mode="r"), split["label"])
    return pixels


def _decode(name: str, split: datasets.Dataset, processor, threads: int, path: Path) -> None:
    """Write the pixels of a split, (N, H, W) uint8, as a .npy file, one picture after the other."""
    encoded = split.cast_column("image", datasets.Image(decode=False))
    change: Callable[[Image.Image, int], Image.Image] = corrupt if name == CORRUPTED else lambda image, _: image

    def one(index: int) -> np.ndarray:
        stored = encoded[index]["image"]
        try:
            return resize(processor, change(read_xray(stored["bytes"] or stored["path"]).image, index))
        except XrayError as error:
            raise ChestXrayError(f"picture {index} of split {name}: {error}") from error

    size = input_size(processor)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split), size, size)}
    with path.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        np.lib.format.write_array_header_1_0(file, header)
        rows = pool.map(one, range(len(split)))
        for row in tqdm(rows, total=len(split), desc=f"decoding {name}", unit="img"):
            file.write(row.tobytes())


class PixelDataset:
    """Cached pixels and labels of a split.

    Args:
        pixels: (N, H, W) uint8.
        labels: (N,) class indices.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray):
        self.pixels = pixels
        self.labels = torch.as_tensor(np.asarray(labels), dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Tensor:
        """Pixels of some rows, (B, 1, H, W) uint8."""
        return torch.from_numpy(self.pixels[rows]).unsqueeze(1)


class Normaliser:
    """uint8 or [0, 1] grayscale pixels -> the model's input, as the saved processor would make it.

    Args:
        mean: (1, 3, 1, 1), on intensities in [0, 1].
        std: (1, 3, 1, 1).
        device: Where the result is wanted; pixels from elsewhere are moved there.
    """

    def __init__(self, mean: Tensor, std: Tensor, device: torch.device):
        self.mean, self.std, self.device = mean.to(device), std.to(device), device

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise.

        Args:
            pixels: (B, 1, H, W), uint8 or float in [0, 1].

        Returns:
            (B, 3, H, W) float32, channels last.
        """
        pixels = pixels.to(self.device)
        unit = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return ((unit - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Batch:
    """One process's share of a batch, on the training device.

    Attributes:
        pixels: (B, 1, H, W) uint8.
        labels: (B,) int64.
        augmented: (B,) bool: pictures to augment; None for all.
        place: Where its pictures stand in the batch of all processes.
        total: Pictures in the batch of all processes.
        divisor: What summed losses of this batch are divided by: the weights of all pictures of the optimiser step.
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
        processes: All processes together take `batch_size * processes` pictures at a time.

    Raises:
        UsageError: There are fewer training pictures than the processes need for one step.
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
                f"{length} training pictures cannot be shared by {processes} processes and "
                f"accumulation_steps = {training.accumulation_steps}; use fewer."
            )
        # A small last batch would upset batch norm, so an incomplete one is left out unless it is the only one.
        self.per_step = min(length, training.batch_size * processes * training.accumulation_steps)
        self.steps = length // self.per_step
        self.smallest = self.per_step // training.accumulation_steps // processes  # pictures of one forward pass
        self._resident = _on_device(split, device)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """The optimiser steps of an epoch from step `first` on: for each, the batches to accumulate."""
        order = epoch_order(self.labels, self.training.class_balance, self.seed, epoch)
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
