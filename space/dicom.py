"""DICOM bytes in, 8-bit grayscale pixels out. Only the tags that describe pixels are ever parsed into values."""

import io
import struct
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing, pixel_array

from space.errors import XrayError

# No name, no date, no identifier of a person is among them, so none can be logged or stored.
TAGS = [
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelData",
    "PixelPaddingValue",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "RedPaletteColorLookupTableDescriptor",
    "ViewPosition",
]
# Deflated data are not among them: pydicom inflates a whole file without a limit, whatever size that comes to.
SYNTAXES = {
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",  # uncompressed
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",  # JPEG
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81",  # JPEG-LS
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",  # JPEG 2000
}  # fmt: skip
DEFLATED = b"1.2.840.10008.1.2.1.99"
GRAY, COLOUR = {"MONOCHROME1", "MONOCHROME2"}, {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
NO_PADDING = np.zeros((), bool)
# What pydicom and the decoders behind it raise on damaged or hostile files.
DAMAGE = (
    InvalidDicomError, BytesLengthException, OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError,
    AttributeError, IndexError, NotImplementedError, OverflowError, RecursionError, MemoryError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip


def is_dicom(data: bytes) -> bool:
    """Whether bytes begin like a DICOM file (128 bytes of anything, then "DICM")."""
    return data[128:132] == b"DICM"


def read_dicom(data: bytes, max_pixels: int) -> tuple[Image.Image, list[str], str | None]:
    """Decode a single-frame DICOM radiograph as a viewer would show it.

    Modality LUT or rescale, then VOI LUT or the first window, then the inversion of MONOCHROME1. Without a window,
    pixels of more than 8 bits (or with a rescale) are scaled by their own range, padding excepted.

    Args:
        data: A DICOM file.
        max_pixels: Most pixels (rows x columns), checked before any is decoded.

    Returns:
        The picture (mode "L"), what was done to the stored pixels, and the view position ("PA", "AP", …) or None.

    Raises:
        XrayError: The file is damaged, holds several frames, no picture, too many pixels, or is compressed in a way
            that is not read here.
    """
    if DEFLATED in data:
        raise XrayError("unsupported", "The DICOM file is deflated as a whole, which is not read; store it inflated.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote the values of a file
            dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=TAGS)
            _check(dataset, max_pixels)
            values = pixel_array(dataset)
            picture, steps = _render(values, dataset)
            return picture, steps, str(dataset.get("ViewPosition") or "").strip() or None
    except RuntimeError as error:  # no installed decoder, or each of them failed
        if isinstance(error, RecursionError) or "missing dependencies" not in str(error):
            raise XrayError("damaged", "The pixels of the DICOM file cannot be decoded.") from None
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise XrayError(
            "unsupported",
            f"The DICOM file is compressed as {syntax}, for which no decoder is installed: `pip install python-gdcm` "
            "brings one, or store it uncompressed.",
        ) from None
    except DAMAGE:
        raise XrayError(
            "damaged", "The DICOM file is damaged, cut off, or holds no picture that can be decoded."
        ) from None


def _check(dataset: pydicom.Dataset, max_pixels: int) -> None:
    """Refuse by the header what would not be a radiograph, or too large, before a pixel is decoded."""
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise XrayError("damaged", "The DICOM file holds no picture.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in SYNTAXES:
        raise XrayError("unsupported", f"The DICOM file is encoded as {syntax.name[:60]}, which is not read.")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise XrayError("several_frames", "The DICOM file has several frames; one radiograph is one frame.")
    if (kind := dataset.PhotometricInterpretation) not in GRAY | COLOUR:
        raise XrayError("unsupported", f"DICOM pictures of the kind {kind[:20]!r} are not read; grayscale ones are.")
    size = (dataset.Columns, dataset.Rows)
    if size[0] * size[1] > max_pixels:
        raise XrayError(
            "too_many_pixels",
            f"The picture has {size[0]:,} x {size[1]:,} pixels; at most {max_pixels:,} pixels are allowed.",
        )
    if syntax.is_compressed and syntax != pydicom.uid.RLELossless:
        _check_frame(next(generate_frames(dataset.PixelData, number_of_frames=1)), size)


def _check_frame(frame: bytes, size: tuple[int, int]) -> None:
    """Refuse a compressed frame whose own header states another size than the DICOM header, which was checked."""
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as picture:
            stated = picture.size
    except OSError:
        return  # JPEG-LS and raw JPEG 2000 variants that Pillow does not know; the decoder checks those itself
    if stated != size:
        raise XrayError("damaged", "The DICOM file states one size of the picture and its compressed pixels another.")


def _render(values: np.ndarray, dataset: pydicom.Dataset) -> tuple[Image.Image, list[str]]:
    """Stored values, (H, W) or (H, W, 3), to display values in mode "L"."""
    if dataset.PhotometricInterpretation in COLOUR:
        if values.dtype != np.uint8:
            raise XrayError("unsupported", "DICOM colour pictures of more than 8 bits are not read.")
        return Image.fromarray(values).convert("L"), ["converted from DICOM RGB"]
    padding = values == dataset.PixelPaddingValue if "PixelPaddingValue" in dataset else NO_PADDING
    steps = ["decoded from DICOM"]
    modality = apply_modality_lut(values, dataset)
    if "VOILUTSequence" in dataset and dataset.VOILUTSequence:
        gray = scale_to_8_bit(apply_voi(modality, dataset), padding)
        steps.append("VOI LUT applied")
    elif _has_window(dataset):
        # The window's nominal output range, which the values of this picture need not reach.
        low, high = apply_windowing(np.array([-1e12, 1e12]), dataset)
        gray = (
            np.rint((apply_windowing(modality, dataset) - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
        )
        steps.append("window applied")
    elif values.dtype == np.uint8 and dataset.BitsStored == 8 and np.array_equal(modality, values):
        gray = values
    else:
        gray = scale_to_8_bit(modality, padding)
        steps.append("scaled from more than 8 bits by its own range")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
        steps.append("inverted (MONOCHROME1)")
    if padding.any():
        gray = np.where(padding, 0, gray).astype(np.uint8)
    return Image.fromarray(gray), steps


def _has_window(dataset: pydicom.Dataset) -> bool:
    """Whether the file has a window that can be applied: widths below 1 are written by some devices, and mean "
    "nothing."""
    if "WindowCenter" not in dataset or "WindowWidth" not in dataset:
        return False
    width = dataset["WindowWidth"]
    first = width.value[0] if width.VM > 1 else width.value
    return first is not None and float(first) > 1


def scale_to_8_bit(values: np.ndarray, padding: np.ndarray = NO_PADDING) -> np.ndarray:
    """Map the range of `values`, any numeric type, linearly onto 0..255; what `padding` marks is left out of the range.

    Args:
        values: (H, W).
        padding: (H, W) bool, or a single False.

    Returns:
        (H, W) uint8; all zero where `values` are all the same.
    """
    inside = values[~padding] if padding.any() else values
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    if high == low:
        return np.zeros(values.shape, np.uint8)
    return np.rint((values.clip(low, high) - low) * (255.0 / (high - low))).astype(np.uint8)
