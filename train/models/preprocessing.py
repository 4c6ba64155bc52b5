"""What the saved image processors do, read from either family of them."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PilBackend

from space.errors import UsageError
from space.inference.resizing import FILTERS, Resizing


def _mean_and_deviation(processor) -> tuple[list[float], list[float]]:
    """Per channel, of either family's processor, on intensities in [0, 1]."""
    if isinstance(processor, PilBackend):
        return processor.image_mean, processor.image_std
    return processor.data_config["mean"], processor.data_config["std"]


def normalisation(processor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, (1, 3, 1, 1) each, on intensities in [0, 1]."""
    values = _mean_and_deviation(processor)
    return tuple(torch.tensor(channels, dtype=torch.float32).view(1, 3, 1, 1) for channels in values)


def resizing(processor) -> Resizing:
    """How a processor resizes and crops.

    Raises:
        UsageError: By another filter, to another shape than a square, or not by a crop of the centre.
    """
    if isinstance(processor, PilBackend):
        height, width = processor.size["height"], processor.size["width"]
        scaled, squash, interpolation = height, True, Image.Resampling(processor.resample).name.lower()
    else:
        config = processor.data_config
        _, height, width = config["input_size"]
        scaled = math.floor(height / config["crop_pct"])  # as timm's transforms do
        squash, interpolation = config["crop_mode"] == "squash", config["interpolation"]
    if height != width or interpolation not in FILTERS or not (squash or config["crop_mode"] == "center"):
        raise UsageError(
            f"images are resized to {width} x {height} pixels by {interpolation}; only squares by "
            f"{' or '.join(FILTERS)}, squeezed or cropped at the centre, can be exported."
        )
    return Resizing(height, scaled, squash, interpolation)


def input_size(processor) -> int:
    """Height and width in pixels of the model's input."""
    if isinstance(processor, PilBackend):
        return processor.size["height"]
    return processor.data_config["input_size"][-1]


def resize(processor, image: Image.Image) -> np.ndarray:
    """Resize a radiograph exactly as the saved processor does, without its normalisation.

    Args:
        processor: The model's image processor.
        image: Radiograph, mode "L".

    Returns:
        (H, W) uint8. The processor itself does the work, so evaluation in training equals `pipeline()`.
    """
    mean, std = normalisation(processor)
    pixels = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    return ((pixels * std + mean) * 255).round().clamp(0, 255)[0, 0].to(torch.uint8).numpy()
