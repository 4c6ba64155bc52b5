import math

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from timm.data import create_transform

from space.inference.resizing import Resizing


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_mode", ["squash", "center"])
def test_it_does_what_timm_does(interpolation, crop_mode):
    random = np.random.default_rng(0)
    for _ in range(50):
        height, width, size = random.integers(8, 300, 3).tolist()
        crop_pct = random.uniform(0.7, 1)
        image = Image.fromarray(random.integers(0, 256, (height, width), np.uint8))
        crop = {"crop_pct": crop_pct, "crop_mode": crop_mode}
        transform = create_transform((1, size, size), interpolation=interpolation, mean=(0,), std=(1,), **crop)
        expected = (transform(image)[0] * 255).round().numpy()
        resizing = Resizing(size, math.floor(size / crop_pct), crop_mode == "squash", interpolation)
        assert np.array_equal(resizing(image), expected)


def test_an_image_of_the_models_size_stays_as_it_is():
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    assert np.array_equal(Resizing(64, 64)(Image.fromarray(pixels)), pixels)


@pytest.mark.parametrize(
    "values", [{"size": 0}, {"size": 10**6}, {"interpolation": "lanczos"}, {"scaled": -1}, {"a": 1}]
)
def test_what_no_model_needs_is_refused(values):
    with pytest.raises(ValidationError):
        Resizing(**{"size": 64, "scaled": 64} | values)
