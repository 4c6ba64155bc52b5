"""Optimisers by name, and the learning rate of every step."""

import math

import torch
from torch import nn

from train.config.recipe import TrainingRecipe

SGD_MOMENTUM = 0.9
# torch's fused kernels; Adamax and RMSprop have none.
OPTIMIZERS = {
    "adamw": lambda groups, rate: torch.optim.AdamW(groups, rate, fused=True),
    "adam": lambda groups, rate: torch.optim.Adam(groups, rate, fused=True),
    "adamax": lambda groups, rate: torch.optim.Adamax(groups, rate),
    "rmsprop": lambda groups, rate: torch.optim.RMSprop(groups, rate),
    "sgd": lambda groups, rate: torch.optim.SGD(groups, rate, momentum=SGD_MOMENTUM, nesterov=True, fused=True),
}
# Of the one-cycle schedule: share of the steps that the rate rises, and how far below the peak it begins and ends
# (torch.optim.lr_scheduler.OneCycleLR's defaults; momentum is left alone).
RISING, FIRST, LAST = 0.3, 1 / 25, 1 / 250_000


def build_optimizer(model: nn.Module, training: TrainingRecipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over the weights that train, without weight decay on biases and norms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return OPTIMIZERS[training.optimizer](groups, training.learning_rate)


def rate_factor(schedule: str, step: int, warmup: int, total: int) -> float:
    """Share of the peak learning rate at a step.

    Args:
        schedule: A recipe's `schedule`.
        step: From 0.
        warmup: Steps of linear warm-up; "one-cycle" takes none.
        total: Steps of the whole schedule.

    Returns:
        In (0, 1]; 0 after the last step of "cosine". "plateau" is constant here: `train.engine.control` lowers it.
    """
    if schedule == "one-cycle":
        peak = max(1, round(RISING * total))
        if step < peak:
            return _cosine(FIRST, 1.0, step / peak)
        return _cosine(1.0, LAST, min(1.0, (step - peak) / max(1, total - 1 - peak)))
    if step < warmup:
        return (step + 1) / warmup
    return _cosine(1.0, 0.0, (step - warmup) / max(1, total - warmup)) if schedule == "cosine" else 1.0


def _cosine(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` at share 0 to `end` at share 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
