"""DICOM bytes in, 8-bit grayscale pixels out. Only the tags that describe pixels are ever parsed into values."""

import io
import re
import struct
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing, pixel_array
from pydicom.uid import RLELossless

from space.errors import ErrorCode, XrayError, too_many_pixels
from space.imaging.gray_levels import SCALED, all_levels, look_up
from space.imaging.jpeg_scans import check_scans

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
    "ViewPosition",
    "BodyPartExamined",
    "Modality",
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
RADIOGRAPHS = {"CR", "DX", "DR", "RG", "XR", "RF", "SC", "OT"}  # values of Modality that a radiograph may have
CHEST = re.compile("CHEST|THORA|TORA|TÓRA|LUNG|PULM|HEART|RIB", re.IGNORECASE)
OTHER_VIEWS = {"LL", "RL", "RLO", "LLO", "LATERAL"}  # lateral and oblique
VIEWS = {"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LATERAL"}
# What pydicom and the decoders behind it raise on damaged or hostile files.
DAMAGE = (
    InvalidDicomError, BytesLengthException, OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError,
    AttributeError, IndexError, NotImplementedError, OverflowError, RecursionError, MemoryError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip


def read_dicom(data: bytes, max_pixels: int) -> tuple[Image.Image, list[str], str | None, str]:
    """Decode a single-frame DICOM radiograph as a viewer would show it.

    Modality LUT or rescale, then VOI LUT or the first window, then the inversion of MONOCHROME1. Without a window,
    pixels of more than 8 bits (or with a rescale) are scaled by their own range, padding excepted.

    Args:
        data: A DICOM file.
        max_pixels: Most pixels (rows x columns), checked before any is decoded.

    Returns:
        The image (mode "L"), what was done to the stored pixels, the view position ("PA", "AP", …) or None, and by
        which tag it is not a frontal chest radiograph, in a sentence; "" if no tag says so.

    Raises:
        XrayError: The file is damaged, holds several frames, no image, too many pixels, or is compressed in a way
            that is not supported.
    """
    if DEFLATED in data:
        raise XrayError(ErrorCode.UNSUPPORTED, "Deflated DICOM files are not supported. Save the file undeflated.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote the values of a file
            dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=TAGS, force=True)
            _tidy(dataset)
            _check(dataset, max_pixels)
            image, steps = _render(pixel_array(dataset), dataset)
            view = str(dataset.get("ViewPosition", "")).strip().upper()
            return image, steps, view if view in VIEWS else None, _why_not_frontal_chest(dataset, view)
    except RuntimeError as error:  # no installed decoder, or each of them failed
        if isinstance(error, RecursionError) or "missing dependencies" not in str(error):
            raise XrayError(ErrorCode.DAMAGED, "The pixels of the DICOM file cannot be decoded.") from None
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise XrayError(
            ErrorCode.UNSUPPORTED,
            f"No decoder is installed for this DICOM file's compression ({syntax}). Run `pip install python-gdcm`, or "
            "save the file uncompressed.",
        ) from None
    except DAMAGE:
        raise XrayError(
            ErrorCode.DAMAGED, "The DICOM file is damaged or cut off, or has no image that can be decoded."
        ) from None


def _why_not_frontal_chest(dataset: pydicom.Dataset, view: str) -> str:
    modality, part = (str(dataset.get(name, "")).strip() for name in ("Modality", "BodyPartExamined"))
    if modality and modality.upper() not in RADIOGRAPHS:
        return f"Its DICOM tag Modality is {_safe_text(modality)!r}, which is not a radiograph."
    if part and not CHEST.search(part):
        return f"Its DICOM tag BodyPartExamined is {_safe_text(part)!r}, not the chest."
    return f"Its DICOM tag ViewPosition is {view!r}, not frontal." if view in OTHER_VIEWS else ""


def _tidy(dataset: pydicom.Dataset) -> None:
    """Mend what devices commonly get wrong: empty elements, missing defaults, windows and tables without content."""
    for element in list(dataset):
        if element.is_empty:
            del dataset[element.tag]
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    defaults = {"SamplesPerPixel": 1, "PixelRepresentation": 0, "BitsStored": dataset.get("BitsAllocated")}
    if "RescaleSlope" in dataset or "RescaleIntercept" in dataset:
        defaults |= {"RescaleSlope": 1, "RescaleIntercept": 0}
    for name, value in defaults.items():
        if name not in dataset:
            setattr(dataset, name, value)
    if dataset.get("VOILUTFunction", "LINEAR") not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        del dataset.VOILUTFunction
    if "VOILUTSequence" in dataset and not dataset.VOILUTSequence[0].get("LUTData"):
        del dataset.VOILUTSequence
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    for name, value in (("WindowCenter", center), ("WindowWidth", width)):
        if name in dataset:
            del dataset[name]
        if center is not None and width is not None and width > 1:  # a width of 1 or less shows nothing
            setattr(dataset, name, value)


def _first(value: object) -> float | None:
    """The first of one or several numbers, None where it is missing or not finite."""
    first = value[0] if isinstance(value, MultiValue) else value
    return float(first) if first not in (None, "") and np.isfinite(float(first)) else None


def _check(dataset: pydicom.Dataset, max_pixels: int) -> None:
    """Refuse by the header what would not be a radiograph, or too large, before a pixel is decoded."""
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise XrayError(ErrorCode.DAMAGED, "The DICOM file has no image.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in SYNTAXES:
        raise XrayError(ErrorCode.UNSUPPORTED, f"The DICOM encoding {_safe_text(syntax.name)} is not supported.")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise XrayError(ErrorCode.SEVERAL_FRAMES, "The DICOM file has several frames. Use a file with a single frame.")
    if (kind := dataset.PhotometricInterpretation) not in GRAY | COLOUR:
        raise XrayError(
            ErrorCode.UNSUPPORTED,
            f"DICOM images of the kind {_safe_text(kind)!r} are not supported. Use a grayscale image.",
        )
    if kind in GRAY and dataset.SamplesPerPixel != 1:
        raise XrayError(ErrorCode.DAMAGED, f"The DICOM header states several samples a pixel, but {kind} has one.")
    size = (dataset.Columns, dataset.Rows)
    if size[0] * size[1] > max_pixels:
        raise too_many_pixels(max_pixels, size)
    if syntax.is_compressed:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        if syntax == RLELossless:
            planes = dataset.SamplesPerPixel * dataset.BitsAllocated // 8
            honest = _rle_is_honest(frame, size[0] * size[1], planes)
        else:
            check_scans(frame)
            honest = _size_of(frame) in (size, None)
        if not honest:
            raise XrayError(ErrorCode.DAMAGED, "The DICOM header and the compressed pixels state different sizes.")


def _safe_text(name: str) -> str:
    """The beginning of a text from a file, without what could be more than text where it is shown."""
    return re.sub(r"[^\w .,():-]", "", name)[:60]


def _size_of(frame: bytes) -> tuple[int, int] | None:
    """Width and height by a compressed frame's own header; None for kinds (JPEG-LS) that their decoder has to check."""
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
            return image.size
    except OSError:
        return None


def _rle_is_honest(frame: bytes, n_pixels: int, planes: int) -> bool:
    """Whether run lengths (DICOM PS3.5 annex G) add up to the image's pixels, and not to gigabytes."""
    count, *offsets = struct.unpack_from("<16L", frame)
    ends = [*offsets[1:count], len(frame)]
    if count != planes:
        return False
    for start, end in zip(offsets, ends, strict=False):
        if end - start > 2 * n_pixels + 1:  # runs that yield nothing, without end; a run of one pixel takes two bytes
            return False
        total, position = 0, start
        while position < end - 1 and total <= n_pixels + 1:
            control = frame[position]
            total += control + 1 if control < 128 else 257 - control if control > 128 else 0
            position += control + 2 if control < 128 else 2 if control > 128 else 1
        if total > n_pixels + 1:  # one byte more fills up to an even length
            return False
    return True


def _render(values: np.ndarray, dataset: pydicom.Dataset) -> tuple[Image.Image, list[str]]:
    """Stored values, (H, W) or (H, W, 3), to display values in mode "L"."""
    if dataset.PhotometricInterpretation in COLOUR:
        if values.dtype != np.uint8:
            raise XrayError(ErrorCode.UNSUPPORTED, "DICOM colour images of more than 8 bits are not supported.")
        return Image.fromarray(values).convert("L"), ["converted from DICOM RGB"]
    padding = dataset.get("PixelPaddingValue")
    inside = values[values != padding] if padding is not None and (values != padding).any() else values
    low, high = int(values.min()), int(values.max())
    table, step = _display(all_levels(low, high), int(inside.min()) - low, int(inside.max()) - low, dataset)
    steps = ["decoded from DICOM", *step]
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        table = 255 - table
        steps.append("inverted (MONOCHROME1)")
    if inside is not values and low <= padding <= high:
        table[padding - low] = 0
    return Image.fromarray(look_up(table, values, low)), steps


def _display(levels: np.ndarray, first: int, last: int, dataset: pydicom.Dataset) -> tuple[np.ndarray, list[str]]:
    """Display value (uint8) of every stored value, and what was done; `first` to `last` are those of the image."""
    modality = np.asarray(apply_modality_lut(levels, dataset), float)
    if not np.isfinite(modality).all() or (last > first and np.ptp(modality[first : last + 1]) == 0):
        raise XrayError(ErrorCode.DAMAGED, "The DICOM rescale values make all pixels equal or not a number.")
    if "VOILUTSequence" in dataset:
        low, high = 0, 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        shown, step = apply_voi(np.rint(modality).astype(int), dataset), "VOI LUT applied"
    elif "WindowWidth" in dataset:
        # The window's nominal output range, which the values of this image need not reach.
        low, high = apply_windowing(np.array([-1e12, 1e12]), dataset)
        shown, step = apply_windowing(modality, dataset), "window applied"
    elif dataset.BitsAllocated == dataset.BitsStored == 8 and np.array_equal(modality, levels) and levels[0] >= 0:
        return levels.astype(np.uint8), []
    else:
        low, high = modality[first : last + 1].min(), modality[first : last + 1].max()
        shown, step = modality, SCALED
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint((shown.clip(low, high) - low) * scale).astype(np.uint8), [step]
