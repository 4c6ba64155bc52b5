import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from space.imaging.xray import WEB_FORMATS, Limits, XrayError, read_xray
from tests.phantoms import draw_phantom


@pytest.fixture
def phantom() -> Image.Image:
    return draw_phantom(np.random.default_rng(0), pneumonia=False, width=60, height=50)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_every_8_bit_mode_of_a_gray_image_gives_the_same_pixels(phantom, mode):
    read = read_xray(encode(phantom.convert("RGB").convert(mode) if mode != "P" else phantom.convert("P")))
    assert read.image.mode == "L"
    assert np.array_equal(np.asarray(read.image), np.asarray(phantom))
    assert bool(read.steps) == (mode != "L")


def test_16_bit_is_scaled_by_its_own_range_and_not_clipped():
    values = np.linspace(1000, 5000, 64 * 64).reshape(64, 64).astype(np.uint16)
    read = read_xray(encode(Image.fromarray(values)))
    pixels = np.asarray(read.image)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.array_equal(pixels, np.rint((values - 1000.0) / 4000 * 255).astype(np.uint8))
    assert "own range" in read.steps[0]


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "WEBP"])
def test_other_formats_of_one_frame_are_read_but_never_stored_as_they_are(phantom, kind):
    read = read_xray(encode(phantom, kind, lossless=True))
    assert np.array_equal(np.asarray(read.image), np.asarray(phantom))
    assert (read.format, read.storable) == (kind, False)
    with pytest.raises(XrayError) as caught:
        read_xray(encode(phantom, kind), Limits(formats=WEB_FORMATS))
    assert caught.value.code == "unknown_format"
    for damaged in (encode(phantom, kind)[:300], encode(phantom, kind)[:30]):
        with pytest.raises(XrayError):
            read_xray(damaged)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_deep_tiff_files_are_scaled_by_their_own_range_and_inverted_where_white_is_zero(compression):
    values = np.linspace(1000, 5000, 64 * 64).reshape(64, 64).astype(np.uint16)
    scaled = np.rint((values - 1000.0) / 4000 * 255)
    for photometric, expected in ((1, scaled), (0, 255 - scaled)):
        read = read_xray(encode(Image.fromarray(values), "TIFF", tiffinfo={262: photometric}, compression=compression))
        assert np.array_equal(np.asarray(read.image), expected)
        assert ("inverted" in " ".join(read.steps)) == (photometric == 0)
    with pytest.raises(XrayError) as caught:
        read_xray(encode(Image.fromarray(values.astype(np.float32)), "TIFF"))
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize("kind", ["TIFF", "WEBP"])
def test_other_formats_are_turned_upright_once_and_have_one_frame(phantom, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_xray(encode(phantom, kind, exif=exif, lossless=True))
    assert np.array_equal(np.asarray(read.image), np.asarray(phantom.transpose(Image.Transpose.ROTATE_270)))
    assert read.size == read.image.size == phantom.size[::-1]
    with pytest.raises(XrayError) as caught:
        read_xray(encode(phantom, kind, save_all=True, append_images=[Image.new("L", phantom.size)]))
    assert caught.value.code == "several_frames"


def test_a_flat_16_bit_image_is_black():
    assert not np.asarray(read_xray(encode(Image.fromarray(np.full((8, 8), 700, np.uint16)))).image).any()


def test_cmyk_and_bilevel_images_are_read():
    gradient = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (16, 1)))
    cmyk = np.asarray(read_xray(encode(gradient.convert("RGB").convert("CMYK"), "JPEG", quality=95)).image)
    assert np.abs(cmyk.astype(int) - np.asarray(gradient)).max() <= 6
    bilevel = np.asarray(read_xray(encode(gradient.point(lambda v: 255 * (v > 127)).convert("1"))).image)
    assert set(np.unique(bilevel)) == {0, 255}


def test_exif_orientation_turns_the_image_upright(phantom):
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_xray(encode(phantom, "JPEG", exif=exif))
    assert read.image.size == (phantom.height, phantom.width)
    assert any("upright" in step for step in read.steps)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"this is no image", "unknown_format"),
        (b"GIF89a" + bytes(40), "unknown_format"),
        (encode(Image.new("L", (40, 40), 9))[:60], "damaged"),
        (encode(Image.effect_noise((90, 90), 50), "JPEG")[:900], "damaged"),
        (encode(Image.new("L", (500, 500))), "too_many_pixels"),
        (encode(Image.effect_noise((200, 200), 50)), "too_many_bytes"),
    ],
)
def test_what_is_wrong_with_a_file_has_a_code_and_a_sentence(content, code):
    with pytest.raises(XrayError) as caught:
        read_xray(content, Limits(max_bytes=20_000, max_pixels=200_000))
    assert caught.value.code == code
    assert str(caught.value).endswith(".")


