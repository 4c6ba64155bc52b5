import hashlib

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy.ndimage import uniform_filter

from tests.phantoms import draw_phantom
from train.data.duplicates import Fingerprint, find_copies, group_pairs, merge_groups, thumbnail


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [draw_phantom(random, bool(i % 2), 300, 260) for i in range(60)]


def fingerprints(images: list[Image.Image]) -> list[Fingerprint]:
    return [Fingerprint(hashlib.sha256(p.tobytes()).digest(), p.size, thumbnail(p)) for p in images]


def local_contrast(image: Image.Image) -> Image.Image:
    """Much of what contrast-limited adaptive histogram equalisation does."""
    values = np.asarray(image, float)
    mean = uniform_filter(values, 65)
    deviation = np.sqrt(np.maximum(uniform_filter(values**2, 65) - mean**2, 1))
    return Image.fromarray(
        (0.5 * values + 0.5 * (128 + 50 * (values - mean) / deviation)).clip(0, 255).astype(np.uint8)
    )


CHANGES = {
    "resized": lambda p: p.resize((150, 130)),
    "squeezed to a square": lambda p: p.resize((224, 224)),
    "brightened": lambda p: p.point(lambda v: int(255 * (v / 255) ** 0.6)),
    "more contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.6),
    "equalised": ImageOps.equalize,
    "local contrast": local_contrast,
    "inverted": ImageOps.invert,
    "blurred a little": lambda p: p.filter(ImageFilter.GaussianBlur(1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(images, change):
    copies = [CHANGES[change](image) for image in images[:10]]
    everything = images + copies
    found = find_copies(fingerprints(everything), lambda i: everything[i])
    assert found.exact.tolist() == []
    assert found.near.tolist() == [[i, 60 + i] for i in range(10)]


def test_different_images_are_no_copies(images):
    found = find_copies(fingerprints(images), lambda i: images[i])
    assert (len(found.exact), len(found.near)) == (0, 0)


def test_equal_pixels_are_exact_whatever_the_files(images):
    prints = fingerprints([*images[:5], images[2]])
    other_file = Fingerprint(b"another file", prints[5].size, prints[5].thumbnail)
    found = find_copies([*prints[:5], other_file], lambda i: [*images[:5], images[2]][i])
    assert (found.exact.tolist(), found.near.tolist()) == ([[2, 5]], [])


def test_a_file_that_stands_there_often_is_compared_once(images):
    prints = fingerprints([images[0]] * 3000 + [CHANGES["inverted"](images[0])])
    found = find_copies(prints, lambda i: images[0] if i < 3000 else CHANGES["inverted"](images[0]))
    assert found.exact.tolist() == [[0, i] for i in range(1, 3000)]
    assert found.near.tolist() == [[0, 3000]]
    between = find_copies(prints[:5], lambda i: images[0], prints[2:4], lambda j: images[0])
    assert between.exact.tolist() == [[i, 0] for i in range(5)]


def test_one_changed_pixel_makes_a_near_copy(images):
    changed = images[0].copy()
    changed.putpixel((10, 10), 255 - changed.getpixel((10, 10)))
    found = find_copies(fingerprints([images[0], changed]), lambda i: [images[0], changed][i])
    assert (found.exact.tolist(), found.near.tolist()) == ([], [[0, 1]])


def test_blank_images_are_copies_only_as_files():
    blank, other = Image.new("L", (80, 80), 7), Image.new("L", (80, 80), 9)
    found = find_copies(fingerprints([blank, other, blank]), lambda i: [blank, other, blank][i])
    assert (found.exact.tolist(), found.near.tolist()) == ([[0, 2]], [])


def test_copies_between_two_sets(images):
    others = [CHANGES["more contrast"](images[4]), images[7], images[30]]
    found = find_copies(fingerprints(images[:10]), lambda i: images[i], fingerprints(others), lambda j: others[j])
    assert (found.exact.tolist(), found.near.tolist()) == ([[7, 1]], [[4, 0]])


@pytest.mark.parametrize("others", [None, []])
def test_nothing_has_no_copies(others):
    found = find_copies([], lambda i: None, others)
    assert (len(found.exact), len(found.near)) == (0, 0)


def test_chains_of_pairs_are_one_group():
    assert group_pairs(6, [(1, 3), (3, 5)]) == [0, 1, 2, 1, 4, 1]
    assert group_pairs(3, []) == [0, 1, 2]


def test_items_that_share_any_key_end_in_one_group():
    assert merge_groups(["a", "b", "c", "d"], ["1", "2", "2", "3"]) == [0, 1, 1, 3]
    assert merge_groups(["a", "b", "a", "c"], ["1", "2", "2", "3"]) == [0, 0, 0, 3]
    assert merge_groups([None, None, "a", "a"]) == [0, 1, 2, 2]
