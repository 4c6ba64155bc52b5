"""Files that no page should choke on."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file whose header states a size, and that holds no pixels to speak of."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def hostile_files() -> dict[str, tuple[bytes, str]]:
    """{name: (content, what the answer says)}."""
    phantom = draw_phantom(np.random.default_rng(0), True, 200, 180)
    whole, moving = io.BytesIO(), io.BytesIO()
    phantom.save(whole, "PNG")
    phantom.save(moving, "PNG", save_all=True, append_images=[phantom.rotate(90)])
    lie = bytearray(128) + b"DICM" + b"\x02\x00\x10\x00UI\xff\xff" + b"1.2.840.10008.1.2.1" * 100
    return {
        "bomb.png": (png_of_size(50_000, 50_000), "pixels"),
        "no-pixels.png": (png_of_size(300, 300), "damaged"),
        "truncated.png": (whole.getvalue()[:2000], "damaged"),
        "moving.png": (moving.getvalue(), "several frames"),
        "page.png": (b"<html><script>alert(1)</script></html>", "not an image"),
        "vector.png": (b"<svg><image href='file:///etc/passwd'/></svg>", "not an image"),
        "lie.dcm": (bytes(lie), "DICOM file"),
        "scans.jpg": (jpeg_of_scans(200), "scans"),
        "markup.dcm": (dicom_bytes(np.zeros((70, 70), np.uint8), PhotometricInterpretation="<B>X"), "kind 'BX'"),
        "empty.jpg": (b"", "empty"),
        "nothing.png": (png_bytes(np.full((300, 300), 90, np.uint8)), "blank"),
        "tiny.png": (png_bytes(np.full((3, 5), 90, np.uint8)), "too small"),
    }  # fmt: skip


def jpeg_of_scans(n: int) -> bytes:
    """A progressive JPEG file whose last scan is there again and again."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((300, 300), 90, np.uint8)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * n + content[-2:]


def zip_of_zeros(megabytes: int, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive that unpacks to one file of so many megabytes, a thousandth of that packed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("bomb.png", "w") as file:
        for _ in range(megabytes):
            file.write(bytes(10**6))
    return buffer.getvalue()


def png_bytes(pixels: np.ndarray) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
