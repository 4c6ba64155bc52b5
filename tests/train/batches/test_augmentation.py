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


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    random = np.random.default_rng(0)
    images = [np.asarray(draw_phantom(random, k % 2 == 0, 64, 64)) for k in range(8)]
    return torch.from_numpy(np.stack(images)).unsqueeze(1)


def test_with_everything_off_images_stay_as_they_are(pixels):
    assert torch.allclose(Augmenter(OFF, CPU)(pixels, 0), pixels / 255, atol=1e-3)


@pytest.mark.parametrize("name", [field.name for field in fields(OFF) if field.name != "erase_area"])
def test_each_augmentation_changes_images_each_in_its_own_way_and_repeats_with_its_seed(pixels, name):
    recipe = replace(OFF, erase_area=ON["erase_area"], **{name: ON[name]})
    augmented = Augmenter(recipe, CPU)(pixels, 1)
    assert augmented.shape == pixels.shape
    assert 0 <= augmented.min() <= augmented.max() <= 1
    assert ((augmented - pixels / 255).abs().amax(dim=(1, 2, 3)) > 0.02).float().mean() > 0.7
    assert torch.equal(augmented, Augmenter(recipe, CPU)(pixels, 1))
    if name != "flip_probability":
        assert not torch.equal(augmented, Augmenter(recipe, CPU)(pixels, 2))
        same = Augmenter(recipe, CPU)(pixels[:1].expand(6, -1, -1, -1), 3)
        assert len({image.numpy().tobytes() for image in same}) == 6


def test_flip_and_zoom_do_what_their_names_say(pixels):
    flipped = Augmenter(replace(OFF, flip_probability=1.0), CPU)(pixels, 0)
    assert torch.allclose(flipped, pixels.flip(-1) / 255, atol=1e-3)
    zoomed = Augmenter(replace(OFF, zoom=(2.0, 2.0)), CPU)(pixels, 0)
    centre = torch.nn.functional.interpolate(pixels[..., 16:48, 16:48] / 255, size=64, mode="bilinear")
    assert (zoomed - centre)[..., 4:-4, 4:-4].abs().max() < 0.02


def test_images_are_augmented_by_their_place_whichever_process_has_them(pixels):
    augment = Augmenter(replace(OFF, **ON), CPU)
    whole = augment(pixels, 7)
    parts = [augment(pixels[place], 7, place, len(pixels)) for place in (slice(0, 3), slice(3, 8))]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)
