"""Seeded scores, and networks whose maps are known, for the tests of evaluation."""

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from transformers import PilBackend

from space.inference.operating_point import OperatingPoint
from train.data.lung_masks import MaskedImages
from train.data.pixel_cache import Normaliser
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.calibration import Calibration
from train.evaluation.evaluate_model import DecisionSpec
from train.evaluation.inference import SplitPredictions
from train.evaluation.metrics import ScoredImages
from train.models.explained import ExplainedModel

SIZE = 32
NORMALISE = Normaliser(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), torch.device("cpu"))
# The image processor that `NORMALISE` stands for, of images of `SIZE` pixels.
SQUARE = PilBackend(size={"height": SIZE, "width": SIZE}, resample=2, image_mean=[0.0] * 3, image_std=[1.0] * 3)
LABELS = ["NORMAL", "PNEUMONIA"]


def scored(n: int, classes: int, positive: int | None = None, seed: int = 0) -> ScoredImages:
    """N images, decided by argmax; probabilities are rounded, so that there are ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    logits = random.normal(0, 1, (n, classes)) + 1.5 * np.eye(classes)[labels]
    rounded = np.maximum(np.round(softmax(logits, axis=1), 1), 0.05)
    probabilities = rounded / rounded.sum(axis=1, keepdims=True)
    return ScoredImages(labels, probabilities, {"argmax": probabilities.argmax(axis=1)}, positive)


def task(point: OperatingPoint | None = None, temperature: float = 1.0) -> DecisionSpec:
    """A binary task."""
    return DecisionSpec(LABELS, 1, point, Calibration(temperature, np.zeros(2)))


def predictions(seed: int, n: int = 200, shift: float = 0.0, columns: dict | None = None) -> SplitPredictions:
    """Answers to `task`, two images a patient."""
    random = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    scores = random.normal(0, 1.5, n) + 2 * truth - 1 + shift
    logits = np.stack([np.zeros(n), scores], axis=1)
    return SplitPredictions(truth, logits, BootstrapClusters.of([f"p{i // 2}" for i in range(n)]), columns or {})


class Looker(nn.Module):
    """Answers by the brightness of one part of the image: `where` (h, w) are weights of a (h, w) feature map."""

    def __init__(self, where: torch.Tensor, threshold: float = 0.5):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(where.shape)
        self.register_buffer("where", where)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[-20.0], [20.0]]))
            self.head.bias.copy_(20 * threshold * torch.tensor([1.0, -1.0]))

    def forward_features(self, pixel_values):
        return self.pool(pixel_values[:, :1]) * self.where / self.where.mean()

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    def get_classifier(self):
        return self.head

    def forward(self, pixel_values):
        class Output:
            logits = self.forward_head(self.forward_features(pixel_values))

        return Output


def explained(model: nn.Module) -> ExplainedModel:
    """A network for images of `SIZE` pixels that `NORMALISE` prepares, with its maps."""
    return ExplainedModel(model, SQUARE)


def lungs(n: int) -> np.ndarray:
    """(n, 32, 32) bool: the upper or the lower half of the inner part, in turn."""
    masks = np.zeros((n, SIZE, SIZE), dtype=bool)
    masks[::2, 4:16, 4:-4] = True
    masks[1::2, 16:28, 4:-4] = True
    return masks


def masked(pixels: np.ndarray, lung: np.ndarray) -> MaskedImages:
    """All of these images, with these masks."""
    return MaskedImages(np.arange(len(pixels)), pixels, lung, np.ones_like(lung))
