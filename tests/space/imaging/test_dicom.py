"""DICOM files: real ones where they are at hand, and phantoms that are encoded in every way that is read."""

import io
import struct
import warnings

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from space.imaging.xray import Limits, XrayError, read_xray
from tests.conftest import REAL_DATA
from tests.phantoms import draw_phantom

DICOM = REAL_DATA / "dicom"


def dicom_bytes(values: np.ndarray, syntax: str = ExplicitVRLittleEndian, frame: bytes | None = None, **tags) -> bytes:
    """A DICOM file of stored values (H, W); `frame` is their compressed form, tags overwrite what is set here."""
    dataset = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID = "SECRET^NAME", "SECRET-ID"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = encapsulate([frame]) if frame else values.tobytes()
    dataset["PixelData"].VR = "OB" if frame or values.dtype.itemsize == 1 else "OW"
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(read_xray(data).image)


@pytest.fixture(scope="module")
def phantom() -> Image.Image:
    return draw_phantom(np.random.default_rng(0), pneumonia=False, width=64, height=48)


@pytest.fixture(scope="module")
def deep() -> np.ndarray:
    """12-bit values (40, 50) from 100 to 4000."""
    return np.linspace(100, 4000, 2000).reshape(40, 50).astype(np.uint16)


def test_8_bits_come_out_as_they_are(phantom):
    read = read_xray(dicom_bytes(np.asarray(phantom), ViewPosition="PA"))
    assert np.array_equal(np.asarray(read.image), np.asarray(phantom))
    assert (read.size, read.format, read.view, read.steps) == ((64, 48), "DICOM", "PA", ("decoded from DICOM",))


def test_without_a_window_values_are_scaled_by_their_own_range(deep):
    expected = np.rint((deep - 100.0) / 3900 * 255)
    assert np.array_equal(pixels(dicom_bytes(deep, BitsStored=12, HighBit=11)), expected)


def test_signed_values_and_a_rescale(deep):
    signed = (deep.astype(np.int32) - 2000).astype(np.int16)
    read = pixels(dicom_bytes(signed, RescaleSlope="2", RescaleIntercept="-5"))
    assert np.array_equal(read, np.rint((deep - 100.0) / 3900 * 255))


def test_the_window_is_applied_after_the_rescale_and_clips(deep):
    read = pixels(dicom_bytes(deep, RescaleSlope="2", RescaleIntercept="0", WindowCenter="4000.5", WindowWidth="2001"))
    expected = ((2.0 * deep - 4000) / 2000 + 0.5).clip(0, 1) * 255  # DICOM PS3.3 C.11.2.1.2.1, LINEAR
    assert np.abs(read - expected).max() <= 1
    assert (read.min(), read.max()) == (0, 255)


def test_the_first_of_several_windows_counts(deep):
    both = pixels(dicom_bytes(deep, WindowCenter=["2000", "500"], WindowWidth=["1000", "100"]))
    assert np.array_equal(both, pixels(dicom_bytes(deep, WindowCenter="2000", WindowWidth="1000")))


@pytest.mark.parametrize("width", ["0", "1", "-5"])
def test_a_window_without_width_is_no_window(deep, width):
    assert np.array_equal(pixels(dicom_bytes(deep, WindowCenter="5", WindowWidth=width)), pixels(dicom_bytes(deep)))


def test_monochrome1_is_inverted_after_the_window(deep):
    window = {"WindowCenter": "2000", "WindowWidth": "1500"}
    inverted = dicom_bytes(deep, PhotometricInterpretation="MONOCHROME1", **window)
    assert np.array_equal(pixels(inverted), 255 - pixels(dicom_bytes(deep, **window)))
    assert read_xray(inverted).steps[-1] == "inverted (MONOCHROME1)"


def test_a_voi_lut_goes_before_the_window():
    values = np.tile(np.arange(256, dtype=np.uint16), (4, 1))
    lut = pydicom.Dataset()
    lut.LUTDescriptor = [256, 0, 16]
    lut.LUTData = ((255 - np.arange(256)) * 200).astype(np.uint16).tobytes()
    read = pixels(dicom_bytes(values, VOILUTSequence=[lut], WindowCenter="5", WindowWidth="2"))
    assert np.array_equal(read[0], np.rint((255 - np.arange(256)) * 200 / 65535 * 255))


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_leaves_the_range_alone(deep, kind):
    padded = deep.copy()
    padded[:5] = 65000
    read = pixels(dicom_bytes(padded, PixelPaddingValue=65000, PhotometricInterpretation=kind))
    assert not read[:5].any()
    inside = np.rint((deep[5:] - float(deep[5:].min())) / float(np.ptp(deep[5:])) * 255)
    assert np.array_equal(read[5:], inside if kind == "MONOCHROME2" else 255 - inside)


def empty(*names: str) -> dict:
    return dict.fromkeys(names, "")


@pytest.mark.parametrize(
    "tags",
    [
        empty("WindowCenter") | {"WindowWidth": "9"}, empty("RescaleSlope", "RescaleIntercept"), {"RescaleSlope": "1"},
        {"WindowCenter": ["", "5"], "WindowWidth": ["", "9"]}, {"VOILUTFunction": "ODD"}, empty("VOILUTFunction"),
        {"VOILUTSequence": [pydicom.Dataset()]}, empty("PixelRepresentation"), empty("BitsStored", "NumberOfFrames"),
    ],
)  # fmt: skip
def test_what_devices_leave_empty_or_make_up_is_mended(deep, tags):
    assert np.array_equal(pixels(dicom_bytes(deep, **tags)), pixels(dicom_bytes(deep)))


