"""Checks of class activation maps, on networks whose maps are known."""

import datasets
import numpy as np
import pytest
import torch
from torch import nn

from space.results.evaluation_records import RegionEnergy
from tests.train.engine.fixtures import small_model
from tests.train.evaluation.fixtures import LABELS, NORMALISE, SIZE, SQUARE, Looker, explained, lungs, masked
from train.data.boxes import BOXES
from train.data.lung_masks import MaskedImages
from train.data.pixel_cache import PixelDataset
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.finished_model import FinishedModel
from train.evaluation.saliency_checks import box_energy, maps_of, region_energy, weight_randomisation

COUNTS = dict.fromkeys(LABELS, 20)


def lung_energy(model: nn.Module, images: MaskedImages, units: BootstrapClusters) -> RegionEnergy:
    """The energy in these lungs of the map of the most likely class."""
    maps = maps_of(explained(model), images.pixels, NORMALISE)
    return region_energy(maps, images.lung, images.counted, units, COUNTS)


def test_a_map_that_always_shows_the_middle_gains_nothing_over_other_patients_maps():
    pixels = np.full((40, SIZE, SIZE), 200, dtype=np.uint8)
    centre = torch.zeros(8, 8)
    centre[3:5, 3:5] = 1
    units = BootstrapClusters.of([f"p{i}" for i in range(40)])
    found = lung_energy(Looker(centre), masked(pixels, lungs(40)), units)
    assert found.gain.value == pytest.approx(0, abs=1e-9)
    assert found.inside.value > found.area.value  # and still it seems to look at the lungs
    assert found.over_area.value == pytest.approx(found.inside.value - found.area.value)
    assert found.over_area.low > 0


def test_a_map_that_follows_the_lungs_wins_over_other_patients_maps():
    lung = lungs(40)
    pixels = (lung * 200).astype(np.uint8)  # bright lungs: the map of a network that sees brightness follows them
    units = BootstrapClusters.of([f"p{i}" for i in range(40)])
    found = lung_energy(Looker(torch.ones(8, 8), 0.1), masked(pixels, lung), units)
    assert found.gain.low > 0.2
    assert found.inside.value > 0.85
    assert (found.images, found.gain.n) == (40, 40)


def test_ignored_pixels_count_neither_way_and_empty_maps_are_left_out():
    units = BootstrapClusters.of([None] * 10)
    lung, pixels = lungs(10), np.full((10, SIZE, SIZE), 200, dtype=np.uint8)
    pixels[0] = 0  # nothing to see: an empty map
    images = MaskedImages(np.arange(10), pixels, lung, lung)  # all outside the lungs is to be ignored
    found = lung_energy(Looker(torch.ones(8, 8)), images, units)
    assert found.inside.value == pytest.approx(1)
    assert (found.images, found.empty) == (9, 1)
    images = MaskedImages(np.arange(10), np.zeros_like(pixels), lung, lung)
    dark = lung_energy(Looker(torch.ones(8, 8)), images, units)
    assert dark == RegionEnergy(images=0, empty=10, labels=COUNTS)


def boxed(pixels: np.ndarray, boxes: list) -> tuple[PixelDataset, datasets.Dataset]:
    features = datasets.Features(boxes=BOXES)
    return PixelDataset(pixels, np.ones(len(pixels), int)), datasets.Dataset.from_dict({"boxes": boxes}, features)


def test_a_map_of_the_images_own_class_is_held_against_boxes():
    pixels = np.full((20, SIZE, SIZE), 20, dtype=np.uint8)
    pixels[:10, 8:16, 16:24] = pixels[10:, 20:28, 4:12] = 250
    drawn = [[[0.5, 0.25, 0.25, 0.25]]] * 10 + [[[0.125, 0.625, 0.25, 0.25]]] * 10
    units = BootstrapClusters.of([None] * 20)

    def energy(model: nn.Module, boxes: list) -> RegionEnergy | None:
        return box_energy(FinishedModel(model, SQUARE, NORMALISE), *boxed(pixels, boxes), units, LABELS)

    everywhere = Looker(torch.ones(8, 8), 0.9)  # calls all of them NORMAL; the map is that of PNEUMONIA, their class
    found = energy(everywhere, drawn)
    assert (found.images, found.labels) == (20, {"NORMAL": 0, "PNEUMONIA": 20})
    assert found.area.value == pytest.approx(1 / 16)
    assert found.gain.low > 0.1
    assert found.over_area.low > 0.2
    swapped = energy(everywhere, drawn[10:] + drawn[:10])
    assert swapped.over_area.high < 0
    assert energy(everywhere, [None] * 20) is None
    assert energy(everywhere, [None] * 19 + drawn[:1]).images == 1


def test_randomised_weights_change_the_maps_from_the_head_down_and_leave_the_model_alone():
    torch.manual_seed(1)
    model = small_model().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE), dtype=np.uint8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = weight_randomisation(explained(model), pixels, NORMALISE, BootstrapClusters.of([None] * 20))
    assert found[0].stage.startswith("head")
    assert len(found) >= 3
    assert all(-1 <= one.correlation.value <= 1 for one in found)
    assert abs(found[-1].correlation.value) < 0.9
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert found == weight_randomisation(explained(model), pixels, NORMALISE, BootstrapClusters.of([None] * 20))
