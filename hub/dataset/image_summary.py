"""One quick look at every image: is it readable, what does it look like, what might give its class away."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from hub.layouts.base import Record
from space.errors import XrayError
from space.imaging.xray import read_xray
from space.parallel import in_order
from train.data.duplicates import SIDE, Fingerprint, thumbnail

CHUNK = 8  # files that a thread reads at a time
CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "P": 1, "DICOM": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


@dataclass(frozen=True)
class ImageSummary:
    """What is kept of an image after it was read.

    Attributes:
        fingerprint: What finds its copies.
        format: As `Xray.format`.
        channels: Channels of the stored pixels.
        histogram: (32,) share of pixels by brightness, sums to 1.
        storable: An 8-bit JPEG or PNG file in upright orientation: its coded pixels can be stored as they are.
        view: View position that a DICOM file states, else None.
        not_frontal_chest: As `Xray.not_frontal_chest`.
    """

    fingerprint: Fingerprint
    format: str
    channels: int
    histogram: np.ndarray
    storable: bool
    view: str | None
    not_frontal_chest: str = ""


@dataclass(frozen=True)
class AuditedImage:
    """An image on its way into a dataset, or of a dataset that is audited.

    Attributes:
        record: Its names, class, split and patient.
        summary: What is known of its pixels.
        leak: What the test split holds of it too: "exact copy", "near copy" or "patient"; in a merge also why else it
            is dropped; None: nothing.
        dropped: It is not in the dataset, because of its leak.
    """

    record: Record
    summary: ImageSummary
    leak: str | None = None
    dropped: bool = False


def summarise_image(data: bytes) -> ImageSummary:
    """Read one file and summarise it.

    Raises:
        XrayError: It cannot be read as a radiograph.
    """
    xray = read_xray(data, at_least=SIDE)  # large JPEG files are decoded at a reduced scale
    counts = np.array(xray.image.histogram()).reshape(32, 8).sum(1)
    return ImageSummary(
        Fingerprint(hashlib.sha256(data).digest(), xray.size, thumbnail(xray.image)),
        xray.format,
        CHANNELS.get(xray.mode, 3),
        (counts / counts.sum()).astype(np.float32),
        xray.storable,
        xray.view,
        xray.not_frontal_chest,
    )


def summarise_images(
    reads: Iterable[Callable[[], bytes]], total: int, workers: int | None
) -> Iterator[ImageSummary | XrayError]:
    """Summarise many files, in order; what cannot be read comes back as its error.

    Args:
        reads: For each image, what gives its bytes.
        total: How many there are, for the progress bar.
        workers: Files read at a time; None: one per core.
    """

    def summarise(read: Callable[[], bytes]) -> ImageSummary | XrayError:
        try:
            return summarise_image(read())
        except XrayError as error:
            return error

    yield from tqdm(in_order(summarise, reads, workers, chunk=CHUNK), total=total, desc="reading", unit="img")
