"""What the saved image processors do, read from either family of them."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PilBackend


def _preprocessing(processor) -> tuple[list[float], list[float], int]:
    """Mean and deviation per channel, and the size in pixels, of either family's processor."""
    if isinstance(processor, PilBackend):
        return processor.image_mean, processor.image_std, processor.size["height"]
    config = processor.data_config
    return config["mean"], config["std"], config["input_size"][-1]


def normalisation(processor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, (1, 3, 1, 1) each, on intensities in [0, 1]."""
    mean, std, _ = _preprocessing(processor)
    return tuple(torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (mean, std))


def input_size(processor) -> int:
    """Height and width in pixels of the model's input."""
    return _preprocessing(processor)[2]


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
