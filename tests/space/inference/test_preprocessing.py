"""The table gives the bits of the image processor, or is not used."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from space.inference.classifier import Classifier
from space.inference.preprocessing import find_table, process
from tests.conftest import DEFAULT_MODEL
from tests.phantoms import draw_phantom


class Counted:
    """A processor that counts its calls."""

    def __init__(self, processor):
        self.processor, self.calls = processor, 0

    def __call__(self, images, **options):
        self.calls += 1
        return self.processor(images, **options)


def vit(**changes) -> ViTImageProcessorPil:
    options = {"size": {"height": 64, "width": 80}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    return ViTImageProcessorPil(do_convert_rgb=True, **options | changes)


class Cropped:
    """A processor that cuts off one half before it resizes."""

    def __call__(self, images, **options):
        cut = [image.crop((0, 0, (image.width + 1) // 2, image.height)) for image in images]
        return vit()(cut, **options)


@pytest.fixture(scope="module")
def phantoms() -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(224, 224), (900, 700), (100, 90), (64, 500), (80, 64), (1, 1), (3, 7)]
    return [draw_phantom(random, True, *size) for size in sizes]


PROCESSORS = {
    "the bundled model's": (lambda: Classifier.load(DEFAULT_MODEL).processor, True),
    "ViT": (vit, True),
    "ViT, bicubic": (lambda: vit(resample=Image.Resampling.BICUBIC), True),
    "ViT, nearest": (lambda: vit(resample=Image.Resampling.NEAREST), False),
    "ViT, tiny": (lambda: vit(size={"height": 8, "width": 8}), False),
    "cropping": (Cropped, False),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_result_is_the_processors_to_the_bit_and_the_table_is_used_where_it_can_be(name, phantoms):
    make, is_fast = PROCESSORS[name]
    processor = Counted(make())
    lookup = find_table(processor)
    assert (lookup is not None) == is_fast
    if lookup:
        before = processor.calls
        found = lookup(phantoms)
        assert processor.calls == before
        assert torch.equal(found, process(processor.processor, phantoms))
        assert found.dtype == torch.float32


def test_images_with_colours_go_to_the_processor(phantoms):
    classifier = Classifier.load(DEFAULT_MODEL)
    colour = Image.merge("RGB", [phantoms[4], phantoms[4].rotate(90), phantoms[4].rotate(180)])
    assert torch.equal(classifier.preprocess([colour]), process(classifier.processor, [colour]))
    assert not torch.equal(classifier.preprocess([colour]), classifier.preprocess([colour.convert("L")]))
