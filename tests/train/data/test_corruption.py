import numpy as np
import pytest
from PIL import Image

from tests.phantoms import draw_phantom
from train.data.corruption import corrupt


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [draw_phantom(random, bool(k % 2), 120, 90) for k in range(8)]


def test_an_index_always_gives_the_same_change_and_another_index_another(images):
    first = corrupt(images[0], 0)
    assert first.tobytes() == corrupt(images[0], 0).tobytes() != corrupt(images[0], 1).tobytes()


def test_the_copy_is_worse_and_still_the_same_image(images):
    correlations = []
    for index, image in enumerate(images):
        changed = corrupt(image, index)
        assert changed.mode == "L"
        assert all(0.85 * before - 1 <= after <= before for before, after in zip(image.size, changed.size, strict=True))
        clean, worse = (np.asarray(each.resize((64, 64)), dtype=float) for each in (image, changed))
        assert np.abs(clean - worse).mean() > 3
        correlations.append(np.corrcoef(clean.ravel(), worse.ravel())[0, 1])
    assert np.median(correlations) > 0.6


def test_images_of_a_few_pixels_stay_images():
    assert corrupt(Image.new("L", (1, 1), 9), 0).size == (1, 1)
