import numpy as np
import pytest

from train.data.lung_masks import IGNORED, LUNG
from train.segmentation.dice import dice, score_masks
from train.segmentation.mask_sets import MaskSet

LUNGS = np.zeros((4, 4), np.uint8)
LUNGS[:2] = LUNG


def test_dice_is_twice_the_common_area_over_both_areas():
    exact = LUNGS / 255
    shifted = np.roll(exact, 1, axis=0)
    assert dice(np.stack([exact, shifted, 1 - exact]), np.stack([LUNGS] * 3)).tolist() == [1, 0.5, 0]
    assert dice(np.full((1, 4, 4), 0.49), np.zeros((1, 4, 4), np.uint8)).tolist() == [1]


def test_ignored_pixels_do_not_count():
    mask = LUNGS.copy()
    mask[2:, :] = IGNORED
    assert dice(np.ones((1, 4, 4)), mask[None]).tolist() == [1]


def test_scores_are_means_over_images_with_intervals_over_patients():
    shares = np.array([1.0, 0.0] * 10)
    probabilities = np.stack([LUNGS / 255 if share else 1 - LUNGS / 255 for share in shares])
    patients = [f"p{number // 2}" for number in range(20)]
    images = MaskSet(np.zeros((20, 4, 4), np.uint8), np.stack([LUNGS] * 20), patients, ["good", "bad"] * 10)
    scores = score_masks(probabilities, images)
    assert scores.images == 20
    assert (scores.mean.value, scores.mean.n, scores.mean.unit) == (0.5, 10, "patient")
    assert scores.mean.low == scores.mean.high == 0.5  # every patient has one good mask and one bad one
    assert {label: mean.value for label, mean in scores.labels.items()} == {"bad": 0, "good": 1}
    assert scores.lowest_twentieth == 0
    alone = score_masks(probabilities, MaskSet(images.pixels, images.masks, [None] * 20, images.labels))
    assert (alone.mean.n, alone.mean.unit) == (20, "image")
    assert alone.mean.low < 0.4 < 0.6 < alone.mean.high
    assert alone.mean.value == pytest.approx(0.5)
