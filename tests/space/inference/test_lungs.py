import numpy as np
import pytest

from space.errors import UsageError
from space.inference.graph import FILE
from space.inference.lungs import SIZE, LungSegmenter
from tests.conftest import DEFAULT_MODEL
from tests.phantoms import draw_masked_phantom


@pytest.fixture(scope="module")
def segmenter() -> LungSegmenter:
    return LungSegmenter.load()


def phantoms(count: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, (count, height, width) uint8, and where their lungs are, the same in bool."""
    random = np.random.default_rng(count)
    drawn = [draw_masked_phantom(random, False, width, height) for _ in range(count)]
    return np.stack([np.asarray(image) for image, _ in drawn]), np.stack([np.asarray(mask) > 0 for _, mask in drawn])


def test_masks_have_the_size_of_the_images_and_lie_in_the_lungs(segmenter):
    images, lungs = phantoms(8, 200, 160)
    masks = segmenter.masks(images)
    assert masks.shape == images.shape
    assert masks.dtype == np.float32
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert masks[lungs].mean() > 2 * masks[~lungs].mean()  # it has seen no phantom


def test_a_mask_does_not_depend_on_the_batch_nor_on_brightness(segmenter):
    images, _ = phantoms(40, SIZE, SIZE)
    masks = segmenter.masks(images)
    assert np.allclose(segmenter.masks(images[33:34])[0], masks[33], atol=1e-5)
    darker = (images // 2 + 20).astype(np.uint8)
    assert np.abs(segmenter.masks(darker) - masks).mean() < 0.02


def test_no_image_is_no_mask(segmenter):
    assert segmenter.masks(np.zeros((0, 60, 50), np.uint8)).shape == (0, 60, 50)
    assert np.isfinite(segmenter.masks(np.zeros((1, 60, 50), np.uint8))).all()


def test_what_is_no_segmenter_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        LungSegmenter.load(tmp_path)
    with pytest.raises(UsageError, match="not those of a lung segmenter"):
        LungSegmenter.load(DEFAULT_MODEL)
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_bytes(b"a location elsewhere")
    with pytest.raises(UsageError, match="names other files"):
        LungSegmenter.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"no graph")
    with pytest.raises(UsageError, match="damaged"):
        LungSegmenter.load(tmp_path)
