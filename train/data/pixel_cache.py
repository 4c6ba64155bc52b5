"""Decoded pixels in a memory-mapped cache."""

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from space.errors import ChestXrayError, XrayError
from space.imaging.xray import READER_VERSION, read_xray
from train.common.cache_folder import cached_array
from train.data.corruption import CORRUPTION_VERSION, corrupt
from train.data.dataset import Data
from train.data.origins import origins_of
from train.models.preprocessing import input_size, resize

# The validation split once more, with `train.data.corruption` applied.
CORRUPTED = "corrupted"


def load_pixels(data: Data, processor, threads: int, names: Iterable[str] | None = None) -> dict[str, "PixelDataset"]:
    """Decode and resize images once; later runs read the result from disk.

    Args:
        data: The dataset.
        processor: The model's image processor, which does the resizing.
        threads: Images decoded at a time.
        names: Splits, and `CORRUPTED`; None for all splits of the dataset.

    Returns:
        {split: pixels and labels}; the pixels are memory-mapped.

    Raises:
        ChestXrayError: An image cannot be read; the message names it.
    """
    versions = [READER_VERSION, version("Pillow"), version("timm"), version("transformers")]
    pixels = {}
    for name in data.splits if names is None else names:
        split = data.splits["validation" if name == CORRUPTED else name]
        content = [name, CORRUPTION_VERSION] if name == CORRUPTED else name
        if name != "test" and data.left_out:
            content = [content, data.left_out]
        key = json.dumps([data.fingerprint, content, processor.to_dict(), versions], sort_keys=True, default=str)
        digest = hashlib.sha256(key.encode()).hexdigest()
        decoded = cached_array("pixels", digest, partial(_decode, name, split, processor, threads))
        pixels[name] = PixelDataset(decoded, split["label"], origins_of(split))
    return pixels


def _decode(name: str, split: datasets.Dataset, processor, threads: int, path: Path) -> None:
    """Write the pixels of a split, (N, H, W) uint8, as a .npy file, one image after the other."""
    encoded = split.cast_column("image", datasets.Image(decode=False))
    change: Callable[[Image.Image, int], Image.Image] = corrupt if name == CORRUPTED else lambda image, _: image

    def decode(index: int) -> np.ndarray:
        stored = encoded[index]["image"]
        try:
            return resize(processor, change(read_xray(stored["bytes"] or stored["path"]).image, index))
        except XrayError as error:
            raise ChestXrayError(f"image {index} of split {name}: {error}") from error

    size = input_size(processor)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split), size, size)}
    with path.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        np.lib.format.write_array_header_1_0(file, header)
        rows = pool.map(decode, range(len(split)))
        for row in tqdm(rows, total=len(split), desc=f"decoding {name}", unit="img"):
            file.write(row.tobytes())


class PixelDataset:
    """Cached pixels, labels and origins of a split.

    Args:
        pixels: (N, H, W) uint8.
        labels: (N,) class indices.
        origins: (N,) strings, "" where the origin is not known; None: nowhere.
        lungs: (N, H, W) uint8, 255 = lung; None where nothing needs them.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        origins: np.ndarray | None = None,
        lungs: np.ndarray | None = None,
    ):
        self.pixels, self.lungs = pixels, lungs
        self.origins = np.full(len(labels), "") if origins is None else origins
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
