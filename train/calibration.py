"""Temperature scaling, folded into the last layer so that plain `pipeline()` returns calibrated probabilities."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import nn


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats of labels (N,) under logits (N, K)."""
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that minimises the negative log-likelihood (Guo et al., ICML 2017, arXiv:1706.04599).

    Args:
        logits: (N, K), of the validation split.
        labels: (N,) class indices.

    Returns:
        The temperature, in [0.05, 20]: above 1 where the model was too sure of itself. 1 where every label is the most
        likely one: the likelihood then grows without end, and the split does not say how sure the model may be.
    """
    if (logits.argmax(axis=1) == labels).all():
        return 1.0
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))


@torch.no_grad()
def fold_temperature(layer: nn.Linear, temperature: float) -> None:
    """Divide a model's logits by `temperature` for good, by way of its last linear layer."""
    layer.weight /= temperature
    if layer.bias is not None:
        layer.bias /= temperature
