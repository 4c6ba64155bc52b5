import hashlib

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy.ndimage import uniform_filter

from tests.phantoms import draw_phantom
from train.duplicates import Fingerprint, find_copies, group_pairs, merge_groups, thumbnail


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [draw_phantom(random, bool(i % 2), 300, 260) for i in range(60)]


def fingerprints(pictures: list[Image.Image]) -> list[Fingerprint]:
    return [Fingerprint(hashlib.sha256(p.tobytes()).digest(), p.size, thumbnail(p)) for p in pictures]


def local_contrast(picture: Image.Image) -> Image.Image:
    """Much of what contrast-limited adaptive histogram equalisation does."""
    values = np.asarray(picture, float)
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
def test_changed_copies_are_found_and_nothing_else(pictures, change):
    copies = [CHANGES[change](picture) for picture in pictures[:10]]
    everything = pictures + copies
    found = find_copies(fingerprints(everything), lambda i: everything[i])
    assert found.exact.tolist() == []
    assert found.near.tolist() == [[i, 60 + i] for i in range(10)]


def test_different_pictures_are_no_copies(pictures):
    found = find_copies(fingerprints(pictures), lambda i: pictures[i])
    assert (len(found.exact), len(found.near)) == (0, 0)


def test_equal_pixels_are_exact_whatever_the_files(pictures):
    prints = fingerprints([*pictures[:5], pictures[2]])
    other_file = Fingerprint(b"another file", prints[5].size, prints[5].thumbnail)
    found = find_copies([*prints[:5], other_file], lambda i: [*pictures[:5], pictures[2]][i])
    assert (found.exact.tolist(), found.near.tolist()) == ([[2, 5]], [])


def test_a_file_that_stands_there_often_is_compared_once(pictures):
    prints = fingerprints([pictures[0]] * 3000 + [CHANGES["inverted"](pictures[0])])
    found = find_copies(prints, lambda i: pictures[0] if i < 3000 else CHANGES["inverted"](pictures[0]))
    assert found.exact.tolist() == [[0, i] for i in range(1, 3000)]
    assert found.near.tolist() == [[0, 3000]]
    between = find_copies(prints[:5], lambda i: pictures[0], prints[2:4], lambda j: pictures[0])
    assert between.exact.tolist() == [[i, 0] for i in range(5)]


def test_one_changed_pixel_makes_a_near_copy(pictures):
    changed = pictures[0].copy()
    changed.putpixel((10, 10), 255 - changed.getpixel((10, 10)))
    found = find_copies(fingerprints([pictures[0], changed]), lambda i: [pictures[0], changed][i])
    assert (found.exact.tolist(), found.near.tolist()) == ([], [[0, 1]])


def test_blank_pictures_are_copies_only_as_files():
    blank, other = Image.new("L", (80, 80), 7), Image.new("L", (80, 80), 9)
    found = find_copies(fingerprints([blank, other, blank]), lambda i: [blank, other, blank][i])
    assert (found.exact.tolist(), found.near.tolist()) == ([[0, 2]], [])


def test_copies_between_two_sets(pictures):
    others = [CHANGES["more contrast"](pictures[4]), pictures[7], pictures[30]]
    found = find_copies(fingerprints(pictures[:10]), lambda i: pictures[i], fingerprints(others), lambda j: others[j])
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
