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
from train.data.duplicates import Fingerprint, thumbnail

# Large JPEG files are decoded at a reduced scale for this; their thumbnails have 64 pixels a side.
LOOK_SIDE = 64
CHUNK = 8  # files that a thread reads at a time
CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "P": 1, "DICOM": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


@dataclass(frozen=True)
class ImageSummary:
    """What is kept of an image.

    Attributes:
        print: What finds its copies.
        format: "JPEG", "PNG" or "DICOM".
        channels: Channels of the stored pixels.
        histogram: (32,) share of pixels by brightness, sums to 1.
        plain: An 8-bit JPEG or PNG file that stands upright: its own bytes can be stored.
        view: View position that a DICOM file states, else None.
    """

    print: Fingerprint
    format: str
    channels: int
    histogram: np.ndarray
    plain: bool
    view: str | None


@dataclass(frozen=True)
class AuditedImage:
    """An image as it is audited.

    Attributes:
        record: Its names, class, split and patient, as the dataset shows them.
        look: What was seen of it.
        leak: What the test split holds of it too: "exact copy", "near copy" or "patient"; None: nothing.
        dropped: It is not in the dataset, because of its leak.
    """

    record: Record
    look: ImageSummary
    leak: str | None = None
    dropped: bool = False


def look_at(data: bytes) -> ImageSummary:
    """Look at one file.

    Raises:
        XrayError: It cannot be read as a radiograph.
    """
    xray = read_xray(data, at_least=LOOK_SIDE)
    counts = np.array(xray.image.histogram()).reshape(32, 8).sum(1)
    return ImageSummary(
        Fingerprint(hashlib.sha256(data).digest(), xray.size, thumbnail(xray.image)),
        xray.format,
        CHANNELS.get(xray.mode, 3),
        (counts / counts.sum()).astype(np.float32),
        xray.plain,
        xray.view,
    )


def look_at_all(
    reads: Iterable[Callable[[], bytes]], total: int, workers: int | None
) -> Iterator[ImageSummary | XrayError]:
    """Look at many files, in order; what cannot be read comes back as its error.

    Args:
        reads: For each image, what gives its bytes.
        total: How many there are, for the progress bar.
        workers: Files read at a time; None: one per core.
    """

    def one(read: Callable[[], bytes]) -> ImageSummary | XrayError:
        try:
            return look_at(read())
        except XrayError as error:
            return error

    yield from tqdm(in_order(one, reads, workers, chunk=CHUNK), total=total, desc="reading", unit="img")
