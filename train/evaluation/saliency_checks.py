"""Whether class activation maps mean anything: where their energy lies, and whether they depend on the weights.

A map is no localiser. It can be checked, however, that it looks at the lungs more than a map of another patient would
(a map that always points at the middle of the image does not), and that it changes when the network's weights are
replaced by random ones (Adebayo et al., NeurIPS 2018, arXiv:1810.03292).
"""

import copy
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from space.results.evaluation_records import LungEnergy, RandomisedStage
from train.data.dataset import evenly_spread
from train.data.lung_masks import MaskedImages
from train.data.pixel_cache import Normaliser
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_mean
from train.evaluation.inference import BATCH_SIZE
from train.models.explained import ExplainedModel

SHUFFLES = 20  # other patients' maps that each mask is compared with
RANDOMISED_IMAGES = 128
SEED = 0


@torch.no_grad()
def maps_of(explained: ExplainedModel, pixels: np.ndarray, normalise: Normaliser, relu: bool = True) -> Tensor:
    """Class activation maps of the class that the model finds most likely.

    Args:
        explained: The classifier.
        pixels: (N, H, W) uint8, of the model's own size.
        normalise: Pixels -> the model's input.
        relu: Whether negative evidence is cut off, as Grad-CAM does.

    Returns:
        (N, h, w) float32, on the CPU.
    """
    found = []
    for start in range(0, len(pixels), BATCH_SIZE):
        batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH_SIZE])).unsqueeze(1)
        explanation = explained.explain(normalise(batch))
        found.append(explanation.cams[torch.arange(len(batch)), explanation.logits.argmax(dim=1)].cpu())
    maps = torch.cat(found)
    return maps.clamp(min=0) if relu else maps


def lung_energy(
    explained: ExplainedModel,
    images: MaskedImages,
    normalise: Normaliser,
    units: BootstrapClusters,
    labels: dict[str, int],
) -> LungEnergy:
    """The share of a map's energy that lies in the lungs, beside what would be there anyway.

    Args:
        explained: The classifier.
        images: Test images with masks.
        normalise: Pixels -> the model's input.
        units: What is resampled for intervals, of the same images.
        labels: {label: how many of the images it has}.
    """
    maps = maps_of(explained, images.pixels, normalise).double()
    whole = F.interpolate(maps[:, None], images.lung.shape[1:], mode="bilinear", align_corners=False)[:, 0].numpy()
    full = np.flatnonzero(whole.sum(axis=(1, 2)) > 0)
    counts = {"images": len(full), "empty": len(maps) - len(full), "labels": labels}
    if not len(full):
        return LungEnergy(**counts)
    units, lung, counted, whole = units.of_rows(full), images.lung[full], images.counted[full], whole[full]

    def inside(maps: np.ndarray) -> np.ndarray:
        energy = maps * counted
        return (energy * lung).sum(axis=(1, 2)) / np.maximum(energy.sum(axis=(1, 2)), 1e-12)

    own = inside(whole)
    others = np.mean([inside(whole[order]) for order in _others(units.keys)], axis=0)
    area = (lung & counted).sum(axis=(1, 2)) / counted.sum(axis=(1, 2))
    values = {"inside": own, "area": area, "shuffled": others, "gain": own - others}
    return LungEnergy(**counts, **{name: estimate_mean(value, units) for name, value in values.items()})


def _others(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Orders of the images in which nobody stands in the place of an image of their own, where that is possible."""
    random, n = np.random.default_rng(SEED), len(keys)
    for _ in range(SHUFFLES):
        order = random.permutation(n)
        for place in np.flatnonzero(keys[order] == keys):
            for partner in random.permutation(n)[:50]:
                if keys[order[partner]] != keys[place] and keys[order[place]] != keys[partner]:
                    order[[place, partner]] = order[[partner, place]]
                    break
        yield order


def weight_randomisation(
    explained: ExplainedModel, pixels: np.ndarray, normalise: Normaliser, units: BootstrapClusters
) -> list[RandomisedStage]:
    """How alike maps stay while the network's stages are replaced by random ones, from the head down.

    Args:
        explained: The classifier; is left as it is.
        pixels: (N, H, W) uint8; up to 128 of them are taken, evenly spread.
        normalise: Pixels -> the model's input.
        units: What is resampled for intervals, of the same images.

    Returns:
        For each stage, in the order of randomisation, the mean Spearman correlation between an image's map of the
        trained network and that of the network randomised so far, before the ReLU.
        Constant maps, whose correlation is not defined, count as 0.
    """
    rows = evenly_spread(len(pixels), RANDOMISED_IMAGES)
    chosen, kept = np.asarray(pixels[rows]), units.of_rows(rows)
    trained = maps_of(explained, chosen, normalise, relu=False).flatten(1).numpy()
    randomised, found = copy.deepcopy(explained), []
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for stage, modules in _stages(randomised.network):
            for module in modules:
                module.reset_parameters()
            other = maps_of(randomised, chosen, normalise, relu=False).flatten(1).numpy()
            alike = np.array([_correlation(a, b) for a, b in zip(trained, other, strict=True)])
            found.append(RandomisedStage(stage=stage, correlation=estimate_mean(alike, kept)))
    return found


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0 or not np.isfinite(second).all():
        return 0.0
    return float(spearmanr(first, second).statistic)


def _stages(network: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """Modules with weights of their own, in groups named by the first two parts of their names, the head first."""
    stages: dict[str, list[nn.Module]] = {}
    for name, module in network.named_modules():
        if hasattr(module, "reset_parameters") and next(module.parameters(recurse=False), None) is not None:
            stages.setdefault(".".join(name.split(".")[:2]), []).append(module)
    return list(reversed(stages.items()))
