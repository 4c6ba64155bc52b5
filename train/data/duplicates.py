"""Exact and near copies of radiographs, within a dataset or between two.

All chest X-rays look alike to a perceptual hash: on Kermany's 5,856 images a 64-bit difference hash puts 20,262 pairs
at a distance of 2 or less, of which 34 are copies. Images are therefore compared by correlation of 64 x 64 thumbnails
whose histograms were equalised, which undoes changes of brightness and contrast, and of their fine structure, which
survives local contrast enhancement. All pairs are compared, coarsely first, as products of matrices.

Measured on 9,185 real radiographs of four Kaggle sets: the thresholds find 1,082 pairs of copies, and the fine
structure of 1,074 of them correlates by 0.9 or more; the most alike of all other pairs reaches 0.77. Found are copies
that were re-encoded, resized (to 100 pixels or more), squeezed, inverted, or changed in contrast; not those that were
cropped by a few percent, turned or mirrored.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

SIDE = 64
# A pair whose equalised thumbnails and fine structure correlate at least like this is a copy.
GRAY, FINE = 0.85, 0.8
# The same for the coarse descriptors, by which pairs are looked for; FINE's 1,082 real pairs have 0.94 or more.
COARSE_GRAY, COARSE_FINE = 0.8, 0.85
# Images described at a time, and correlations held in memory at a time (32 MiB each of gray and fine).
BLOCK, MOST_PRODUCTS = 1024, 2**23


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of an image to find its copies.

    Attributes:
        digest: SHA-256 of the file.
        size: Width and height in pixels.
        thumbnail: (64, 64) uint8.
    """

    digest: bytes
    size: tuple[int, int]
    thumbnail: np.ndarray


@dataclass(frozen=True)
class Copies:
    """Pairs of images that are copies of each other.

    Attributes:
        exact: (P, 2) indices of pairs with equal pixels.
        near: (Q, 2) indices of pairs that show one radiograph with other pixels.
    """

    exact: np.ndarray
    near: np.ndarray

    def pairs(self) -> list[tuple[int, int]]:
        """All pairs, the exact ones first."""
        return [(i, j) for i, j in np.concatenate([self.exact, self.near]).tolist()]


def thumbnail(image: Image.Image) -> np.ndarray:
    """Shrink a grayscale image to (64, 64) uint8 by averaging, whatever its aspect ratio."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0))


def find_copies(
    prints: Sequence[Fingerprint],
    pixels: Callable[[int], Image.Image],
    others: Sequence[Fingerprint] | None = None,
    other_pixels: Callable[[int], Image.Image] | None = None,
) -> Copies:
    """Find the copies among images, or between two sets of them.

    Args:
        prints: Fingerprints of N images.
        pixels: Gives the i-th image in full; asked only where a pair may have equal pixels. Byte-equal files are
            copies without being compared, also blank ones, which resemble nothing.
        others: Fingerprints of another set; None: pairs within the one set.
        other_pixels: Like `pixels`, for the other set.

    Returns:
        Pairs (i, j): i < j within one set; i of `prints` and j of `others` between two.
    """
    partners, partner_pixels = (prints, pixels) if others is None else (others, other_pixels)
    first, other_first = _first_of_file(prints), _first_of_file(partners)
    own, theirs = sorted(set(first)), sorted(set(other_first))
    alike = _near_pairs([prints[i] for i in own], None if others is None else [others[j] for j in theirs])

    @cache
    def digest(of_other: bool, index: int) -> bytes:
        image = (partner_pixels if of_other else pixels)(index)
        return hashlib.sha256(image.tobytes()).digest()

    exact, near = [], []
    for i, j in ((own[i], theirs[j]) for i, j in alike.tolist()):
        if prints[i].digest != partners[j].digest:  # else they are added below
            equal = prints[i].size == partners[j].size and digest(False, i) == digest(others is not None, j)
            (exact if equal else near).append((i, j))
    if others is None:
        exact += [(start, index) for index, start in enumerate(first) if start != index]
    else:
        exact, near = (_with_equal_files(pairs, first) for pairs in (exact, near))
        where = {others[j].digest: j for j in theirs}
        exact += [(index, where[image.digest]) for index, image in enumerate(prints) if image.digest in where]
    return Copies(*(np.array(sorted(pairs), np.int64).reshape(-1, 2) for pairs in (exact, near)))


def merge_groups(*keyings: Sequence) -> list[int]:
    """Merge several groupings of the same items: items that share any key end in one group.

    Args:
        keyings: One list of keys per grouping, all of the same length; None is a key of its own for each item.

    Returns:
        The group of each item, as the smallest index in it.
    """
    links = []
    for keys in keyings:
        first: dict = {}
        links += [(first.setdefault(key, item), item) for item, key in enumerate(keys) if key is not None]
    return group_pairs(len(keyings[0]), links)


def group_pairs(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Group n items by pairs of indices: whoever is linked by a chain of pairs is in one group.

    Returns:
        The group of each item, as the smallest index in it.
    """
    from scipy.sparse import coo_array  # these take a third of a second, which `--help` need not wait for
    from scipy.sparse.csgraph import connected_components

    i, j = np.array(list(pairs), np.int64).reshape(-1, 2).T
    component = connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)[1]
    _, smallest, group = np.unique(component, return_index=True, return_inverse=True)
    return smallest[group].tolist()


