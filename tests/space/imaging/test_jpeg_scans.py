"""A JPEG file of scans without end."""

import pytest

from space.errors import ErrorCode, XrayError
from space.imaging.jpeg_scans import MOST_SCANS, check_scans
from tests.hostile import jpeg_of_scans


def test_a_file_of_too_many_scans_is_refused_before_it_is_decoded():
    check_scans(jpeg_of_scans(1))
    with pytest.raises(XrayError) as caught:
        check_scans(jpeg_of_scans(MOST_SCANS))
    assert caught.value.code == ErrorCode.DAMAGED