def test_the_format_is_told_from_the_content(phantom, tmp_path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode(phantom))
    assert np.array_equal(np.asarray(read_xray(path).image), np.asarray(phantom))


def test_a_decompression_bomb_is_refused_by_its_header():
    bomb = bytearray(encode(Image.new("1", (64, 64))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height in the PNG header
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    with pytest.raises(XrayError) as caught:
        read_xray(bytes(bomb))
    assert caught.value.code == "too_many_pixels"


def test_animated_images_and_missing_files_are_refused(tmp_path):
    frames = [Image.new("L", (8, 8), value) for value in (0, 90)]
    with pytest.raises(XrayError) as caught:
        read_xray(encode(frames[0], save_all=True, append_images=frames[1:]))
    assert caught.value.code == "several_frames"
    with pytest.raises(XrayError) as caught:
        read_xray(Path(tmp_path / "absent.png"))
    assert caught.value.code == "missing"


def test_a_damaged_exif_block_is_damage_and_no_crash(phantom):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0100] = 5
    data = encode(phantom, "JPEG", exif=exif)
    entry = data.index((0x0100).to_bytes(2, "big") + b"\x00\x04")
    for kind in range(1, 13):
        broken = data[: entry + 2] + bytes([0, kind]) + data[entry + 4 :]
        try:
            assert read_xray(broken).image.mode == "L"
        except XrayError as error:
            assert error.code == "damaged"


def deep_png(values: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG of values (H, W, C), which Pillow cannot write."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, colour_type, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_a_damaged_16_bit_png_of_several_channels_is_refused_and_does_not_end_the_process(colour_type, channels):
    values = np.random.default_rng(0).integers(0, 60000, (40, 48, channels)).astype(np.uint16)
    damaged = bytearray(deep_png(values, colour_type))
    damaged[300] ^= 0xFF
    with pytest.raises(XrayError) as error:
        read_xray(bytes(damaged))
    assert error.value.code == "damaged"


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_png_files_of_several_channels_are_scaled_by_their_own_range(colour_type, channels):
    gray = np.linspace(200, 3000, 64 * 64).reshape(64, 64).astype(np.uint16)
    read = read_xray(deep_png(np.repeat(gray[..., None], channels, axis=2), colour_type))
    assert np.abs(np.asarray(read.image) - np.rint((gray - 200.0) / 2800 * 255)).max() <= 1
    assert not read.storable


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_strict_refuses_colour_photographs_and_lets_tinted_films_pass(phantom, kind):
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8)).resize((90, 90))
    read_xray(encode(photo, kind))
    with pytest.raises(XrayError) as caught:
        read_xray(encode(photo, kind), strict=True)
    assert caught.value.code == "colour"
    tint = np.asarray(phantom.convert("RGB")) * np.array([0.95, 1.0, 1.0])
    for harmless in (phantom, phantom.convert("RGB"), phantom.convert("RGBA"), Image.fromarray(tint.astype(np.uint8))):
        read_xray(encode(harmless.convert("RGB") if kind == "JPEG" else harmless, kind), strict=True)


def test_a_quick_look_is_smaller_and_knows_the_full_size():
    random = np.random.default_rng(0)
    large = draw_phantom(random, pneumonia=True, width=1300, height=1000)
    data = encode(large.convert("RGB"), "JPEG", quality=90)
    quick, full = read_xray(data, at_least=128), read_xray(data)
    assert min(quick.image.size) >= 128
    assert quick.image.width < 400
    assert (quick.size, quick.mode) == (full.size, full.mode) == ((1300, 1000), "RGB")
    shrunk = full.image.resize(quick.image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(shrunk, int) - np.asarray(quick.image, int)).mean() < 2
    with pytest.raises(XrayError):
        read_xray(data[: len(data) // 2], at_least=128)


def test_plain_are_8_bit_upright_files_alone(phantom):
    exif = Image.Exif()
    exif[0x0112] = 3
    assert read_xray(encode(phantom, "JPEG")).storable
    assert read_xray(encode(phantom.convert("RGBA"))).storable
    assert not read_xray(encode(phantom, "JPEG", exif=exif)).storable
    assert not read_xray(encode(phantom.convert("RGB").convert("CMYK"), "JPEG")).storable
    assert not read_xray(encode(phantom.convert("1"))).storable
    assert not read_xray(encode(Image.fromarray(np.asarray(phantom).astype(np.uint16)))).storable