def _first_of_file(prints: Sequence[Fingerprint]) -> list[int]:
    """For each image, the first one whose file is byte-equal: copies of a file need not be compared one by one."""
    where: dict[bytes, int] = {}
    return [where.setdefault(image.digest, index) for index, image in enumerate(prints)]


def _with_equal_files(pairs: list[tuple[int, int]], first: list[int]) -> list[tuple[int, int]]:
    """Pairs (i, j), and the same for every other image whose file equals that of image i (see `_first_of_file`)."""
    members: dict[int, list[int]] = {}
    for index, start in enumerate(first):
        members.setdefault(start, []).append(index)
    return [(member, j) for i, j in pairs for member in members[i]]


def _near_pairs(prints: Sequence[Fingerprint], others: Sequence[Fingerprint] | None) -> np.ndarray:
    """Pairs that look alike, (P, 2)."""
    if not prints or (others is not None and not others):
        return np.empty((0, 2), np.int64)
    gray, fine = _coarse(prints)
    other_gray, other_fine = (gray, fine) if others is None else _coarse(others)
    pairs_of_blocks = []
    rows = max(1, MOST_PRODUCTS // len(other_gray))
    for start in range(0, len(gray), rows):
        first = start if others is None else 0
        grays = gray[start : start + rows] @ other_gray[first:].T
        fines = fine[start : start + rows] @ other_fine[first:].T
        i, j = np.nonzero(_are_copies(grays, fines, COARSE_GRAY, COARSE_FINE))
        pairs = np.stack([i + start, j + first], 1)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]] if others is None else pairs
        pairs_of_blocks.append(pairs[_alike(prints, prints if others is None else others, pairs)])
    return np.concatenate(pairs_of_blocks)


def _alike(prints: Sequence[Fingerprint], others: Sequence[Fingerprint], pairs: np.ndarray) -> np.ndarray:
    """Which of the pairs, (P, 2), are copies by their full thumbnails: (P,) bool."""
    result = []
    for start in range(0, len(pairs), BLOCK):
        some = pairs[start : start + BLOCK]
        left, right = _equalised([prints[i] for i in some[:, 0]]), _equalised([others[j] for j in some[:, 1]])
        gray = (_unit(left) * _unit(right)).sum(1)
        fine = (_unit(_fine_structure(left)) * _unit(_fine_structure(right))).sum(1)
        result.append(_are_copies(gray, fine, GRAY, FINE))
    return np.concatenate(result) if result else np.zeros(0, bool)


def _are_copies(gray: np.ndarray, fine: np.ndarray, least_gray: float, least_fine: float) -> np.ndarray:
    """Which correlations are those of copies; both are negative where one image is the negative of the other."""
    return (np.abs(gray) >= least_gray) & (np.abs(fine) >= least_fine) & ((gray > 0) == (fine > 0))


def _coarse(prints: Sequence[Fingerprint]) -> tuple[np.ndarray, np.ndarray]:
    """Coarse descriptors: equalised thumbnails and their fine structure at 16 x 16 pixels, (N, 256) each."""
    grays, fines = [], []
    for start in range(0, len(prints), BLOCK):
        images = _equalised(prints[start : start + BLOCK])
        grays.append(_unit(_AVERAGE @ images @ _AVERAGE.T))
        fines.append(_unit(_AVERAGE @ _fine_structure(images) @ _AVERAGE.T))
    return np.concatenate(grays), np.concatenate(fines)


def _equalised(prints: Sequence[Fingerprint]) -> np.ndarray:
    """Thumbnails with every gray replaced by its mean rank in the image: (N, 64, 64) float32."""
    images = np.empty((len(prints), SIDE, SIDE), np.float32)
    for image, fingerprint in zip(images, prints, strict=True):
        counts = np.bincount(fingerprint.thumbnail.ravel(), minlength=256)
        image[:] = (np.cumsum(counts) - counts / 2).astype(np.float32)[fingerprint.thumbnail]
    return images


def _box_blur() -> np.ndarray:
    """Matrix (64, 64) that averages over 7 neighbours, mirrored at the ends."""
    index = np.arange(SIDE)[:, None] + np.arange(-3, 4)
    index = np.where(index < 0, -1 - index, np.where(index >= SIDE, 2 * SIDE - 1 - index, index))
    blur = np.zeros((SIDE, SIDE), np.float32)
    np.add.at(blur, (np.arange(SIDE)[:, None], index), 1 / 7)
    return blur


# Averages and blurs are products of matrices, which is the fastest way to take them of many images.
_BLUR = _box_blur()
_AVERAGE = np.kron(np.eye(SIDE // 4, dtype=np.float32), np.full((1, 4), 1 / 4, np.float32))


def _fine_structure(images: np.ndarray) -> np.ndarray:
    """What a blur takes away from images (N, 64, 64): ribs, vessels, edges."""
    return images - _BLUR @ images @ _BLUR.T


def _unit(images: np.ndarray) -> np.ndarray:
    """Rows (N, pixels) with mean 0 and length 1, whose products are correlations; 0 for images without contrast."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-3)
