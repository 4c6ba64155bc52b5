import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PillowImage

from space.inference.lungs import LungSegmenter
from tests.phantoms import draw_phantom
from train.data.lung_masks import IGNORED, LUNG, lung_masks_of, masked_images, two_largest
from train.data.pixel_cache import PixelDataset

SIZE = 32


def split(*masks: np.ndarray | None) -> Dataset:
    images = [None if mask is None else PillowImage.fromarray(mask) for mask in masks]
    features = Features({"lung_mask": Image(), "patient": Value("string")})
    return Dataset.from_dict({"lung_mask": images, "patient": [""] * len(images)}, features=features)


def test_masks_come_at_the_size_of_the_pixels_and_say_what_does_not_count():
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = LUNG
    mask[32:, 32:] = IGNORED
    pixels = PixelDataset(np.arange(2 * SIZE * SIZE, dtype=np.uint8).reshape(2, SIZE, SIZE), [0, 1])
    images = masked_images(pixels, split(None, mask))
    assert images.rows.tolist() == [1]
    assert np.array_equal(images.pixels[0], pixels.pixels[1])
    assert images.lung[0, :, : SIZE // 2].all()
    assert images.lung.sum() == SIZE * SIZE // 2
    assert (~images.counted[0, SIZE // 2 :, SIZE // 2 :]).all()
    assert (~images.counted).sum() == SIZE * SIZE // 4


def test_without_a_mask_of_a_lung_there_is_nothing():
    pixels = PixelDataset(np.zeros((2, SIZE, SIZE), np.uint8), [0, 1])
    empty = np.zeros((64, 64), np.uint8)
    assert masked_images(pixels, split(None, empty)) is None
    assert masked_images(pixels, split(empty, empty).remove_columns("lung_mask")) is None


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    """Six phantoms, (6, 96, 96) uint8."""
    random = np.random.default_rng(3)
    return np.stack([np.asarray(draw_phantom(random, bool(number % 2), 96, 96)) for number in range(6)])


def test_every_image_gets_a_mask_and_its_own_goes_before_the_segmenters(phantoms):
    images, own = phantoms, np.zeros((96, 96), np.uint8)
    own[:48, :48], own[48:] = LUNG, IGNORED
    rows = split(own, None, None, None, None, None)
    masks = lung_masks_of(rows, images)
    assert masks.shape == images.shape
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, LUNG}
    assert (masks[0, :48, :48] == LUNG).all()
    assert (masks[0, :48, 48:] == 0).all()
    predicted = np.stack([two_largest(mask >= 0.5) for mask in LungSegmenter.load().masks(images)])
    assert np.array_equal(masks[0, 48:] == LUNG, predicted[0, 48:])
    assert np.array_equal(masks[1:] == LUNG, predicted[1:])
    without = lung_masks_of(rows, images, own=False)
    assert np.array_equal(without == LUNG, predicted)


def test_masks_are_computed_once(phantoms, monkeypatch):
    images = phantoms[:3]
    first = lung_masks_of(split(None, None, None), images)
    monkeypatch.setattr(LungSegmenter, "masks", lambda *_: pytest.fail("computed again"))
    again = lung_masks_of(split(None, None, None), images.copy())
    assert np.array_equal(first, again)
    assert isinstance(again, np.memmap)
    own = np.full((8, 8), LUNG, np.uint8)
    with pytest.raises(pytest.fail.Exception, match="again"):  # the masks have changed
        lung_masks_of(split(own, None, None), images)


def test_specks_beside_the_two_lungs_are_dropped():
    mask = np.zeros((8, 12), bool)
    mask[1:7, 1:4] = mask[1:6, 6:9] = True
    lungs = mask.copy()
    mask[2, 10] = mask[7, 11] = True
    assert np.array_equal(two_largest(mask), lungs)
    assert np.array_equal(two_largest(lungs), lungs)
    assert not two_largest(np.zeros((4, 4), bool)).any()
