"""Checks of class activation maps, on networks whose maps are known."""

import numpy as np
import pytest
import torch

from space.results.evaluation_records import LungEnergy
from tests.train.engine.fixtures import small_model
from tests.train.evaluation.fixtures import LABELS, NORMALISE, SIZE, Looker, explained, lungs, masked
from train.data.lung_masks import MaskedImages
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.saliency_checks import lung_energy, weight_randomisation

COUNTS = dict.fromkeys(LABELS, 20)


def test_a_map_that_always_shows_the_middle_gains_nothing_over_other_patients_maps():
    pixels = np.full((40, SIZE, SIZE), 200, dtype=np.uint8)
    centre = torch.zeros(8, 8)
    centre[3:5, 3:5] = 1
    units = BootstrapClusters.of([f"p{i}" for i in range(40)])
    found = lung_energy(explained(Looker(centre)), masked(pixels, lungs(40)), NORMALISE, units, COUNTS)
    assert found.gain.value == pytest.approx(0, abs=1e-9)
    assert found.inside.value > found.area.value  # and still it seems to look at the lungs


def test_a_map_that_follows_the_lungs_wins_over_other_patients_maps():
    lung = lungs(40)
    pixels = (lung * 200).astype(np.uint8)  # bright lungs: the map of a network that sees brightness follows them
    units = BootstrapClusters.of([f"p{i}" for i in range(40)])
    found = lung_energy(explained(Looker(torch.ones(8, 8), 0.1)), masked(pixels, lung), NORMALISE, units, COUNTS)
    assert found.gain.low > 0.2
    assert found.inside.value > 0.85
    assert (found.images, found.gain.n) == (40, 40)


def test_ignored_pixels_count_neither_way_and_empty_maps_are_left_out():
    units = BootstrapClusters.of([None] * 10)
    lung, pixels = lungs(10), np.full((10, SIZE, SIZE), 200, dtype=np.uint8)
    pixels[0] = 0  # nothing to see: an empty map
    images = MaskedImages(np.arange(10), pixels, lung, lung)  # all outside the lungs is to be ignored
    found = lung_energy(explained(Looker(torch.ones(8, 8))), images, NORMALISE, units, COUNTS)
    assert found.inside.value == pytest.approx(1)
    assert (found.images, found.empty) == (9, 1)
    images = MaskedImages(np.arange(10), np.zeros_like(pixels), lung, lung)
    dark = lung_energy(explained(Looker(torch.ones(8, 8))), images, NORMALISE, units, COUNTS)
    assert dark == LungEnergy(images=0, empty=10, labels=COUNTS)


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
