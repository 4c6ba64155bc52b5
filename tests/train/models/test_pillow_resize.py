import numpy as np
import pytest
import torch
from PIL import Image

from space.inference.resizing import Resizing
from train.models.pillow_resize import resize

SIZES = [(64, 64), (448, 448), (512, 512), (225, 223), (8, 9), (1000, 31), (31, 1000), (1600, 2000)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("squash", [True, False])
def test_no_gray_level_differs_from_pillows(interpolation, squash):
    random = np.random.default_rng(0)
    for height, width in [*SIZES, *random.integers(8, 400, (40, 2)).tolist()]:
        size = int(random.integers(8, 230))
        resizing = Resizing(size, size if squash else size + size // 7, squash, interpolation)
        pixels = random.integers(0, 256, (height, width), np.uint8)
        resized = resize(torch.from_numpy(pixels)[None, None], resizing)
        assert np.array_equal(resized[0, 0].numpy(), resizing(Image.fromarray(pixels)))


def test_images_of_a_batch_do_not_mix():
    pixels = torch.randint(0, 256, (3, 1, 50, 70), dtype=torch.uint8)
    resizing = Resizing(32, 32)
    alone = torch.cat([resize(image[None], resizing) for image in pixels])
    assert torch.equal(resize(pixels, resizing), alone)


def test_bilinear_weights_fit_in_32_bits_for_10_000_pixels():
    from train.models.pillow_resize import HALF, _distances

    distance, unit = _distances(10_000, 224, 0, 224)
    total = (unit - distance).clamp(min=0).sum(dim=1)
    assert (total * HALF).max() < 2**31
    assert unit * HALF < 2**31
