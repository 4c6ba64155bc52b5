"""Which files of a source are images: told by their names or, where those say nothing, by their first bytes."""

import posixpath

from space.imaging.archives import Source
from space.imaging.xray import is_dicom

# Files that are called images; whether they can be read shows when they are read.
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2"}
HEAD = 132  # a DICOM file shows what it is in these bytes
SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
DIB_HEADERS = {12, 40, 52, 56, 64, 108, 124}  # sizes that the second header of a BMP file has


def is_image(source: Source, name: str) -> bool:
    """Whether a file is an image; one without a usual ending is opened to see (IMG0001, CT.IMA, scan.jfif)."""
    return has_image_suffix(name) or _begins_like_image(source.head(name, HEAD))


def has_image_suffix(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    return posixpath.splitext(name)[1].lower() in SUFFIXES


def _begins_like_image(head: bytes) -> bool:
    if head.startswith(SIGNATURES) or is_dicom(head) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in DIB_HEADERS
