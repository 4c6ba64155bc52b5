"""Does a score follow the lungs, or what surrounds them? Lungs of one image on the surroundings of another.

Each image gives its lungs to one donor of each class, so that the donor's label says nothing about the lungs' label,
and labels agree as often as chance has it. Then the AUROC for the lungs' label says how much is read in the lungs, and
that for the donor's label how much is read beside them: 0.5 is nothing.

The pasted lungs take the exposure of their new surroundings (`train.data.compositing`). So a network that goes by
exposure follows the surroundings, too.

A network can see that lungs were pasted. One that was trained with `swap_surroundings` below 1 may ignore surroundings
in such images and still use them in whole ones; the occlusion controls are the other witness.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from space.results.evaluation_records import SwapTest
from train.data.compositing import plausible, swap_surroundings
from train.data.lung_masks import LUNG
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.bootstrap import BootstrapClusters, PairedClusters
from train.evaluation.estimates import estimate_some
from train.evaluation.inference import BATCH_SIZE, predict_logits
from train.evaluation.metrics import ScoredImages

MOST_IMAGES = 400
SEED = 0


@dataclass(frozen=True)
class SwapImages:
    """Images that give lungs and surroundings to each other, all of one split.

    Attributes:
        pixels: (M, H, W) uint8.
        lungs: (M, H, W) uint8, 255 = lung.
        own_masks: (M,) bool: whether the mask is the dataset's own.
        labels: (M,) class indices.
        probabilities: (M, K) of the images as they are.
        units: What is resampled for intervals.
    """

    pixels: np.ndarray
    lungs: np.ndarray
    own_masks: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    units: BootstrapClusters

    def of_rows(self, rows: np.ndarray) -> "SwapImages":
        """Some of the images."""
        arrays = (self.pixels, self.lungs, self.own_masks, self.labels, self.probabilities)
        return SwapImages(*(array[rows] for array in arrays), self.units.of_rows(rows))


def swap_test(model: nn.Module, images: SwapImages, normalise: Normaliser, positive: int | None) -> SwapTest | None:
    """AUROC on pairs of images for the label of the lungs and for that of the surroundings.

    Args:
        model: The finished classifier.
        images: Those whose mask cannot be right are left out.
        normalise: Pixels -> the model's input.
        positive: Index of the positive class of a binary task; else AUROC is the mean over the classes.

    Returns:
        The values with intervals. A resample draws patients; a pair counts as often as the patient of its lungs times
        as often as that of its surroundings. None where a class has not two patients with lungs.
    """
    images = images.of_rows(np.flatnonzero(plausible(images.lungs)))
    n_classes = images.probabilities.shape[1]
    if any(len(np.unique(images.units.keys[images.labels == k])) < 2 for k in range(n_classes)):
        return None
    givers, donors = _pairs(images.labels, images.units.keys, n_classes)
    pixels = _composed(images, givers, donors)
    logits = predict_logits(model, PixelDataset(pixels, images.labels[givers]), normalise)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    pairs = PairedClusters(images.units, givers, donors)

    def auroc(labels: np.ndarray, probabilities: np.ndarray, units: BootstrapClusters | PairedClusters):
        scored = ScoredImages(labels, probabilities, {"argmax": labels}, positive)
        return estimate_some(scored, units, ["auroc"])["argmax"]["auroc"]

    return SwapTest(
        images=len(images.labels),
        pairs=len(givers),
        own_masks=int(images.own_masks.sum()),
        unchanged=auroc(images.labels, images.probabilities, images.units),
        lungs=auroc(images.labels[givers], probabilities, pairs),
        surroundings=auroc(images.labels[donors], probabilities, pairs),
    )


def _pairs(labels: np.ndarray, keys: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Whose lungs, and whose surroundings: each image with a donor of each class, of another patient; (P,) twice."""
    random, donors = np.random.default_rng(SEED), []
    for key in keys:
        donors += [random.choice(np.flatnonzero((labels == k) & (keys != key))) for k in range(n_classes)]
    return np.repeat(np.arange(len(labels)), n_classes), np.array(donors)


def _composed(images: SwapImages, givers: np.ndarray, donors: np.ndarray) -> np.ndarray:
    """(P, H, W) uint8."""
    composed = []
    for start in range(0, len(givers), BATCH_SIZE):
        sides = []
        for rows in (givers[start : start + BATCH_SIZE], donors[start : start + BATCH_SIZE]):
            sides.append(torch.from_numpy(images.pixels[rows]).unsqueeze(1).float() / 255)
            sides.append(torch.from_numpy(images.lungs[rows] == LUNG).unsqueeze(1).float())
        composed.append((swap_surroundings(*sides) * 255).round().to(torch.uint8).squeeze(1).numpy())
    return np.concatenate(composed)
