from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tests.conftest import TINY_RECIPE
from tests.phantoms import draw_phantom
from train.batches import Augmenter, Normaliser, PixelDataset, load_pixels
from train.data import load_data
from train.models import build, normalisation
from train.recipe import load_recipe

CPU = torch.device("cpu")
OFF = replace(
    load_recipe(TINY_RECIPE).augmentation,
    **dict.fromkeys(("rotation_degrees", "shift", "flip_probability", "contrast", "brightness"), 0.0),
    **dict.fromkeys(("blur_sigma", "noise_std", "erase_probability"), 0.0),
    **dict.fromkeys(("zoom", "stretch", "gamma"), (1.0, 1.0)),
)
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
    pictures = [np.asarray(draw_phantom(random, k % 2 == 0, 64, 64)) for k in range(8)]
    return torch.from_numpy(np.stack(pictures)).unsqueeze(1)


def test_with_everything_off_pictures_stay_as_they_are(pixels):
    assert torch.allclose(Augmenter(OFF, CPU, 0)(pixels), pixels / 255, atol=1e-3)


@pytest.mark.parametrize("name", [field.name for field in fields(OFF) if field.name != "erase_area"])
def test_each_augmentation_changes_pictures_each_in_its_own_way_and_repeats_with_its_seed(pixels, name):
    recipe = replace(OFF, erase_area=ON["erase_area"], **{name: ON[name]})
    augmented = Augmenter(recipe, CPU, 1)(pixels)
    assert augmented.shape == pixels.shape
    assert 0 <= augmented.min() <= augmented.max() <= 1
    assert ((augmented - pixels / 255).abs().amax(dim=(1, 2, 3)) > 0.02).float().mean() > 0.7
    assert torch.equal(augmented, Augmenter(recipe, CPU, 1)(pixels))
    if name != "flip_probability":
        assert not torch.equal(augmented, Augmenter(recipe, CPU, 2)(pixels))
        same = Augmenter(recipe, CPU, 3)(pixels[:1].expand(6, -1, -1, -1))
        assert len({picture.numpy().tobytes() for picture in same}) == 6


def test_flip_and_zoom_do_what_their_names_say(pixels):
    flipped = Augmenter(replace(OFF, flip_probability=1.0), CPU, 0)(pixels)
    assert torch.allclose(flipped, pixels.flip(-1) / 255, atol=1e-3)
    zoomed = Augmenter(replace(OFF, zoom=(2.0, 2.0)), CPU, 0)(pixels)
    centre = torch.nn.functional.interpolate(pixels[..., 16:48, 16:48] / 255, size=64, mode="bilinear")
    assert (zoomed - centre)[..., 4:-4, 4:-4].abs().max() < 0.02


def test_the_normalised_pixels_equal_the_saved_processors(dataset_folder):
    data = load_data(str(dataset_folder))
    _, processor = build(load_recipe(TINY_RECIPE).model, data.labels, init="scratch")
    split = load_pixels(data, processor, threads=2)["test"]
    normalise = Normaliser(*normalisation(processor), CPU)
    stored, labels = split.__getitems__([0, 7])
    for index, row in enumerate((0, 7)):
        picture = data.splits["test"][row]["image"].convert("RGB")
        expected = processor(picture, return_tensors="pt")["pixel_values"][0]
        assert torch.allclose(normalise(stored)[index], expected, atol=1e-5)
    assert labels.tolist() == [data.splits["test"]["label"][0], data.splits["test"]["label"][7]]


def test_pictures_are_decoded_once(dataset_folder, monkeypatch):
    data = load_data(str(dataset_folder))
    _, processor = build(load_recipe(TINY_RECIPE).model, data.labels, init="scratch")
    first = load_pixels(data, processor, threads=2)["validation"]
    monkeypatch.setattr("train.batches.read_xray", lambda source: pytest.fail("decoded again"))
    again = load_pixels(load_data(str(dataset_folder)), processor, threads=2)["validation"]
    assert np.array_equal(first.pixels, again.pixels)
    assert isinstance(again.pixels, np.memmap)


def test_batches_keep_pictures_and_labels_together():
    pixels = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    batch, labels = PixelDataset(pixels, np.arange(5)).__getitems__([3, 1])
    assert batch.shape == (2, 1, 4, 4)
    assert batch[:, 0, 0, 0].tolist() == labels.tolist() == [3, 1]
