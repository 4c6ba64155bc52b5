"""Decoded pixels in a memory-mapped cache, and augmentation of whole batches on the training device."""

import hashlib
import json
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from space.errors import ChestXrayError
from space.xray import READER_VERSION, XrayError, read_xray
from train.data import Data
from train.folders import cache_folder
from train.models import input_size, resize
from train.recipe import AugmentationRecipe


def load_pixels(data: Data, processor, threads: int) -> dict[str, "PixelDataset"]:
    """Decode and resize the pictures of every split once; later runs read the result from disk.

    Args:
        data: The dataset.
        processor: The model's image processor, which does the resizing.
        threads: Pictures decoded at a time.

    Returns:
        {split: pixels and labels}; the pixels are memory-mapped.

    Raises:
        ChestXrayError: A picture cannot be read; the message names it.
    """
    versions = [READER_VERSION, version("Pillow"), version("timm"), version("transformers")]
    pixels = {}
    for name, split in data.splits.items():
        key = json.dumps([data.fingerprint, name, processor.to_dict(), versions], sort_keys=True, default=str)
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

    def one(index: int) -> np.ndarray:
        stored = encoded[index]["image"]
        try:
            return resize(processor, read_xray(stored["bytes"] or stored["path"]).image)
        except XrayError as error:
            raise ChestXrayError(f"picture {index} of split {name}: {error}") from error

    size = input_size(processor)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split), size, size)}
    with path.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        np.lib.format.write_array_header_1_0(file, header)
        rows = pool.map(one, range(len(split)))
        for row in tqdm(rows, total=len(split), desc=f"decoding {name}", unit="img"):
            file.write(row.tobytes())


class PixelDataset(torch.utils.data.Dataset):
    """Batches of cached pixels and labels.

    Args:
        pixels: (N, H, W) uint8.
        labels: (N,) class indices.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray):
        self.pixels = pixels
        self.labels = torch.as_tensor(np.asarray(labels), dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """One batch: pixels (B, 1, H, W) uint8, labels (B,) int64."""
        return torch.from_numpy(self.pixels[indices]).unsqueeze(1), self.labels[indices]


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


class Augmenter:
    """Random geometry and intensity, each picture with its own parameters, one interpolation.

    Args:
        recipe: Ranges.
        device: Where the batches live.
        seed: Seed of this process's random numbers.
    """

    def __init__(self, recipe: AugmentationRecipe, device: torch.device, seed: int):
        self.recipe = recipe
        self.random = torch.Generator(device).manual_seed(seed)
        self.device = device

    def __call__(self, pixels: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            pixels: (B, 1, H, W) uint8.

        Returns:
            (B, 1, H, W) float32 in [0, 1].
        """
        images = self._geometry(pixels.float() / 255)
        images = self._intensity(images)
        if self.recipe.blur_sigma:
            images = self._blur(images)
        if self.recipe.noise_std:
            noise = torch.randn(images.shape, generator=self.random, device=self.device)
            images = images + noise * self._uniform(len(images), 0, self.recipe.noise_std)
        if self.recipe.erase_probability:
            images = self._erase(images)
        return images.clamp(0, 1)

    def _uniform(self, n: int, low: float, high: float) -> Tensor:
        """(n, 1, 1, 1) uniform values."""
        values = torch.rand(n, generator=self.random, device=self.device) * (high - low) + low
        return values.view(n, 1, 1, 1)

    def _log_uniform(self, n: int, limits: tuple[float, float]) -> Tensor:
        return self._uniform(n, math.log(limits[0]), math.log(limits[1])).exp()

    def _geometry(self, images: Tensor) -> Tensor:
        """Rotation, flip, zoom, stretch and shift in one resampling; outside the picture is black."""
        recipe, n = self.recipe, len(images)
        angle = self._uniform(n, -recipe.rotation_degrees, recipe.rotation_degrees).deg2rad().flatten()
        zoom = self._log_uniform(n, recipe.zoom).flatten()
        stretch = self._log_uniform(n, recipe.stretch).sqrt().flatten()
        flip = torch.where(self._uniform(n, 0, 1).flatten() < recipe.flip_probability, -1.0, 1.0)
        # affine_grid maps output to input, so a magnification divides; its coordinates span 2, so a share doubles.
        across, down = 1 / (zoom * stretch), stretch / zoom
        cos, sin = angle.cos(), angle.sin()
        shift = [2 * self._uniform(n, -recipe.shift, recipe.shift).flatten() for _ in range(2)]
        rows = (flip * cos * across, -flip * sin * down, shift[0], sin * across, cos * down, shift[1])
        theta = torch.stack(rows, dim=1).view(n, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _intensity(self, images: Tensor) -> Tensor:
        """Gamma, then contrast around the picture's mean, then brightness."""
        recipe, n = self.recipe, len(images)
        images = images.clamp(1e-4, 1) ** self._log_uniform(n, recipe.gamma)
        mean = images.mean(dim=(2, 3), keepdim=True)
        images = mean + (images - mean) * self._uniform(n, 1 - recipe.contrast, 1 + recipe.contrast)
        return images + self._uniform(n, -recipe.brightness, recipe.brightness)

    def _blur(self, images: Tensor) -> Tensor:
        """Separable Gaussian blur with one sigma per picture (pictures stand as groups of one convolution)."""
        radius = math.ceil(2 * self.recipe.blur_sigma)
        offsets = torch.arange(-radius, radius + 1, device=self.device, dtype=torch.float32)
        sigma = self._uniform(len(images), 0.05, self.recipe.blur_sigma).view(-1, 1)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = (kernel / kernel.sum(dim=1, keepdim=True)).view(len(images), 1, 1, -1)
        batch = F.pad(images.transpose(0, 1), (radius,) * 4, mode="replicate")
        batch = F.conv2d(batch, kernel, groups=len(images))
        return F.conv2d(batch, kernel.transpose(2, 3), groups=len(images)).transpose(0, 1)

    def _erase(self, images: Tensor) -> Tensor:
        """Replace one rectangle by the picture's mean, in a share of the pictures."""
        recipe, (n, _, height, width) = self.recipe, images.shape
        side = self._uniform(n, *recipe.erase_area).sqrt()
        ratio = self._log_uniform(n, (0.5, 2.0)).sqrt()
        across, down = side * ratio, side / ratio
        x0, y0 = self._uniform(n, 0, 1) * (1 - across), self._uniform(n, 0, 1) * (1 - down)
        x = ((torch.arange(width, device=self.device) + 0.5) / width).view(1, 1, 1, width)
        y = ((torch.arange(height, device=self.device) + 0.5) / height).view(1, 1, height, 1)
        inside = (x >= x0) & (x < x0 + across) & (y >= y0) & (y < y0 + down)
        chosen = self._uniform(n, 0, 1) < recipe.erase_probability
        return torch.where(inside & chosen, images.mean(dim=(2, 3), keepdim=True), images)
