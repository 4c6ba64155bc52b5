from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from tests.phantoms import draw_phantom
from train.batches.augmentation import Augmenter
from train.batches.training_batches import TrainingBatches
from train.config.recipe import load_recipe
from train.data.corruption import corrupt
from train.data.dataset import load_data
from train.data.pixel_cache import CORRUPTED, Normaliser, PixelDataset, load_pixels
from train.models.factory import build
from train.models.preprocessing import normalisation

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


def test_the_normalised_pixels_equal_the_saved_processors(dataset_folder):
    data = load_data(str(dataset_folder))
    _, processor = build(load_recipe(TINY_RECIPE).model, data.labels, init="scratch")
    split = load_pixels(data, processor, threads=2)["test"]
    normalise = Normaliser(*normalisation(processor), CPU)
    stored, labels = split.take(np.array([0, 7])), split.labels[[0, 7]]
    for index, row in enumerate((0, 7)):
        image = data.splits["test"][row]["image"].convert("RGB")
        expected = processor(image, return_tensors="pt")["pixel_values"][0]
        assert torch.allclose(normalise(stored)[index], expected, atol=1e-5)
    assert labels.tolist() == [data.splits["test"]["label"][0], data.splits["test"]["label"][7]]


def test_images_are_decoded_once(dataset_folder, monkeypatch):
    data = load_data(str(dataset_folder))
    _, processor = build(load_recipe(TINY_RECIPE).model, data.labels, init="scratch")
    first = load_pixels(data, processor, threads=2)["validation"]
    monkeypatch.setattr("train.data.pixel_cache.read_xray", lambda source: pytest.fail("decoded again"))
    again = load_pixels(load_data(str(dataset_folder)), processor, threads=2)["validation"]
    assert np.array_equal(first.pixels, again.pixels)
    assert isinstance(again.pixels, np.memmap)


def test_the_corrupted_copy_is_fixed_and_another_image(dataset_folder):
    data = load_data(str(dataset_folder))
    _, processor = build(load_recipe(TINY_RECIPE).model, data.labels, init="scratch")
    found = load_pixels(data, processor, 2, ["validation", CORRUPTED])
    clean, changed = (found[name].pixels.astype(int) for name in ("validation", CORRUPTED))
    assert torch.equal(found[CORRUPTED].labels, found["validation"].labels)
    assert (np.abs(clean - changed).mean(axis=(1, 2)) > 3).all()
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(clean, changed, strict=True)]
    assert np.median(correlations) > 0.6  # still the same image
    image = data.splits["validation"][0]["image"].convert("L")
    assert corrupt(image, 0).tobytes() == corrupt(image, 0).tobytes() != corrupt(image, 1).tobytes()


def numbered(n: int, labels) -> PixelDataset:
    """Images that carry their own number as their gray level."""
    return PixelDataset(np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8), labels)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_processes_share_the_batches_of_one(accumulation):
    training = replace(load_recipe(TINY_RECIPE).training, batch_size=12, accumulation_steps=accumulation)
    split = numbered(100, np.arange(100) % 3)
    alone = TrainingBatches(split, training, 5, CPU, 0, 1)
    shared = [TrainingBatches(split, replace(training, batch_size=6), 5, CPU, rank, 2) for rank in range(2)]
    steps = list(alone.epoch(3))
    assert len(steps) == alone.steps == 100 // (12 * accumulation)
    for ours, theirs in zip(steps, zip(*(batches.epoch(3) for batches in shared), strict=True), strict=True):
        assert len(ours) == accumulation
        for batch, parts in zip(ours, zip(*theirs, strict=True), strict=True):
            assert torch.equal(torch.cat([part.pixels for part in parts]), batch.pixels)
            assert [part.place for part in parts] == [slice(0, 6), slice(6, 12)]
            assert {(part.total, part.divisor) for part in parts} == {(12, 12.0 * accumulation)}
            assert (batch.pixels[:, 0, 0, 0] % 3 == batch.labels).all()


def test_an_epoch_goes_on_where_it_was_left_and_differs_from_the_next():
    split, training = numbered(64, np.arange(64) % 2), load_recipe(TINY_RECIPE).training

    def shown(epoch, first=0, seed=1):
        batches = TrainingBatches(split, training, seed, CPU, 0, 1).epoch(epoch, first)
        return [int(value) for (batch,) in batches for value in batch.pixels[:, 0, 0, 0]]

    assert sorted(shown(0)) == list(range(64))
    assert shown(0)[32:] == shown(0, first=2)
    assert len({tuple(shown(0)), tuple(shown(1)), tuple(shown(0, seed=2))}) == 3


def test_one_small_batch_is_not_left_out_and_too_few_images_for_the_processes_are_refused():
    training = replace(load_recipe(TINY_RECIPE).training, batch_size=32)
    batches = TrainingBatches(numbered(10, np.arange(10) % 2), training, 0, CPU, 0, 1)
    assert [len(batch.labels) for (batch,) in batches.epoch(0)] == [10]
    with pytest.raises(UsageError, match="10 training images cannot be shared by 16 processes"):
        TrainingBatches(numbered(10, np.arange(10) % 2), training, 0, CPU, 0, 16)


def test_images_are_augmented_by_their_place_whichever_process_has_them(pixels):
    augment = Augmenter(replace(OFF, **ON), CPU)
    whole = augment(pixels, 7)
    parts = [augment(pixels[place], 7, place, len(pixels)) for place in (slice(0, 3), slice(3, 8))]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)