def test_a_file_without_preamble_is_read(deep):
    assert np.array_equal(pixels(dicom_bytes(deep)[132:]), pixels(dicom_bytes(deep)))


def test_only_known_views_are_told(deep):
    assert read_xray(dicom_bytes(deep, ViewPosition="SECRET^NAME")).view is None
    assert read_xray(dicom_bytes(deep, ViewPosition=["PA", "AP"])).view is None


@pytest.mark.parametrize("slope", ["nan", "0", "inf"])
def test_a_rescale_into_nothing_is_damage(deep, slope):
    assert refused(dicom_bytes(deep, RescaleSlope=slope, RescaleIntercept="0")).code == "damaged"


@pytest.mark.parametrize("runs", [b"\x81\x00" * 200, b"\x80" * 12000])  # 0x80 yields nothing
def test_run_lengths_that_add_up_to_too_much_or_never_end_are_refused(deep, runs):
    bomb = struct.pack("<16L", 2, 64, 64 + len(runs) // 2, *[0] * 13) + runs
    assert "different sizes" in str(refused(dicom_bytes(deep, RLELossless, bomb)))


def test_colour_files_become_gray(phantom):
    values = np.repeat(np.asarray(phantom)[..., None], 3, axis=2)
    assert np.array_equal(pixels(dicom_bytes(values)), np.asarray(phantom))


def test_jpeg_baseline(phantom):
    buffer = io.BytesIO()
    phantom.save(buffer, "JPEG", quality=95)
    read = pixels(dicom_bytes(np.asarray(phantom), JPEGBaseline8Bit, buffer.getvalue()))
    assert np.abs(read.astype(int) - np.asarray(phantom)).max() <= 12


def test_jpeg_2000_of_16_bits(deep):
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    assert np.array_equal(pixels(dicom_bytes(deep, JPEG2000Lossless, buffer.getvalue())), pixels(dicom_bytes(deep)))


def test_run_length_encoding(deep):
    # Low bytes of 0xFF and 0xDA, which begin a scan in a JPEG file and mean nothing here.
    scans = deep & 0xFF00 | np.where(np.arange(deep.size) % 2, 0xDA, 0xFF).reshape(deep.shape).astype(np.uint16)
    for values in (deep, scans):
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(values)))
        dataset.compress(RLELossless)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        assert np.array_equal(pixels(buffer.getvalue()), pixels(dicom_bytes(values)))


def refused(data: bytes, limits: Limits = Limits()) -> XrayError:
    with pytest.raises(XrayError) as caught:
        read_xray(data, limits)
    assert str(caught.value).endswith((".", "brings one, or store it uncompressed."))
    assert "SECRET" not in str(caught.value)
    return caught.value


def test_what_is_no_single_radiograph_is_refused(deep, phantom):
    assert refused(dicom_bytes(deep, NumberOfFrames=2)).code == "several_frames"
    assert refused(dicom_bytes(deep, PhotometricInterpretation="PALETTE COLOR")).code == "unsupported"
    assert refused(dicom_bytes(deep, Rows=0)).code == "damaged"
    colours = np.zeros((4, 4, 3), np.uint8)
    assert "several samples" in str(refused(dicom_bytes(colours, PhotometricInterpretation="MONOCHROME2")))
    assert refused(dicom_bytes(deep), Limits(max_pixels=1999)).code == "too_many_pixels"
    assert refused(dicom_bytes(deep)[:900]).code == "damaged"
    assert refused(b"\0" * 128 + b"DICM" + b"rubbish" * 20).code == "damaged"


def test_a_deflated_file_is_refused_before_it_is_inflated(deep):
    assert refused(dicom_bytes(deep, DeflatedExplicitVRLittleEndian)).code == "unsupported"


def test_a_compression_without_decoder_names_the_remedy(phantom):
    error = refused(dicom_bytes(np.asarray(phantom), JPEGLosslessSV1, b"\xff\xd8\xff\xd9"))
    assert error.code in ("unsupported", "damaged")  # damaged where python-gdcm is installed and tried
    assert "gdcm" in str(error) or error.code == "damaged"


def test_a_header_that_lies_about_the_size_is_refused_before_decoding(phantom):
    buffer = io.BytesIO()
    phantom.resize((4000, 4000)).save(buffer, "JPEG")
    error = refused(dicom_bytes(np.asarray(phantom), JPEGBaseline8Bit, buffer.getvalue()))
    assert error.code == "damaged"
    assert "different sizes" in str(error)


def test_the_real_files_are_read_through_their_windows():
    if not DICOM.is_dir():
        pytest.skip("the real radiographs (../shared/data) are not on this machine")
    files = sorted(DICOM.rglob("*.dcm"))
    reads = {path.name: read_xray(path) for path in files}
    assert len(reads) == 12
    inverted = reads.pop("RG1_J2KI.dcm")
    assert inverted.size == (1841, 1955)
    assert inverted.steps == ("decoded from DICOM", "window applied", "inverted (MONOCHROME1)")
    values = np.asarray(inverted.image)
    assert values[900:1000, 880:960].mean() > values[900:1000, 300:500].mean() + 20  # spine brighter than lung
    assert {read.size for read in reads.values()} == {(1024, 1024)}
    assert {read.view for read in reads.values()} == {"PA", "AP"}
