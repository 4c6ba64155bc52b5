import numpy as np
import pytest
import torch
from datasets import load_dataset

from space.errors import ChestXrayError
from tests.conftest import TINY_RECIPE
from train.config.recipe_file import load_recipe
from train.data.dataset import Data, load_data
from train.data.pixel_cache import CORRUPTED, Normaliser, load_pixels
from train.models.factory import build
from train.models.preprocessing import normalisation


@pytest.fixture(scope="module")
def data(dataset_folder) -> Data:
    return load_data(str(dataset_folder))


@pytest.fixture(scope="module")
def processor(data):
    return build(load_recipe(TINY_RECIPE).model, data.labels, init="scratch")[1]


def test_the_normalised_pixels_equal_the_saved_processors(data, processor):
    split = load_pixels(data, processor, threads=2)["test"]
    normalise = Normaliser(*normalisation(processor), torch.device("cpu"))
    stored, labels = split.take(np.array([0, 7])), split.labels[[0, 7]]
    for index, row in enumerate((0, 7)):
        image = data.splits["test"][row]["image"].convert("RGB")
        expected = processor(image, return_tensors="pt")["pixel_values"][0]
        assert torch.allclose(normalise(stored)[index], expected, atol=1e-5)
    assert labels.tolist() == [data.splits["test"]["label"][0], data.splits["test"]["label"][7]]


def test_pixels_in_unit_range_are_normalised_like_bytes(processor):
    normalise = Normaliser(*normalisation(processor), torch.device("cpu"))
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    normalised = normalise(pixels)
    assert normalised.shape == (1, 3, 16, 16)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalised, normalise(pixels.float() / 255))


def test_images_are_decoded_once(data, dataset_folder, processor, monkeypatch):
    first = load_pixels(data, processor, threads=2)["validation"]
    monkeypatch.setattr("train.data.pixel_cache.read_xray", lambda source: pytest.fail("decoded again"))
    again = load_pixels(load_data(str(dataset_folder)), processor, threads=2)["validation"]
    assert np.array_equal(first.pixels, again.pixels)
    assert isinstance(again.pixels, np.memmap)


def test_the_corrupted_copy_is_of_the_validation_split(data, processor):
    pixels = load_pixels(data, processor, 2, ["validation", CORRUPTED])
    clean, changed = (pixels[name].pixels.astype(int) for name in ("validation", CORRUPTED))
    assert torch.equal(pixels[CORRUPTED].labels, pixels["validation"].labels)
    assert (np.abs(clean - changed).mean(axis=(1, 2)) > 3).all()
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(clean, changed, strict=True)]
    assert np.median(correlations) > 0.6  # still the same image


def test_an_image_that_cannot_be_read_is_named(dataset_folder, processor):
    split = load_dataset(str(dataset_folder), split="validation")
    rows = [{"image": {"bytes": b"no image", "path": None}, "label": 0}] * 2
    broken = type(split).from_list(rows, features=split.select_columns(["image", "label"]).features)
    data = Data("broken", ["a", "b"], {"train": broken}, "broken", "", "", "")
    with pytest.raises(ChestXrayError, match="image 0 of split train: "):
        load_pixels(data, processor, 1)
