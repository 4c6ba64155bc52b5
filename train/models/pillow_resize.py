"""Pillow's resize as matrix products, which torch computes and an ONNX graph can hold: equal to the last gray level.

ONNX has a Resize of its own, but every runtime computes other pixels with it: they round otherwise than Pillow, or
leave out the antialiasing (OpenVINO 2026.4). A product of matrices is the same everywhere.
"""

import torch
from torch import Tensor

from space.inference.resizing import Resizing

# Pillow's arithmetic (src/libImaging/Resample.c): weights have 22 binary places, and half a gray level is added before
# the places are cut off. A weight times a gray level then has 30 bits, of which float32 holds 24: weights are split in
# two halves.
PLACES = 22
HALF = 2 ** (PLACES // 2)


def resize(pixels: Tensor, resizing: Resizing) -> Tensor:
    """Resize gray images as Pillow does: antialiased, first along the rows, then along the columns.

    Args:
        pixels: (N, 1, H, W), gray levels from 0 to 255, uint8 or float32.
        resizing: How. What a crop would cut off is not computed.

    Returns:
        (N, 1, size, size) float32, whole gray levels.
    """
    weigh, pixels = WEIGHTS[resizing.interpolation], pixels.float()
    height, width = pixels.shape[2:]
    shorter = torch.sym_min(height, width)
    upper, lower = weigh(width, *resizing.lines(width, shorter), resizing.size)
    rows = _gray_levels(pixels @ upper.T, pixels @ lower.T)
    upper, lower = weigh(height, *resizing.lines(height, shorter), resizing.size)
    return _gray_levels(upper @ rows, lower @ rows)


def _gray_levels(upper: Tensor, lower: Tensor) -> Tensor:
    """Sums of gray levels times the halves of their weights -> gray levels; each step is exact in float32."""
    return ((upper + (lower / HALF).floor() + HALF // 2) / HALF).floor().clamp(0, 255)


def _distances(source: int, target: int, first: int, kept: int) -> tuple[Tensor, int]:
    """How far each of `source` pixels of a line lies from each of the `kept` ones, from `first` on, of `target`.

    Returns:
        (kept, source), and the length of the unit: a pixel of the coarser line, so that enlarging interpolates and
        shrinking averages.
    """
    places = (2 * torch.arange(source) + 1) * target
    middles = (2 * (first + torch.arange(kept)) + 1) * source
    return (places - middles[:, None]).abs(), 2 * torch.sym_max(source, target)


def _bilinear(source: int, target: int, first: int, kept: int) -> tuple[Tensor, Tensor]:
    """Weights of the pixels of a line, see `_distances`: (kept, source) float32, upper and lower halves.

    Whole numbers alone, because a runtime may compute float64 as float32 (OpenVINO does). They fit in 32 bits for lines
    of up to 10,000 pixels.
    """
    distance, unit = _distances(source, target, first, kept)
    weights = (unit - distance).clamp(min=0)
    total = weights.sum(dim=1, keepdim=True)
    upper = weights * HALF // total
    lower = ((weights * HALF - upper * total) * HALF + total // 2) // total
    return upper.float(), lower.float()


def _bicubic(source: int, target: int, first: int, kept: int) -> tuple[Tensor, Tensor]:
    """The same for the cubic of Keys with a = -0.5."""
    distance, unit = _distances(source, target, first, kept)
    x = distance.double() / unit
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    whole = (weights / weights.sum(dim=1, keepdim=True) * 2**PLACES + 0.5).floor()
    upper = (whole / HALF).floor()
    return upper.float(), (whole - upper * HALF).float()


WEIGHTS = {"bilinear": _bilinear, "bicubic": _bicubic}
