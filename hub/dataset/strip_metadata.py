"""What a dataset stores of an image: its own bytes without metadata, or clean 8-bit grayscale."""

import io
import re
import struct

import numpy as np
from PIL import Image

from space.imaging.xray import FORMATS, Xray, read_xray

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# {colour type: {chunk that its pixels need: most bytes that it can honestly have}}
PNG_COLOUR_CHUNKS = {
    0: {b"tRNS": 2}, 2: {b"tRNS": 6}, 3: {b"PLTE": 768, b"tRNS": 256}, 4: {}, 6: {},
}  # fmt: skip
JPEG_END, JPEG_SCAN, JPEG_JFIF, JPEG_ADOBE = 0xD9, 0xDA, 0xE0, 0xEE
# Markers that a decoder needs: frame and Huffman tables, arithmetic conditioning, quantisation, restart interval.
JPEG_KEPT = {*range(0xC0, 0xD0), JPEG_SCAN, 0xDB, 0xDD}
# Inside coded data 0xFF is followed by 0 or a restart marker; anything else ends them.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
JPEG_QUALITY = 95


def stored(
    data: bytes, storable: bool | None, longest_side: int | None = None, mask: bool = False
) -> tuple[bytes, str]:
    """Turn an image file into what the dataset stores.

    Upright 8-bit JPEG and PNG files (`Xray.storable`) keep their coded pixels bit by bit and lose everything else:
    EXIF, XMP, comments, colour profiles, previews, trailing data. DICOM files, CMYK, and images that are not 8 bits
    deep or not upright become 8-bit grayscale PNG. Images that are shrunk become 8-bit grayscale in their own format.

    Args:
        data: The file.
        storable: Whether the file is known to be such a file; None: not known.
        longest_side: Shrink to this longest side, in pixels, if it is larger; the aspect ratio is kept.
        mask: The image is a mask: one channel, whose values are never mixed by shrinking, nor stored with losses.

    Returns:
        The bytes, and the file ending that goes with them.

    Raises:
        XrayError: The image cannot be read.
    """
    if storable and longest_side is None and (bare := _bare(data)):
        return bare
    xray = read_xray(data)
    image = _mask_values(data, xray) if mask else xray.image
    if longest_side is not None and max(image.size) > longest_side:
        width, height = (max(1, round(side * longest_side / max(image.size))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.NEAREST if mask else Image.Resampling.LANCZOS)
        return _encoded(image, lossy=xray.format == "JPEG" and not mask)
    as_it_is = xray.storable and (not mask or xray.mode == "L")
    return (as_it_is and _bare(data)) or _encoded(image, lossy=False)


def _mask_values(data: bytes, xray: Xray) -> Image.Image:
    """A mask's values, mode "L": those of a deep file are no intensities, and not scaled where they fit 8 bits."""
    if xray.mode.startswith("I"):
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            values = np.asarray(image)
        if values.max() <= 255:
            return Image.fromarray(values.astype(np.uint8))
    return xray.image


def _bare(data: bytes) -> tuple[bytes, str] | None:
    """The file without metadata, and its ending; None if it is not built as its format says."""
    try:
        return (_bare_png(data), ".png") if data.startswith(PNG_SIGNATURE) else (_bare_jpeg(data), ".jpeg")
    except (ValueError, IndexError, KeyError, struct.error):
        return None


def _encoded(image: Image.Image, lossy: bool) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if lossy else "PNG", **({"quality": JPEG_QUALITY} if lossy else {}))
    return buffer.getvalue(), ".jpeg" if lossy else ".png"


def _bare_png(data: bytes) -> bytes:
    """A PNG file with the chunks alone that its pixels need."""
    kept = {b"IHDR": 13, b"IDAT": len(data), b"IEND": 0} | PNG_COLOUR_CHUNKS[data[25]]
    parts, position, ended = [PNG_SIGNATURE], len(PNG_SIGNATURE), False
    while not ended:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError("cut off")
        if length <= kept.get(kind, -1):
            parts.append(data[position:end])
        ended, position = kind == b"IEND", end
    return b"".join(parts)


def _bare_jpeg(data: bytes) -> bytes:
    """A JPEG file without application segments, comments, and whatever follows its end."""
    parts, position = [data[:2]], 2
    while True:
        marker = _JPEG_MARKER.match(data, position)
        if marker is None:  # fill bytes before a marker, or damage
            if data[position] != 0xFF:
                raise ValueError("a marker is missing")
            position += 1
            continue
        kind = data[position + 1]
        if kind == JPEG_END:
            return b"".join([*parts, data[position : position + 2]])
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        if kind == JPEG_SCAN:  # its coded data run to the next marker
            following = _JPEG_MARKER.search(data, end)
            if following is None:
                raise ValueError("cut off")
            end = following.start()
        parts.append(_bare_segment(kind, data[position:end]))
        position = end


def _bare_segment(kind: int, segment: bytes) -> bytes:
    """What is kept of one segment: all of it, what tells a decoder how colours are coded, or nothing."""
    if kind == JPEG_JFIF and segment.startswith(b"JFIF\0", 4):
        return b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0"  # without its preview
    if kind == JPEG_ADOBE and segment.startswith(b"Adobe", 4):
        return b"\xff\xee\x00\x0e" + segment[4:16]
    return segment if kind in JPEG_KEPT else b""
