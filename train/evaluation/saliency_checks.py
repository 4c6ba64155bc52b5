"""Whether class activation maps mean anything: where their energy lies, and whether they depend on the weights.

A map is no localiser. It can be checked, however, that it looks at the lungs more than a map of another patient would
(a map that always points at the middle of the image does not), and that it changes when the network's weights are
replaced by random ones (Adebayo et al., NeurIPS 2018, arXiv:1810.03292).
"""

import copy
from collections.abc import Iterator

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from space.results.evaluation_records import RandomisedStage, RegionEnergy
from train.data.boxes import boxed_images
from train.data.dataset import evenly_spread
from train.data.pixel_cache import Normaliser, PixelDataset
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_mean
from train.evaluation.finished_model import FinishedModel
from train.evaluation.inference import BATCH_SIZE
from train.models.explained import ExplainedModel

SHUFFLES = 20  # other patients' maps that each mask is compared with
RANDOMISED_IMAGES = 128
SEED = 0


@torch.no_grad()
def explain_all(explained: ExplainedModel, pixels: np.ndarray, normalise: Normaliser) -> tuple[Tensor, Tensor]:
    """Logits and class activation maps of all classes.

    Args:
        explained: The classifier.
        pixels: (N, H, W) uint8, of the model's own size.
        normalise: Pixels -> the model's input.

    Returns:
        (N, K) and (N, K, h, w) float32, on the CPU. Maps keep their negative evidence.
    """
    logits, cams = [], []
    for start in range(0, len(pixels), BATCH_SIZE):
        batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH_SIZE])).unsqueeze(1)
        outputs = explained.explain(normalise(batch))
        logits.append(outputs.logits.cpu())
        cams.append(outputs.cams.cpu())
    return torch.cat(logits), torch.cat(cams)


def maps_of(
    explained: ExplainedModel, pixels: np.ndarray, normalise: Normaliser, classes: Tensor | None = None
) -> Tensor:
    """Class activation maps with negative evidence cut off, as Grad-CAM does.

    Args:
        explained: The classifier.
        pixels: (N, H, W) uint8, of the model's own size.
        normalise: Pixels -> the model's input.
        classes: (N,) whose maps; None: of the class that the model finds most likely.

    Returns:
        (N, h, w) float32, on the CPU.
    """
    logits, cams = explain_all(explained, pixels, normalise)
    return cams[torch.arange(len(cams)), logits.argmax(dim=1) if classes is None else classes].clamp(min=0)


def enlarged(maps: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) at the size of the images, (N, H, W) float64."""
    return F.interpolate(maps[:, None].double(), size, mode="bilinear", align_corners=False)[:, 0].numpy()


def region_energy(
    maps: Tensor, inside: np.ndarray, counted: np.ndarray, units: BootstrapClusters, labels: dict[str, int]
) -> RegionEnergy:
    """The share of a map's energy that lies in a region of each image, beside what would be there anyway.

    Args:
        maps: (N, h, w), none below 0.
        inside: (N, H, W) bool: the regions.
        counted: (N, H, W) bool, False where the map and the region are not looked at.
        units: What is resampled for intervals, of the same images.
        labels: {label: how many of the images it has}.
    """
    whole = enlarged(maps, inside.shape[1:])
    full = np.flatnonzero(whole.sum(axis=(1, 2)) > 0)
    counts = {"images": len(full), "empty": len(maps) - len(full), "labels": labels}
    if not len(full):
        return RegionEnergy(**counts)
    units, inside, counted, whole = units.of_rows(full), inside[full], counted[full], whole[full]

    def share(maps: np.ndarray) -> np.ndarray:
        energy = maps * counted
        return (energy * inside).sum(axis=(1, 2)) / np.maximum(energy.sum(axis=(1, 2)), 1e-12)

    own = share(whole)
    others = np.mean([share(whole[order]) for order in _others(units.keys)], axis=0)
    area = (inside & counted).sum(axis=(1, 2)) / counted.sum(axis=(1, 2))
    values = {"inside": own, "area": area, "shuffled": others, "gain": own - others, "over_area": own - area}
    return RegionEnergy(**counts, **{name: estimate_mean(value, units) for name, value in values.items()})


def box_energy(
    finished: FinishedModel, pixels: PixelDataset, rows: datasets.Dataset, units: BootstrapClusters, names: list[str]
) -> RegionEnergy | None:
    """The share of a map's energy in radiologists' boxes; None where the images have none.

    The maps are of the images' own class, because that is what the boxes were drawn for.

    Args:
        finished: The classifier.
        pixels: A split.
        rows: The split itself.
        units: What is resampled for intervals.
        names: K class names.
    """
    boxed = boxed_images(pixels.pixels.shape[1:], rows)
    if boxed is None:
        return None
    truth = pixels.labels[boxed.rows]
    maps = maps_of(finished.explained, pixels.pixels[boxed.rows], finished.normalise, truth)
    everywhere = np.ones_like(boxed.inside)
    return region_energy(maps, boxed.inside, everywhere, units.of_rows(boxed.rows), count_classes(truth, names))


def count_classes(truth: Tensor, names: list[str]) -> dict[str, int]:
    """{name: how many of the class indices `truth` (N,) are its}."""
    return {name: int((truth == k).sum()) for k, name in enumerate(names)}


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
    trained = _evidence(explained, chosen, normalise)
    randomised, found = copy.deepcopy(explained), []
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for stage, modules in _stages(randomised.network):
            for module in modules:
                module.reset_parameters()
            other = _evidence(randomised, chosen, normalise)
            alike = np.array([_correlation(a, b) for a, b in zip(trained, other, strict=True)])
            found.append(RandomisedStage(stage=stage, correlation=estimate_mean(alike, kept)))
    return found


def _evidence(explained: ExplainedModel, pixels: np.ndarray, normalise: Normaliser) -> np.ndarray:
    """Maps (N, h * w) of the most likely class, before the ReLU."""
    logits, cams = explain_all(explained, pixels, normalise)
    return cams[torch.arange(len(cams)), logits.argmax(dim=1)].flatten(1).numpy()


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
