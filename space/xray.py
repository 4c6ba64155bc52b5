"""Bytes or a path in, one clean 8-bit grayscale radiograph out.

Conversion, training, prediction and the app all read pictures through `read_xray`, so a radiograph means the same
pixels everywhere.
"""

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from space.errors import ChestXrayError

# Part of every cache key of decoded pixels: count it up whenever `read_xray` gives other pixels for the same file.
READER_VERSION = 1
FORMATS = ("JPEG", "PNG")
# What Pillow raises on damaged files, EXIF blocks included.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error)
ALLOWED = "Allowed are PNG and JPEG files."


class XrayError(ChestXrayError):
    """A file that cannot be read as a radiograph.

    Attributes:
        code: Machine-readable reason: `missing`, `empty`, `too_many_bytes`, `unknown_format`, `too_many_pixels`,
            `several_frames` or `damaged`.
    """

    def __init__(self, code: str, sentence: str):
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Limits:
    """What `read_xray` accepts before it decodes anything.

    Attributes:
        max_bytes: Largest file, in bytes.
        max_pixels: Largest width x height, in pixels, as the file's header states it.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 40_000_000


@dataclass(frozen=True)
class Xray:
    """A radiograph as every part of the project sees it.

    Attributes:
        image: Grayscale picture, mode "L", 8 bit, upright.
        steps: What was done to the stored pixels, in order, as short phrases (empty: nothing).
    """

    image: Image.Image
    steps: tuple[str, ...]


def read_xray(source: bytes | str | Path, limits: Limits = Limits()) -> Xray:
    """Read a radiograph from a file or from a file's bytes.

    The format is told from the content, never from the file's name; size limits are checked on the header, before
    any pixel is decoded. 16-bit pictures are scaled by their own range, because clipping them to 8 bits (which Pillow
    does silently) turns an X-ray white. Transparency is dropped, as `pipeline()` of transformers drops it.

    Args:
        source: Path of a file, or its content.
        limits: Largest accepted file and picture.

    Returns:
        The picture (mode "L", 8 bit, EXIF orientation applied) and what was done to it.

    Raises:
        XrayError: The file is missing, empty, too large, of another type, has several frames, or is damaged.
    """
    data = source if isinstance(source, bytes) else _read_file(Path(source), limits)
    _check_size(len(data), limits)
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb warning comes before our limit is checked, and says less than our error does.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise XrayError("unknown_format", f"This file is not a picture that can be read. {ALLOWED}") from None
    except Image.DecompressionBombError:
        raise XrayError("too_many_pixels", f"The picture has more than {limits.max_pixels:,} pixels.") from None
    except DAMAGE:
        raise XrayError("damaged", _damaged("Its header cannot be read.")) from None
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise XrayError(
            "too_many_pixels",
            f"The picture has {width:,} x {height:,} pixels; at most {limits.max_pixels:,} pixels are allowed.",
        )
    if getattr(picture, "n_frames", 1) > 1:
        raise XrayError("several_frames", "The picture has several frames; one radiograph is one frame.")
    try:
        return _to_grayscale(picture)
    except DAMAGE:
        raise XrayError("damaged", _damaged("Its pixels cannot be decoded.")) from None


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        _check_size(path.stat().st_size, limits)
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise XrayError("missing", f"There is no file {path.name!r}.") from None


def _check_size(n_bytes: int, limits: Limits) -> None:
    if n_bytes == 0:
        raise XrayError("empty", f"The file is empty. {ALLOWED}")
    if n_bytes > limits.max_bytes:
        raise XrayError(
            "too_many_bytes",
            f"The file has {n_bytes / 2**20:.1f} MiB; at most {limits.max_bytes / 2**20:.1f} MiB are allowed.",
        )


def _damaged(detail: str) -> str:
    return f"The picture is damaged or cut off. {detail} {ALLOWED}"


def _to_grayscale(picture: Image.Image) -> Xray:
    """Decode a picture and bring it to mode "L", upright."""
    steps = []
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.size != picture.size or picture.getexif().get(0x0112, 1) != 1:
        steps.append("turned upright (EXIF orientation)")
    if upright.mode.startswith("I"):  # I, I;16, I;16B: more than 8 bits a pixel
        gray = _scale_to_8_bit(np.asarray(upright))
        steps.append("scaled from more than 8 bits by its own range")
    else:
        # By way of RGB, as `pipeline()` goes, so that both see the same grays whatever the stored mode.
        gray = upright if upright.mode == "L" else upright.convert("RGB").convert("L")
        if picture.mode != "L":
            steps.append(f"converted from {picture.mode}")
    return Xray(gray, tuple(steps))


def _scale_to_8_bit(values: np.ndarray) -> Image.Image:
    """Map the range of `values` (H, W), any integer type, linearly onto 0..255."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return Image.fromarray(np.zeros(values.shape, np.uint8))
    return Image.fromarray(np.rint((values - low) * (255.0 / (high - low))).astype(np.uint8))
