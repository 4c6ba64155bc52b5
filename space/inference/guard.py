"""Whether an image looks like the frontal chest radiographs that a model learned from.

A classifier answers with one of its labels whatever it is shown. The guard measures how far an image lies from the
training images, in two spaces at once: small thumbnails, which know what a frontal chest looks like as a whole, and
the model's own embedding. In each space the training images span a subspace (principal components); the distance is
what of an image does not lie in it.
"""

from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from space.errors import UsageError

FILE = "guard.safetensors"  # in a model repository
SIDE, COARSE = 32, 64  # pixels of thumbnails, and of the copy that is equalised before
# Below or beyond these nothing can be a radiograph that a person could read. Of 9,185 real radiographs in four datasets
# the smallest side is 224 and the longest ratio 2.0.
SMALLEST_SIDE, LONGEST_RATIO = 64, 3.0  # pixels; longer side / shorter side
LEAST_SPREAD = 4.0  # standard deviation of gray levels, 0 to 127.5
# An image is called upside down if it lies this much nearer to the training images once it is turned or flipped. Of
# 912 real radiographs of four datasets none is called so, and of the same ones turned over at least 98.3% of each.
TURNED = 1.05


class Doubt(StrEnum):
    """Why an answer means little: what is hardly a frontal chest radiograph, or is no person's.

    The page has a sentence for each in every language (`doubt_<value>`).
    """

    SMALL = auto()
    SHAPE = auto()
    BLANK = auto()
    COLOUR = auto()
    UPSIDE_DOWN = auto()
    UNLIKE = auto()  # the images of training
    PHANTOM = auto()  # one of the page's examples

    @property
    def withholds(self) -> bool:
        """Whether an answer is shown only to who asks for it."""
        return self is not Doubt.PHANTOM


@dataclass(frozen=True)
class Subspace:
    """Where training images lie in a space of D dimensions.

    Attributes:
        mean: (D,) float32.
        axes: (d, D) float32, orthonormal.
    """

    mean: np.ndarray
    axes: np.ndarray

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """How much of vectors (N, D) lies outside: (N,) >= 0."""
        centred = vectors - self.mean
        # Not `@`: for so little work, BLAS would wake threads that take the cores from the model.
        inside = np.einsum("nd,ad->na", centred, self.axes)
        return np.sqrt(np.maximum((centred**2).sum(axis=1) - (inside**2).sum(axis=1), 0))


@dataclass(frozen=True)
class Guard:
    """What a model repository's guard.safetensors holds.

    Attributes:
        thumbnails: Where training images lie as thumbnails (D = 1024).
        embeddings: Where they lie in the model's embedding (D = channels of its last feature map).
        centre: (2,) median distances of validation images in the two spaces.
        scale: (2,) their standard deviations.
        threshold: An image whose standardised distances sum up to more is refused; set on validation.
    """

    thumbnails: Subspace
    embeddings: Subspace
    centre: np.ndarray
    scale: np.ndarray
    threshold: float

    def distances(self, thumbnails: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """How unlike the training images N images are.

        Args:
            thumbnails: (N, 1024), see `thumbnail`.
            embeddings: (N, C): means over the places of the last feature map.

        Returns:
            (N,): 0 for the usual validation image, in standard deviations.
        """
        both = np.stack([self.thumbnails.distances(thumbnails), self.embeddings.distances(embeddings)], axis=1)
        return ((both - self.centre) / self.scale).sum(axis=1)

    def upside_down(self, thumbnails: np.ndarray) -> np.ndarray:
        """Whether thumbnails (N, 1024) look more like training images once turned over, or flipped: (N,) bool."""
        upright = thumbnails.reshape(-1, SIDE, SIDE)
        as_is, *turned = (
            self.thumbnails.distances(way.reshape(thumbnails.shape))
            for way in (upright, upright[:, ::-1, ::-1], upright[:, ::-1])
        )
        return as_is > TURNED * np.minimum(*turned)

    def save(self, path: Path) -> None:
        """Write guard.safetensors; axes in half precision, which moves distances by a thousandth."""
        tensors = {
            "thumbnail_mean": self.thumbnails.mean, "thumbnail_axes": self.thumbnails.axes,
            "embedding_mean": self.embeddings.mean, "embedding_axes": self.embeddings.axes,
            "centre": self.centre, "scale": self.scale, "threshold": np.array([self.threshold]),
        }  # fmt: skip
        half = {name: tensor.astype(np.float16) for name, tensor in tensors.items() if name.endswith("axes")}
        rest = {name: tensor.astype(np.float32) for name, tensor in tensors.items() if name not in half}
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in (half | rest).items()}, path)

    @classmethod
    def load(cls, path: Path, channels: int) -> "Guard":
        """Read guard.safetensors.

        Args:
            path: The file.
            channels: Of the model's last feature map.

        Raises:
            UsageError: It is damaged, or another model's.
        """
        try:
            tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(path).items()}
            guard = cls(
                Subspace(tensors["thumbnail_mean"], tensors["thumbnail_axes"]),
                Subspace(tensors["embedding_mean"], tensors["embedding_axes"]),
                tensors["centre"],
                tensors["scale"],
                float(tensors["threshold"][0]),
            )
            guard.distances(np.zeros((1, SIDE**2), np.float32), np.zeros((1, channels), np.float32))
        except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
            raise UsageError(f"{path.name} is damaged, or belongs to another model ({error}).") from None
        return guard


def coarse_copy(image: Image.Image) -> Image.Image:
    """An image, mode "L", at 64 x 64 pixels, which `thumbnail` and `doubt_by_size` look at."""
    return image.resize((COARSE, COARSE), Image.Resampling.BOX)


def thumbnail(coarse: Image.Image) -> np.ndarray:
    """(1024,) float32 of a coarse copy: histogram equalised, mean 0, length 1 (0 where all is one gray)."""
    equal = ImageOps.equalize(coarse)
    values = np.asarray(equal.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)


def doubt_by_size(size: tuple[int, int], coarse: Image.Image) -> Doubt | None:
    """Why an image cannot be a chest radiograph, whatever a model says: `SMALL`, `SHAPE`, `BLANK` or None.

    Args:
        size: Its width and height in pixels.
        coarse: See `coarse_copy`.
    """
    if min(size) < SMALLEST_SIDE:
        return Doubt.SMALL
    if max(size) > LONGEST_RATIO * min(size):
        return Doubt.SHAPE
    return Doubt.BLANK if np.asarray(coarse).std() < LEAST_SPREAD else None
