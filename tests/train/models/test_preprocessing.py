import numpy as np
import pytest
import torch
from PIL import Image

from tests.phantoms import draw_phantom
from train.config.recipe import ModelRecipe
from train.models.factory import build
from train.models.preprocessing import input_size, normalisation, resize

RECIPES = [ModelRecipe("test_efficientnet", 64), ModelRecipe("chest_cnn_pneumonia", 64)]


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.architecture)
def processor(request):
    return build(request.param, ["NORMAL", "PNEUMONIA"], init="scratch")[1]


def test_both_families_of_processors_resize_alike_and_state_their_size(processor):
    image = draw_phantom(np.random.default_rng(0), True, 150, 100)
    assert input_size(processor) == 64
    squeezed = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(processor, image), squeezed)


def test_resized_and_normalised_is_what_the_processor_itself_answers(processor):
    image = draw_phantom(np.random.default_rng(0), True, 150, 100)
    mean, std = normalisation(processor)
    assert mean.shape == std.shape == (1, 3, 1, 1)
    pixels = torch.from_numpy(resize(processor, image)).float() / 255
    expected = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    assert torch.allclose((pixels - mean) / std, expected, atol=1e-5)
