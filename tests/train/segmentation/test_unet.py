import pytest
import torch

from train.segmentation.unet import LungUNet


@pytest.fixture(scope="module")
def network() -> LungUNet:
    torch.manual_seed(0)
    return LungUNet((4, 8, 8)).eval()


@torch.no_grad()
def test_every_pixel_gets_a_logit_whatever_the_size(network):
    for height, width in ((32, 32), (64, 40)):
        pixels = torch.randint(0, 256, (3, 1, height, width), dtype=torch.uint8)
        logits = network(pixels)
        assert logits.shape == pixels.shape
        assert torch.allclose(network(pixels.float()), logits)


@torch.no_grad()
def test_brightness_and_contrast_do_not_matter(network):
    pixels = torch.rand(2, 1, 32, 32) * 100 + 20
    assert torch.allclose(network(pixels), network(pixels * 1.7 + 30), atol=1e-4)
    assert not torch.allclose(network(pixels), network(pixels.flip(0)), atol=1e-2)


@torch.no_grad()
def test_a_blank_image_has_a_mask_too(network):
    assert network(torch.full((1, 1, 32, 32), 9, dtype=torch.uint8)).isfinite().all()
