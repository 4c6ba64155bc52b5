"""Logits of whole splits."""

import numpy as np
import torch
from torch import nn

from train.data.pixel_cache import Normaliser, PixelDataset

BATCH_SIZE = 64


@torch.no_grad()
def predict_logits(
    model: nn.Module, split: PixelDataset, normalise: Normaliser, rows: np.ndarray | None = None
) -> np.ndarray:
    """Classify the images of a split on this process, in the precision that it is called in.

    Args:
        model: The classifier; is left in evaluation mode.
        split: Pixels.
        normalise: Pixels -> the model's input.
        rows: Which images; None for all, in order.

    Returns:
        Logits (N, K) float32.
    """
    model.eval()
    rows = np.arange(len(split)) if rows is None else rows
    logits = []
    for start in range(0, len(rows), BATCH_SIZE):
        pixels = split.take(rows[start : start + BATCH_SIZE])
        logits.append(model(pixel_values=normalise(pixels)).logits.float().cpu())
    return torch.cat(logits).numpy()
