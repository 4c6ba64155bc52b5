"""Golden outputs: what a finished model returns for seeded synthetic images, so that anyone can check a copy of it."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

GOLDEN_SEED = 0
GOLDEN_INPUTS = 4


def golden_pixels(size: int) -> Tensor:
    """Seeded synthetic images of smooth noise, (4, 1, size, size) uint8."""
    random = torch.Generator().manual_seed(GOLDEN_SEED)
    coarse = torch.rand(GOLDEN_INPUTS, 1, 8, 8, generator=random)
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return (smooth * 255).round().to(torch.uint8)


@torch.no_grad()
def write_golden(path: Path, model: nn.Module, normalise, size: int) -> None:
    """Write golden.safetensors: `pixels` (4, 1, H, W) uint8 and `logits` (4, K) fp32 of the finished model."""
    pixels = golden_pixels(size)
    logits = model.eval()(pixel_values=normalise(pixels)).logits.float().cpu()
    save_file({"pixels": pixels, "logits": logits.contiguous()}, path)
