"""The one way from a file to an answer: what is answered, what is doubted, what is an error."""

import numpy as np
import pytest
from PIL import Image

from space.errors import ErrorCode, XrayError
from space.imaging.xray import Limits, read_xray
from space.inference.classifier import Classifier
from space.inference.classify import classify_files
from space.inference.guard import Doubt
from tests.conftest import with_damaged_weights


def test_each_file_gets_its_answer_or_its_error_in_order(bundled, phantom, tmp_path):
    (tmp_path / "letter.png").write_text("Dear doctor")

    def fail() -> bytes:
        raise XrayError(ErrorCode.DAMAGED, "The file cannot be unpacked.")

    files = [tmp_path / "letter.png", phantom, tmp_path / "gone.png", phantom.read_bytes(), fail, phantom.read_bytes]
    codes = [ErrorCode.UNKNOWN_FORMAT, None, ErrorCode.MISSING, None, ErrorCode.DAMAGED, None]
    results = classify_files(bundled, files)
    assert [getattr(result, "code", None) for result in results] == codes
    expected = bundled.examine([read_xray(phantom).image])[0].probabilities
    for result, code in zip(results, codes, strict=True):
        if code is None:
            assert result.output.probabilities == pytest.approx(expected, abs=1e-5)
            assert result.output.probabilities.dtype == np.float64
            assert result.xray.image.size == (200, 180)
    assert classify_files(bundled, []) == []


def test_a_file_that_the_system_cannot_read_is_an_error_without_its_path(bundled, tmp_path):
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (error,) = classify_files(bundled, [tmp_path / "circle.png"])
    assert (error.code, str(error)) == (
        ErrorCode.UNREADABLE,
        "The file cannot be read: Too many levels of symbolic links.",
    )


def test_limits_are_kept(bundled, phantom):
    for limits, code in ((Limits(max_bytes=100), "too_many_bytes"), (Limits(max_pixels=100), "too_many_pixels")):
        (error,) = classify_files(bundled, [phantom], limits)
        assert error.code == code


def test_images_are_doubted_only_where_that_is_asked_for(bundled, phantom, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "colour.png")
    Image.fromarray(noise[..., 0]).save(tmp_path / "noise.png")
    files = [phantom, tmp_path / "colour.png", tmp_path / "noise.png"]
    doubts = [result.output.doubt for result in classify_files(bundled, files)]
    assert doubts == [None, Doubt.COLOUR, Doubt.UNLIKE]
    unguarded = classify_files(bundled, files, guarded=False)
    assert [result.output.doubt for result in unguarded] == [None] * 3


def test_weights_that_are_not_numbers_are_an_error(three_classes, phantom, tmp_path):
    (error,) = classify_files(Classifier.load(with_damaged_weights(three_classes, tmp_path / "damaged")), [phantom])
    assert (error.code, str(error).startswith("The model returned no valid")) == (ErrorCode.NOT_FINITE, True)
