"""What a dataset stores of an image file."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hub.dataset.strip_metadata import stored
from space.imaging.xray import read_xray
from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes

SECRET = b"SECRET"


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def phantom() -> Image.Image:
    return draw_phantom(np.random.default_rng(0), pneumonia=True, width=90, height=70)


def exif(orientation: int = 1) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010E] = SECRET.decode()
    return block


def same_pixels(a: bytes, b: bytes) -> bool:
    return Image.open(io.BytesIO(a)).convert("RGB").tobytes() == Image.open(io.BytesIO(b)).convert("RGB").tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_files_lose_their_metadata_and_no_pixel(phantom, mode, options):
    extra = {"exif": exif(), "comment": SECRET, "icc_profile": b"SECRET profile", "xmp": b"<SECRET/>"}
    data = encode(phantom.convert(mode), "JPEG", quality=90, **extra, **options) + b"SECRET after the end"
    assert data.count(SECRET) == 5
    kept, suffix = stored(data, storable=True)
    assert SECRET not in kept
    assert suffix == ".jpeg"
    assert same_pixels(kept, data)
    assert kept == encode(phantom.convert(mode), "JPEG", quality=90, **options)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_png_files_lose_their_metadata_and_no_pixel(phantom, mode):
    text = PngInfo()
    text.add_text("Patient", "SECRET")
    text.add_itxt("Patient", "SECRET")
    image = phantom.convert("RGB").convert(mode) if mode != "P" else phantom.convert("P")
    data = encode(image, "PNG", pnginfo=text, exif=exif()) + SECRET
    kept, suffix = stored(data, storable=None)
    assert SECRET not in kept
    assert suffix == ".png"
    assert same_pixels(kept, data)
    assert Image.open(io.BytesIO(kept)).mode == mode


def test_jpeg_segments_that_hide_text_are_cut_to_what_a_decoder_needs(phantom):
    data = encode(phantom.convert("RGB"), "JPEG", quality=90)

    def segment(marker: int, payload: bytes) -> bytes:
        return b"\xff" + bytes([marker]) + (len(payload) + 2).to_bytes(2, "big") + payload

    hidden = segment(0xEE, SECRET) + segment(0xFE, b"JFIF\0" + SECRET) + segment(0xDC, SECRET)
    hidden += segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01" + SECRET)
    kept, _ = stored(data[:2] + hidden + data[2:], storable=True)
    assert SECRET not in kept
    assert same_pixels(kept, data)


def test_png_chunks_that_hide_text_are_dropped(phantom):
    data = encode(phantom, "PNG")

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")

    hidden = chunk(b"PLTE", SECRET) + chunk(b"tRNS", SECRET)
    kept, _ = stored(data[:33] + hidden + data[33:], storable=True)
    assert kept == data


def test_files_without_metadata_are_kept_bit_by_bit(phantom):
    for kind in ("PNG", "JPEG"):
        data = encode(phantom, kind)
        assert stored(data, storable=True)[0] == data


def gray_png(data: bytes) -> Image.Image:
    kept, suffix = stored(data, storable=None)
    image = Image.open(io.BytesIO(kept))
    assert (image.format, image.mode, suffix) == ("PNG", "L", ".png")
    assert np.array_equal(np.asarray(image), np.asarray(read_xray(data).image))
    assert SECRET not in kept
    return image


def test_what_readers_disagree_on_becomes_8_bit_gray(phantom):
    deep = Image.fromarray((np.asarray(phantom).astype(np.uint16) * 11) + 300)
    gray_png(encode(deep, "PNG"))
    gray_png(encode(phantom.convert("1"), "PNG"))
    gray_png(encode(phantom.convert("RGB").convert("CMYK"), "JPEG"))
    gray_png(dicom_bytes(np.asarray(phantom)))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_files_are_stored_upright(phantom, orientation):
    upright = gray_png(encode(phantom, "JPEG", exif=exif(orientation)))
    assert upright.size == (phantom.size if orientation < 5 else phantom.size[::-1])


def test_shrinking_keeps_the_aspect_ratio_and_the_kind_of_file(phantom):
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpeg")):
        small, ending = stored(encode(phantom, kind), storable=True, longest_side=45)
        image = Image.open(io.BytesIO(small))
        assert (image.size, image.format, image.mode, ending) == ((45, 35), kind, "L", suffix)
    data = encode(phantom, "PNG")
    assert stored(data, storable=True, longest_side=90)[0] == data


def test_deep_and_coloured_masks_keep_their_values():
    values = np.random.default_rng(0).choice([0, 127], size=(20, 20)).astype(np.uint8)
    mask = Image.fromarray(values)
    palette = mask.convert("P")
    for odd in (Image.fromarray(values.astype(np.uint16)), mask.convert("RGBA"), mask.convert("RGB"), palette):
        kept = Image.open(io.BytesIO(stored(encode(odd, "PNG"), storable=None, mask=True)[0]))
        assert kept.mode == "L"
        assert np.array_equal(np.asarray(kept), values)


def test_masks_keep_their_values_when_they_shrink():
    values = np.random.default_rng(0).choice([0, 127, 255], size=(64, 64)).astype(np.uint8)
    small, _ = stored(encode(Image.fromarray(values), "PNG"), storable=None, longest_side=20, mask=True)
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(small))))) == {0, 127, 255}
