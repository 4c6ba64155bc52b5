"""Whether the hottest part of a map matters to the answer: it is hidden, and so are other areas of the same size.

This is the question of a person who looks at the page: does the answer depend on the bright region more than on
another one? The other areas are the hottest part itself, flipped and moved at random, so they have its shape and its
smooth borders. Another patient's hottest part would not do: where maps share a habit, such as the middle of the image,
it lies there too, and a model that does depend on the middle would seem to depend on nothing. `region_energy` tells
whether a map is the patient's own.

Areas that may lie anywhere often lie where nobody would look, such as beside the body. Where there are lung masks, the
hottest part is therefore compared with areas in the lungs as well.

What is hidden is blurred, or filled with the mean of the rest (both are usual; see Petsiuk et al., BMVC 2018,
arXiv:1806.07421). Both make images of a kind that training never showed, and so do the areas that are compared.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from space.results.evaluation_records import DeletionTest
from train.attention.occlusion_controls import fill
from train.data.dataset import evenly_spread
from train.data.pixel_cache import Normaliser
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.estimates import estimate_mean
from train.evaluation.saliency_checks import enlarged, explain_all
from train.models.explained import ExplainedModel

HOTTEST = 0.2  # share of the image
BLUR = 0.1  # standard deviation of the Gaussian, as a share of the image's side: wider than a rib or a vessel
DRAWS = 3  # other areas of each image
MOST_IMAGES = 256
SEED = 0


def deletion_tests(
    explained: ExplainedModel,
    pixels: np.ndarray,
    normalise: Normaliser,
    units: BootstrapClusters,
    lungs: np.ndarray | None = None,
) -> list[DeletionTest]:
    """Hide the hottest fifth of each image and other areas of the same size, by two methods.

    The map is that of the most likely class: the page shows it, and the score is that class's lead over the others.

    Args:
        explained: The classifier.
        pixels: (N, H, W) uint8, of the model's own size; up to 256 of them are taken, evenly spread.
        normalise: Pixels -> the model's input.
        units: What is resampled for intervals, of the same images.
        lungs: (N, H, W) bool: where the other areas lie. What does not fit into lungs of less than a fifth of the image
            lies beside them. None: anywhere.

    Returns:
        A test for each method; none where every map is empty.
    """
    rows = evenly_spread(len(pixels), MOST_IMAGES)
    logits, cams = explain_all(explained, np.asarray(pixels[rows]), normalise)
    top = logits.argmax(dim=1)
    maps = enlarged(cams[torch.arange(len(rows)), top], pixels.shape[1:])
    shown = np.flatnonzero(np.ptp(maps.clip(min=0), axis=(1, 2)) > 0)
    if not len(shown):
        return []
    chosen, top, maps, kept = np.asarray(pixels[rows[shown]]), top[shown], maps[shown], units.of_rows(rows[shown])
    allowed = None if lungs is None else lungs[rows[shown]]
    size, random = round(HOTTEST * chosen[0].size), np.random.default_rng(SEED)
    areas = [_hottest(maps, size), *(_hottest(_moved(maps, random), size, allowed) for _ in range(DRAWS))]
    lead, blurred, tests = _lead(logits[shown], top), _blurred(chosen), []
    for method, hide in (
        ("blur", lambda area: np.where(area, blurred, chosen)),
        ("fill", lambda area: fill(chosen, keep=~area)),
    ):
        falls = [lead - _lead(explain_all(explained, hide(area), normalise)[0], top) for area in areas]
        hottest, other = falls[0], np.mean(falls[1:], axis=0)
        values = {"lead": lead, "hottest": hottest, "other": other, "difference": hottest - other}
        estimates = {name: estimate_mean(value, kept) for name, value in values.items()}
        counts = {"images": len(shown), "empty": len(rows) - len(shown)}
        tests.append(
            DeletionTest(method=method, others="anywhere" if lungs is None else "lungs", **counts, **estimates)
        )
    return tests


def _hottest(maps: np.ndarray, size: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """(N, H, W) bool: the `size` hottest pixels of each map, of the allowed ones first."""
    heat = maps.reshape(len(maps), -1)
    if allowed is not None:
        heat = np.where(allowed.reshape(heat.shape), heat, heat - np.ptp(heat) - 1)
    areas = np.zeros(heat.shape, dtype=bool)
    np.put_along_axis(areas, np.argpartition(-heat, size - 1, axis=1)[:, :size], True, axis=1)
    return areas.reshape(maps.shape)


def _moved(maps: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each map flipped at random and moved at random; what leaves the image on one side comes back on the other."""
    moved = np.empty_like(maps)
    for source, target in zip(maps, moved, strict=True):
        down, across = random.choice([-1, 1], 2)
        target[:] = np.roll(source[::down, ::across], random.integers(source.shape), axis=(0, 1))
    return moved


def _blurred(pixels: np.ndarray) -> np.ndarray:
    sigma = BLUR * pixels.shape[1]
    return np.stack([gaussian_filter(image.astype(np.float32), sigma).round().astype(np.uint8) for image in pixels])


def _lead(logits: Tensor, top: Tensor) -> np.ndarray:
    """(N,) the logits of classes `top` (N,) minus the largest of the other classes' logits."""
    own = logits.gather(1, top[:, None])[:, 0]
    others = logits.scatter(1, top[:, None], -torch.inf).amax(dim=1)
    return (own - others).double().numpy()
