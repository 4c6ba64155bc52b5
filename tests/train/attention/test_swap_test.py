"""Whether a score follows the lungs or what surrounds them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from space.results.evaluation_records import SwapTest
from tests.train.evaluation.fixtures import NORMALISE, SIZE, Looker
from train.attention.swap_test import SwapImages, swap_test
from train.data.pixel_cache import PixelDataset
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.inference import predict_logits

N = 60
LUNGS = np.zeros((N, SIZE, SIZE), np.uint8)
LUNGS[:, 8:24, 8:24] = 255
MIDDLE, TOP = torch.zeros(8, 8), torch.zeros(8, 8)
MIDDLE[2:6, 2:6] = 1
TOP[0] = 1


def images(model: Looker) -> SwapImages:
    """The lungs of the ill are bright, and so are the tops of their images; their bottoms are as dark."""
    random, labels = np.random.default_rng(0), np.arange(N) % 2
    pixels = random.integers(80, 120, (N, SIZE, SIZE)).astype(np.uint8)
    pixels[:, 8:24, 8:24] += (labels * 40).astype(np.uint8)[:, None, None]
    pixels[:, :4] += (labels * 40).astype(np.uint8)[:, None, None]
    pixels[:, -4:] -= (labels * 40).astype(np.uint8)[:, None, None]
    logits = predict_logits(model, PixelDataset(pixels, labels), NORMALISE)
    units = BootstrapClusters.of([f"p{number // 2 % 12}" for number in range(N)])
    return SwapImages(pixels, LUNGS, np.arange(N) < 40, labels, torch.tensor(logits).softmax(1).numpy(), units)


def swapped_by(where: torch.Tensor, **changes) -> SwapTest | None:
    model = Looker(where, threshold=0.45).eval()
    return swap_test(model, replace(images(model), **changes), NORMALISE, positive=1)


def test_a_model_that_reads_the_lungs_and_one_that_reads_beside_them_are_told_apart():
    honest, cheat = swapped_by(MIDDLE), swapped_by(TOP)
    assert honest.unchanged.value == cheat.unchanged.value == 1
    assert honest.lungs.low > 0.95
    assert honest.surroundings.low < 0.5 < honest.surroundings.high
    assert cheat.surroundings.low > 0.95
    assert cheat.lungs.low < 0.5 < cheat.lungs.high


def test_every_image_meets_each_class_and_the_units_are_patients():
    test = swapped_by(MIDDLE)
    assert (test.images, test.pairs, test.own_masks) == (N, 2 * N, 40)
    assert (test.lungs.n, test.lungs.unit) == (12, "patient")


def test_images_whose_mask_cannot_be_right_take_no_part():
    lungs = LUNGS.copy()
    lungs[:10], lungs[10:20] = 0, 255
    test = swapped_by(MIDDLE, lungs=lungs)
    assert (test.images, test.pairs, test.own_masks) == (N - 20, 2 * (N - 20), 20)


@pytest.mark.parametrize("label", [0, 1])
def test_without_two_patients_of_each_class_there_is_no_test(label):
    lungs = LUNGS.copy()
    lungs[(np.arange(N) % 2 == label) & (np.arange(N) // 2 % 12 != 0)] = 0
    assert swapped_by(MIDDLE, lungs=lungs) is None
