"""Images of more than 8 bits."""

import numpy as np
import pytest

from space.errors import ErrorCode, XrayError
from space.imaging.gray_levels import MOST_LEVELS, ROWS_AT_A_TIME, all_levels, look_up, scale_to_8_bit


def test_an_images_own_range_becomes_0_to_255():
    values = np.array([[100, 4195], [2148, 355]], np.uint16)
    assert scale_to_8_bit(values).tolist() == [[0, 255], [128, 16]]
    assert scale_to_8_bit(values.astype(np.int32) - 4000).tolist() == [[0, 255], [128, 16]]


def test_an_image_of_one_level_becomes_black():
    assert not scale_to_8_bit(np.full((3, 2), 70, np.uint16)).any()


def test_rows_are_looked_up_in_parts_without_a_seam():
    values = np.arange((2 * ROWS_AT_A_TIME + 3) * 2, dtype=np.int32).reshape(-1, 2) - 50
    table = np.random.default_rng(0).integers(0, 256, values.size, np.uint8)
    assert np.array_equal(look_up(table, values, -50).ravel(), table)


def test_more_levels_than_any_device_has_are_refused():
    assert len(all_levels(-5, MOST_LEVELS - 6)) == MOST_LEVELS
    with pytest.raises(XrayError) as caught:
        all_levels(0, MOST_LEVELS)
    assert caught.value.code == ErrorCode.UNSUPPORTED
