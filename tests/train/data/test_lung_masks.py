import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as PillowImage

from train.data.lung_masks import IGNORED, LUNG, lung_masks_of, masked_images
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


def test_every_image_of_a_split_gets_a_mask():
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = LUNG
    masks = lung_masks_of(split(None, mask), np.zeros((2, SIZE, SIZE), np.uint8))
    assert not masks[0].any()
    assert (masks[1, :, : SIZE // 2] == LUNG).all()
