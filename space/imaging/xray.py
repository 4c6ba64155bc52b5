"""Bytes or a path in, one clean 8-bit grayscale radiograph out.

Conversion, training, prediction and the app all read images through `read_xray`, so a radiograph means the same
pixels everywhere.
"""

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from space.errors import ErrorCode, XrayError, too_large, too_many_pixels, unreadable
from space.imaging.gray_levels import SCALED, scale_to_8_bit
from space.imaging.jpeg_scans import check_scans

# Part of every cache key of decoded pixels: count it up whenever `read_xray` gives other pixels for the same file.
READER_VERSION = 2
# What is read of strangers' files, and of one's own: fewer decoders are exposed to the web.
WEB_FORMATS = ("JPEG", "PNG")
FORMATS = (*WEB_FORMATS, "TIFF", "BMP", "WEBP")
# What Pillow raises on damaged files, EXIF blocks included.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error)
UNKNOWN = "This file is not an image that can be read. Use a PNG, JPEG or DICOM file."
# A pixel is called coloured from this distance to gray in the CbCr plane (0 to 181), and an image from this share of
# such pixels. The most coloured of the 317 radiographs of covid19-image-dataset stays at a distance of 5.
COLOUR_DISTANCE, COLOUR_SHARE = 16.0, 0.1
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
SIDEWAYS = {TURNS[5], TURNS[6], TURNS[7], TURNS[8]}
PNG_DEPTH, PNG_COLOUR_TYPE = 24, 25  # where a PNG file's header states bits per channel, and its channels
RGB, GRAY_WITH_ALPHA = 2, 4  # colour types
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # TIFF tags
STORABLE_MODES = {"L", "LA", "RGB", "RGBA", "P"}


