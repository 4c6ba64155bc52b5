"""What is kept of an image after it was read once."""

import io

import numpy as np
import pytest

from hub.dataset.image_summary import ImageSummary, summarise_image, summarise_images
from space.errors import XrayError
from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes


def encoded(kind: str, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    draw_phantom(np.random.default_rng(0), pneumonia=True).convert(mode).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "channels", "storable"),
    [("PNG", "L", 1, True), ("PNG", "RGBA", 4, True), ("JPEG", "RGB", 3, True), ("JPEG", "CMYK", 4, False)],
)
def test_a_summary_says_what_the_file_is(kind, mode, channels, storable):
    summary = summarise_image(encoded(kind, mode))
    assert (summary.format, summary.channels, summary.storable, summary.view) == (kind, channels, storable, None)
    assert summary.fingerprint.size == (160, 140)
    assert summary.fingerprint.thumbnail.shape == (64, 64)
    assert summary.histogram.sum() == pytest.approx(1)


def test_a_dicom_file_tells_its_view_and_is_not_stored_as_it_is():
    values = np.asarray(draw_phantom(np.random.default_rng(0), pneumonia=False))
    summary = summarise_image(dicom_bytes(values, ViewPosition="PA"))
    assert (summary.format, summary.channels, summary.storable, summary.view) == ("DICOM", 1, False, "PA")


def test_files_come_back_in_order_and_bad_ones_as_their_errors():
    files = [encoded("PNG"), b"", encoded("JPEG"), b"text"] * 8
    summaries = list(summarise_images((lambda data=data: data for data in files), len(files), workers=2))
    assert [type(summary) for summary in summaries] == [ImageSummary, XrayError, ImageSummary, XrayError] * 8
    assert [summary.format for summary in summaries[::2]] == ["PNG", "JPEG"] * 8
