from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tests.phantoms import draw_phantom
from train.batches.augmentation import Augmenter
from train.config.recipe import AugmentationRecipe

CPU = torch.device("cpu")
OFF = AugmentationRecipe()
ON = {
    "blur_surroundings": 1.0,
    "fill_surroundings": 1.0,
    "frame_blackout": 1.0,
    "frame_width": (0.05, 0.2),
    "tone_curve": 0.8,
    "rotation_degrees": 20.0,
    "shift": 0.2,
    "zoom": (1.4, 1.6),
    "stretch": (1.4, 1.6),
    "flip_probability": 1.0,
    "gamma": (2.0, 2.5),
    "contrast": 0.5,
    "brightness": 0.3,
    "blur_sigma": 2.0,
    "noise_std": 0.1,
    "erase_probability": 1.0,
    "erase_area": (0.2, 0.3),
}


RANGES = {"erase_area", "frame_width"}  # do nothing by themselves
# Of other images, which `TrainingBatches` has.
ELSEWHERE = {"swap_surroundings", "swap_frame"}
LUNGS = torch.zeros(8, 1, 64, 64, dtype=torch.uint8)
LUNGS[..., 14:50, 14:28] = LUNGS[..., 14:50, 36:50] = 255


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    random = np.random.default_rng(0)
    images = [np.asarray(draw_phantom(random, k % 2 == 0, 64, 64)) for k in range(8)]
    return torch.from_numpy(np.stack(images)).unsqueeze(1)


def test_with_everything_off_images_stay_as_they_are(pixels):
    assert torch.allclose(Augmenter(OFF, CPU)(pixels, 0, lungs=LUNGS), pixels / 255, atol=1e-3)


@pytest.mark.parametrize("name", sorted({field.name for field in fields(OFF)} - RANGES - ELSEWHERE))
def test_each_augmentation_changes_images_each_in_its_own_way_and_repeats_with_its_seed(pixels, name):
    recipe = replace(OFF, **{key: ON[key] for key in {*RANGES, name}})
    augmented = Augmenter(recipe, CPU)(pixels, 1, lungs=LUNGS)
    assert augmented.shape == pixels.shape
    assert 0 <= augmented.min() <= augmented.max() <= 1
    assert ((augmented - pixels / 255).abs().amax(dim=(1, 2, 3)) > 0.02).float().mean() > 0.7
    assert torch.equal(augmented, Augmenter(recipe, CPU)(pixels, 1, lungs=LUNGS))
    if name not in ("flip_probability", "blur_surroundings"):
        assert not torch.equal(augmented, Augmenter(recipe, CPU)(pixels, 2, lungs=LUNGS))
        same = Augmenter(recipe, CPU)(pixels[:1].expand(6, -1, -1, -1), 3, lungs=LUNGS[:6])
        assert len({image.numpy().tobytes() for image in same}) == 6


def test_flip_and_zoom_do_what_their_names_say(pixels):
    flipped = Augmenter(replace(OFF, flip_probability=1.0), CPU)(pixels, 0)
    assert torch.allclose(flipped, pixels.flip(-1) / 255, atol=1e-3)
    zoomed = Augmenter(replace(OFF, zoom=(2.0, 2.0)), CPU)(pixels, 0)
    centre = torch.nn.functional.interpolate(pixels[..., 16:48, 16:48] / 255, size=64, mode="bilinear")
    assert (zoomed - centre)[..., 4:-4, 4:-4].abs().max() < 0.02


def test_images_are_augmented_by_their_place_whichever_process_has_them(pixels):
    augment = Augmenter(replace(OFF, **ON), CPU)
    whole = augment(pixels, 7, lungs=LUNGS)
    parts = [augment(pixels[place], 7, place, 8, LUNGS[place]) for place in (slice(0, 3), slice(3, 8))]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


@pytest.mark.parametrize("name", ["blur_surroundings", "fill_surroundings"])
def test_surroundings_are_hidden_and_lungs_stay_and_images_without_lungs_stay_whole(pixels, name):
    lungs = LUNGS.clone()
    lungs[0] = 0
    hidden = Augmenter(replace(OFF, **{name: 1.0}), CPU)(pixels, 0, lungs=lungs)
    assert torch.allclose(hidden[0], pixels[0] / 255)
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[18:46, 18:24] = True  # the edges are soft
    assert torch.allclose(hidden[1:, 0, inside], pixels[1:, 0, inside] / 255, atol=0.02)
    outside = torch.ones(64, 64, dtype=torch.bool)
    outside[8:56, 8:56] = False
    steps = [(some[1:, 0, :, 1:] - some[1:, 0, :, :-1])[..., outside[:, 1:]].std() for some in (hidden, pixels / 255)]
    assert steps[0] < steps[1] / 2 if name == "blur_surroundings" else steps[0] > 2 * steps[1]


def test_a_hidden_frame_is_black_in_half_of_the_images_and_as_wide_as_asked(pixels):
    many = pixels.float().clamp(min=1).to(torch.uint8)[:1].expand(200, -1, -1, -1)
    framed = Augmenter(replace(OFF, frame_blackout=1.0, frame_width=(0.125, 0.125)), CPU)(many, 0)
    assert torch.equal(framed[..., 8:-8, 8:-8], many[..., 8:-8, 8:-8] / 255)
    black = (framed[:, 0, :8] == 0).all(dim=(1, 2)) & (framed[:, 0, :, -8:] == 0).all(dim=(1, 2))
    assert 0.4 < black.float().mean() < 0.6


def test_tone_curves_rise_from_black_to_white(pixels):
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(50, -1, -1, -1)
    bent = Augmenter(replace(OFF, tone_curve=0.8), CPU)(ramp, 0).flatten(1)
    assert (bent.diff(dim=1) >= 0).all()
    assert torch.allclose(bent[:, [0, -1]], torch.tensor([0.0, 1.0]).expand(50, 2), atol=1e-5)
    assert (bent - ramp.flatten(1) / 255).abs().max(dim=1).values.median() > 0.1


def test_nothing_that_training_hides_is_filled_with_the_mean_that_the_occlusion_controls_fill_with(pixels):
    flat = torch.full((400, 1, 32, 32), 128, dtype=torch.uint8)
    recipe = replace(OFF, erase_probability=1.0, erase_area=(0.2, 0.2))
    erased = Augmenter(recipe, CPU)(flat, 0)[:, 0]
    changed = erased != 128 / 255
    level = (erased * changed).sum(dim=(1, 2)) / changed.sum(dim=(1, 2))
    assert ((level - 0.5).abs() < 0.02).float().mean() < 0.1