@dataclass(frozen=True)
class Limits:
    """What `read_xray` accepts before it decodes anything.

    Attributes:
        max_bytes: Largest file, in bytes.
        max_pixels: Largest width x height, in pixels, as the file's header states it.
        formats: Pillow's names of the formats that are read besides DICOM.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 40_000_000
    formats: tuple[str, ...] = FORMATS


@dataclass(frozen=True)
class Xray:
    """A radiograph as every part of the project sees it.

    Attributes:
        image: Grayscale image, mode "L", 8 bit, upright.
        steps: What was done to the stored pixels, in order, as short phrases (empty: nothing).
        size: Width and height of the upright image as stored, in pixels; with `at_least`, `image` may be smaller.
        format: "JPEG", "PNG", "TIFF", "BMP", "WEBP" or "DICOM".
        mode: Pillow's mode of the stored pixels ("L", "RGB", "I;16", …); "DICOM" for DICOM files.
        storable: The stored pixels are 8 bits deep, upright, and shown alike by every reader: JPEG or PNG, not CMYK.
        view: View position as a DICOM file states it ("PA", "AP", …), else None.
        not_frontal_chest: Which DICOM tag says that it is none, in a sentence; "" if none does.
    """

    image: Image.Image
    steps: tuple[str, ...]
    size: tuple[int, int]
    format: str
    mode: str
    storable: bool = False
    view: str | None = None
    not_frontal_chest: str = ""


def read_xray(
    source: bytes | str | Path, limits: Limits = Limits(), strict: bool = False, at_least: int | None = None
) -> Xray:
    """Read a radiograph from a file or from a file's bytes.

    The format is told from the content, never from the file's name; size limits are checked on the header, before
    any pixel is decoded. Images of more than 8 bits are scaled by their own range, because clipping them to 8 bits
    (which Pillow does silently) turns an X-ray white; DICOM files are shown through their VOI LUT or window.
    Transparency is dropped, as `pipeline()` of transformers drops it.

    Args:
        source: Path of a file, or its content.
        limits: Largest accepted file and image.
        strict: Refuse images with colours, which no radiograph has.
        at_least: For a quick look at large JPEG files: decode their luma alone, at the smallest scale of 1/1, 1/2, 1/4
            and 1/8 at which both sides keep this many pixels. All of the file is read, so damage shows as well.

    Returns:
        The image (mode "L", 8 bit, EXIF orientation applied) and what was done to it.

    Raises:
        XrayError: The file is missing, empty, too large, of another type, has several frames, is damaged, or, with
            `strict`, has colours.
    """
    data = source if isinstance(source, bytes) else _read_file(Path(source), limits)
    _check_size(len(data), limits)
    if is_dicom(data):
        from space.imaging.dicom import read_dicom  # pydicom takes a while to import

        image, steps, view, why_not = read_dicom(data, limits.max_pixels)
        return Xray(image, tuple(steps), image.size, "DICOM", "DICOM", view=view, not_frontal_chest=why_not)
    return _read_image(data, limits, strict, at_least)


def _read_image(data: bytes, limits: Limits, strict: bool, at_least: int | None) -> Xray:
    opened = _open(data, limits)
    size, mode = opened.size, opened.mode
    try:
        turn = TURNS.get(opened.getexif().get(ORIENTATION, 1))
        if opened.format == "TIFF":
            _check_tiff(opened)
            turn = None  # Pillow turns these itself
        if at_least is not None:
            opened.draft("L", (at_least, at_least))
        opened.load()
        if strict and _is_coloured(opened):
            raise XrayError(ErrorCode.COLOUR, "The image has colours; a radiograph has none.")
        gray, steps = _to_grayscale(opened, mode, data)
    except DAMAGE:
        raise XrayError(ErrorCode.DAMAGED, "The image is damaged or cut off: its pixels cannot be decoded.") from None
    if turn is not None:
        gray, size = gray.transpose(turn), size[::-1] if turn in SIDEWAYS else size
        steps.append("turned upright (EXIF orientation)")
    storable = turn is None and mode in STORABLE_MODES and opened.format in WEB_FORMATS
    storable = storable and not (opened.format == "PNG" and data[PNG_DEPTH] != 8)
    return Xray(gray, tuple(steps), size, opened.format, mode, storable)


def is_dicom(data: bytes) -> bool:
    """Whether bytes begin like a DICOM file: "DICM" after 128 bytes, or, in old files, an element of group 2 or 8."""
    return data[128:132] == b"DICM" or (data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00")


def _open(data: bytes, limits: Limits) -> Image.Image:
    """Read the header of an image file and hold it against the limits."""
    try:
        with warnings.catch_warnings():
            # Pillow's warnings, of bombs and of damaged tags, come before our limits and errors, and say less.
            warnings.simplefilter("ignore")
            opened = Image.open(io.BytesIO(data), formats=limits.formats)
    except UnidentifiedImageError:
        raise XrayError(ErrorCode.UNKNOWN_FORMAT, UNKNOWN) from None
    except Image.DecompressionBombError:
        raise too_many_pixels(limits.max_pixels) from None
    except DAMAGE:
        raise XrayError(ErrorCode.DAMAGED, "The image is damaged or cut off: its header cannot be read.") from None
    if opened.size[0] * opened.size[1] > limits.max_pixels:
        raise too_many_pixels(limits.max_pixels, opened.size)
    if opened.format == "JPEG":
        check_scans(data)
    if getattr(opened, "is_animated", False):
        raise XrayError(ErrorCode.SEVERAL_FRAMES, "The image has several frames. Use a file with a single frame.")
    return opened


def _check_tiff(opened: Image.Image) -> None:
    """Refuse TIFF files of which Pillow would keep only a part of the gray levels."""
    bits = opened.tag_v2.get(BITS, (1,))
    if opened.mode == "F" or (max(bits) > 8 and not opened.mode.startswith("I")):
        raise XrayError(
            ErrorCode.UNSUPPORTED, "TIFF images of fractions, or of colours of more than 8 bits, are not supported."
        )


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        _check_size(path.stat().st_size, limits)
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise XrayError(ErrorCode.MISSING, f"There is no file {path.name!r}.") from None
    except OSError as error:
        raise unreadable(error) from None


def _check_size(n_bytes: int, limits: Limits) -> None:
    if n_bytes == 0:
        raise XrayError(ErrorCode.EMPTY, "The file is empty.")
    if n_bytes > limits.max_bytes:
        raise too_large(limits.max_bytes)


def _to_grayscale(opened: Image.Image, mode: str, data: bytes) -> tuple[Image.Image, list[str]]:
    """Bring a decoded image, stored in `mode`, to mode "L"; returns it with what was done."""
    if opened.mode.startswith("I"):  # I, I;16, I;16B: more than 8 bits a pixel
        gray = Image.fromarray(scale_to_8_bit(np.asarray(opened)))
        if opened.format == "TIFF" and opened.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts 8 bits alone
            return ImageOps.invert(gray), [SCALED, "inverted (WhiteIsZero)"]
        return gray, [SCALED]
    if opened.format == "PNG" and data[PNG_DEPTH] == 16:  # of several channels, whose low bytes Pillow drops
        return _read_16_bit_colour(data), [SCALED]
    # By way of RGB, as `pipeline()` goes, so that both see the same grays whatever the stored mode.
    gray = opened if opened.mode == "L" else opened.convert("RGB").convert("L")
    return gray, [] if mode == "L" else [f"converted from {mode}"]


def _read_16_bit_colour(data: bytes) -> Image.Image:
    """Gray of a 16-bit PNG with several channels: their luma (ITU-R BT.601, as Pillow's), scaled by its own range.

    Pillow keeps the high byte of each channel; asked for little-endian values, it gives the low one. (torchvision reads
    16 bits at once, but ends the process on a damaged file.)
    """
    if data[PNG_COLOUR_TYPE] == GRAY_WITH_ALPHA:  # two channels of two bytes, read as four of one
        high, low = np.moveaxis(_unpacked(data, "RGBA"), -1, 0)[:2].astype(np.uint16)
        return Image.fromarray(scale_to_8_bit(high << 8 | low))
    mode = "RGB" if data[PNG_COLOUR_TYPE] == RGB else "RGBA"
    high, low = (_unpacked(data, f"{mode};16{end}")[..., :3].astype(np.uint16) for end in "BL")
    luma = (high << 8 | low).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return Image.fromarray(scale_to_8_bit(np.rint(luma).astype(np.uint16)))


def _unpacked(data: bytes, rawmode: str) -> np.ndarray:
    """The bytes of a PNG file's pixels, unpacked in one of Pillow's raw modes: (H, W, C) uint8."""
    image = Image.open(io.BytesIO(data), formats=("PNG",))
    image.tile = [image.tile[0]._replace(args=rawmode)]
    return np.asarray(image)


def _is_coloured(opened: Image.Image) -> bool:
    """Whether a decoded image is a colour image and not a gray one that is stored with colour channels."""
    if opened.mode in ("1", "L", "LA") or opened.mode.startswith("I"):
        return False
    colours = opened.convert("RGB")
    red, green, blue = (channel.tobytes() for channel in colours.split())
    if red == green == blue:  # as in most radiographs with three channels: a quarter of the time of what follows
        return False
    small = colours.resize((64, 64), Image.Resampling.BOX).convert("YCbCr")
    chroma = np.asarray(small, dtype=float)[..., 1:] - 128
    return float((np.hypot(chroma[..., 0], chroma[..., 1]) > COLOUR_DISTANCE).mean()) > COLOUR_SHARE
