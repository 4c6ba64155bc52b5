import numpy as np
import torch

from tests.phantoms import draw_masked_phantom
from train.batches.augmentation import Augmenter
from train.data.lung_masks import IGNORED, LUNG
from train.segmentation.dice import dice
from train.segmentation.fit import AUGMENTATION, GEOMETRY, fit, loss, predict, targets
from train.segmentation.mask_sets import MaskSet


def phantoms(count: int, seed: int, side: int = 64) -> MaskSet:
    random = np.random.default_rng(seed)
    drawn = [draw_masked_phantom(random, bool(number % 2), side, side) for number in range(count)]
    images, masks = (np.stack([np.asarray(pair[side]) for pair in drawn]) for side in (0, 1))
    return MaskSet(images, masks, [None] * count, ["any"] * count)


def test_a_mask_moves_with_its_image():
    masks = phantoms(8, 0, 128).masks
    device = torch.device("cpu")
    # Of an image that equals its mask, augmentation may change the gray levels, but not where the mask is.
    images = Augmenter(AUGMENTATION, device)(torch.from_numpy(masks)[:, None], 5)
    lung, ignored = Augmenter(GEOMETRY, device)(targets(masks), 5).split(1, dim=1)
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, lung, strict=True)]
    assert np.median(correlations) > 0.9
    assert not ignored.any()
    unmoved = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, masks, strict=True)]
    assert np.median(unmoved) < 0.8


def test_ignored_pixels_cost_nothing():
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[:, :4], mask[:, 6:] = LUNG, IGNORED
    lung, ignored = (targets(mask) / 255).split(1, dim=1)
    logits = torch.where(lung > 0, 9.0, -9.0)
    right = loss(logits, lung, ignored)
    assert right < 0.01
    logits[:, :, 6:] = 9.0
    assert torch.allclose(loss(logits, lung, ignored), right)
    logits[:, :, 4:6] = 9.0
    assert loss(logits, lung, ignored) > 1


def test_it_learns_what_lungs_look_like():
    network, epoch = fit(phantoms(32, 1), phantoms(8, 2), epochs=11, seed=0)
    held_out = phantoms(8, 3)
    assert 1 <= epoch <= 11
    assert dice(predict(network, held_out.pixels), held_out.masks).mean() > 0.6


def test_a_seed_gives_the_same_network():
    first, second = (fit(phantoms(8, 1), phantoms(4, 2), epochs=1, seed=4)[0].state_dict() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
