"""Temperature scaling, folded into the last layer so that plain `pipeline()` returns calibrated probabilities."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from torch import nn

ECE_BINS = 15
# Images from which a temperature is fitted. Fewer say little: a run of 10 steps got 0.059 from 25, and was 99.7% sure.
LEAST_IMAGES = 100


def confidences(labels: np.ndarray, probabilities: np.ndarray, positive: int | None) -> tuple[np.ndarray, np.ndarray]:
    """What calibration is about: probabilities (N,), and whether it was so (N,); arguments as `bin_gaps`."""
    if positive is None:
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return probabilities[:, positive], labels == positive


def bin_gaps(labels: np.ndarray, probabilities: np.ndarray, positive: int | None) -> np.ndarray:
    """What each image adds to the gap between confidence and truth of its bin.

    The expected calibration error (Guo et al., ICML 2017, arXiv:1706.04599) is the sum over bins of the absolute sum of
    these over the images, divided by their number. Bins are of equal width.

    Args:
        labels: (N,) class indices.
        probabilities: (N, K).
        positive: Index of the positive class for two classes, whose probability is looked at; None: that of the most
            likely class, whichever it is.

    Returns:
        (N, 15), one non-zero place in each row.
    """
    confidence, right = confidences(labels, probabilities, positive)
    return np.eye(ECE_BINS)[_bins(confidence)] * (confidence - right)[:, None]


def bin_counts(labels: np.ndarray, probabilities: np.ndarray, positive: int | None) -> list[list[int]]:
    """[n, k] of each of the 15 bins: n images have such a confidence, of k it was true; arguments as `bin_gaps`."""
    confidence, right = confidences(labels, probabilities, positive)
    bins = _bins(confidence)
    return [[int((bins == number).sum()), int(right[bins == number].sum())] for number in range(ECE_BINS)]


def _bins(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats of labels (N,) under logits (N, K)."""
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that minimises the negative log-likelihood (Guo et al., ICML 2017, arXiv:1706.04599).

    Args:
        logits: (N, K), of the validation split.
        labels: (N,) class indices.

    Returns:
        The temperature, in [0.05, 20]: above 1 where the model was too sure of itself.
    """
    best = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(best.x))


@dataclass(frozen=True)
class Calibration:
    """How a network's own logits become those of the finished model: divided by a temperature, plus a bias per class.

    Attributes:
        temperature: Above 1 where the network was too sure of itself.
        biases: (K,), zero unless asked for; they may change which class is the most likely.
        not_fitted: Why nothing was fitted though it was asked for, in words; "" if it was.
    """

    temperature: float
    biases: np.ndarray
    not_fitted: str = ""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """The logits (N, K) of the finished model of the network's own."""
        return logits / self.temperature + self.biases

    def undo(self, logits: np.ndarray) -> np.ndarray:
        """The network's own logits (N, K) of those of the finished model."""
        return (logits - self.biases) * self.temperature

    @torch.no_grad()
    def fold(self, layer: nn.Linear) -> None:
        """Build it into a model for good, by way of its last linear layer, so that plain `pipeline()` has it."""
        layer.weight /= self.temperature
        if layer.bias is not None:
            layer.bias /= self.temperature
            layer.bias += torch.from_numpy(self.biases).to(layer.bias)


def _why_not(logits: np.ndarray, labels: np.ndarray) -> str:
    """Why logits (N, K) and labels (N,) do not tell how sure the model may be, in words; "" if they do."""
    if len(labels) < LEAST_IMAGES:
        return f"only {len(labels)} validation images; at least {LEAST_IMAGES} are needed"
    if (logits.argmax(axis=1) == labels).all():  # the likelihood then grows without end as the temperature falls
        return "every validation image was classified correctly"
    return ""


def fit_calibration(method: str, logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit a calibration on validation.

    Args:
        method: "none", "temperature", or "temperature-and-bias", which fits a bias for each class besides. That assumes
            that classes are as frequent wherever the model is used as they are in validation.
        logits: (N, K).
        labels: (N,) class indices.
    """
    zero = np.zeros(logits.shape[1])
    if method == "none":
        return Calibration(1.0, zero)
    if reason := _why_not(logits, labels):
        return Calibration(1.0, zero, reason)
    temperature = fit_temperature(logits, labels)
    if method == "temperature":
        return Calibration(temperature, zero)

    def loss(values: np.ndarray) -> float:
        return negative_log_likelihood(logits / np.exp(values[0]) + values[1:], labels)

    best = minimize(loss, np.r_[np.log(temperature), zero], method="L-BFGS-B")
    biases = best.x[1:] - best.x[1:].mean()  # a constant added to all logits changes nothing
    return Calibration(float(np.exp(best.x[0])), biases)
