"""Mutated files: the reader gives an image or says in a sentence why not, and never anything else."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from hub.dataset.strip_metadata import stored
from space.imaging.xray import Limits, XrayError, read_xray
from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes
from tests.space.imaging.test_xray import deep_png

LIMITS = Limits(max_bytes=10**6, max_pixels=10**6)


def seeds() -> dict[str, bytes]:
    phantom = draw_phantom(np.random.default_rng(0), pneumonia=True, width=48, height=40)
    values = np.asarray(phantom)
    exif = Image.Exif()
    exif[0x0112] = 6

    def encode(image: Image.Image, kind: str, **options) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return {
        "jpeg": encode(phantom.convert("RGB"), "JPEG", exif=exif, comment=b"hello"),
        "progressive": encode(phantom, "JPEG", progressive=True),
        "png": encode(phantom.convert("RGBA"), "PNG"),
        "png-16": encode(Image.fromarray(values.astype(np.uint16) * 90), "PNG"),
        "png-48": deep_png(np.repeat(values[..., None].astype(np.uint16), 3, axis=2), 2),
        "tiff": encode(phantom, "TIFF", exif=exif),
        "tiff-16": encode(Image.fromarray(values.astype(np.uint16) * 90), "TIFF", compression="tiff_lzw"),
        "bmp": encode(phantom, "BMP"),
        "webp": encode(phantom, "WEBP", exif=exif),
        "dicom": dicom_bytes(values.astype(np.uint16) * 9, WindowCenter="900", WindowWidth="500", RescaleSlope="2"),
        "dicom-jpeg": dicom_bytes(values, JPEGBaseline8Bit, encode(phantom, "JPEG")),
        "dicom-j2k": dicom_bytes(values, JPEG2000Lossless, encode(phantom, "JPEG2000", no_jp2=True)),
    }


SEEDS = seeds()
CHANGES = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 255)), max_size=8)


@pytest.mark.parametrize("kind", SEEDS)
@settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES, near_start=st.booleans(), cut=st.integers(0, 3000))
def test_a_mutated_file_is_read_or_refused_in_a_sentence(kind, changes, near_start, cut):
    data = bytearray(SEEDS[kind])
    for position, value in changes:
        data[position % (min(len(data), 700) if near_start else len(data))] = value
    mutated = bytes(data[: len(data) - cut % 3 * (cut % len(data)) // 3])
    try:
        read = read_xray(mutated, LIMITS, strict=bool(cut % 2))
    except XrayError as error:
        assert error.code
        assert str(error).endswith((".", "uncompressed."))
    else:
        assert read.image.mode == "L"
        assert read.image.width * read.image.height <= LIMITS.max_pixels
        kept, _ = stored(mutated, read.storable)
        assert Image.open(io.BytesIO(kept)).format in ("PNG", "JPEG")
