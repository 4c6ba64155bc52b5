"""What a dataset stores of a picture: its own bytes without metadata, or clean 8-bit grayscale."""

import io
import re
import struct

from PIL import Image

from space.xray import read_xray

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
JPEG_END = 0xD9
# Markers that a decoder needs: tables, frame and scan headers, and APP14 (how Adobe's colours are to be read).
JPEG_DROPPED = {0xFE, *range(0xE0, 0xF0)} - {0xEE}
# Inside coded data 0xFF is followed by 0 or a restart marker; anything else ends them.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
JPEG_QUALITY = 95


def stored(data: bytes, plain: bool | None, longest_side: int | None = None, mask: bool = False) -> tuple[bytes, str]:
    """Turn a picture file into what the dataset stores.

    Plain files (`Xray.plain`) keep their coded pixels bit by bit and lose everything else (EXIF, XMP, comments, colour
    profiles, previews, trailing data). DICOM files, CMYK, and pictures that are not 8 bits deep or not upright become
    8-bit grayscale PNG. Pictures that are shrunk become 8-bit grayscale in the format that they had.

    Args:
        data: The file.
        plain: Whether the file is known to be plain; None: not known.
        longest_side: Shrink to this longest side, in pixels, if it is larger; the aspect ratio is kept.
        mask: The picture is a mask: its values are never mixed by shrinking, nor stored with losses.

    Returns:
        The bytes, and the file ending that goes with them.

    Raises:
        XrayError: The picture cannot be read.
    """
    if plain and longest_side is None and (bare := _bare(data)):
        return bare
    xray = read_xray(data)
    image = xray.image
    if longest_side is not None and max(image.size) > longest_side:
        width, height = (max(1, round(side * longest_side / max(image.size))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.NEAREST if mask else Image.Resampling.LANCZOS)
        return _encoded(image, lossy=xray.format == "JPEG" and not mask)
    return (xray.plain and _bare(data)) or _encoded(image, lossy=False)


def _bare(data: bytes) -> tuple[bytes, str] | None:
    """The file without metadata, and its ending; None if it is not built as its format says."""
    try:
        return (_bare_png(data), ".png") if data.startswith(PNG_SIGNATURE) else (_bare_jpeg(data), ".jpeg")
    except (ValueError, IndexError, struct.error):
        return None


def _encoded(image: Image.Image, lossy: bool) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if lossy else "PNG", **({"quality": JPEG_QUALITY} if lossy else {}))
    return buffer.getvalue(), ".jpeg" if lossy else ".png"


def _bare_png(data: bytes) -> bytes:
    """A PNG file with the chunks alone that its pixels need."""
    parts, position, ended = [PNG_SIGNATURE], len(PNG_SIGNATURE), False
    while not ended:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError("cut off")
        if kind in PNG_CHUNKS:
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
                raise ValueError("no marker where one must stand")
            position += 1
            continue
        kind = data[position + 1]
        if kind == JPEG_END:
            return b"".join([*parts, data[position : position + 2]])
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        if kind == 0xDA:  # start of scan: its coded data run to the next marker
            following = _JPEG_MARKER.search(data, end)
            if following is None:
                raise ValueError("cut off")
            end = following.start()
        if data.startswith(b"JFIF\0", position + 4):
            parts.append(b"\xff\xe0\x00\x10" + data[position + 4 : position + 16] + b"\0\0")  # without its preview
        elif kind not in JPEG_DROPPED:
            parts.append(data[position:end])
        position = end
