"""Images of more than 8 bits: what happens to them is worked out per gray level, and looked up per pixel."""

import numpy as np

from space.errors import ErrorCode, XrayError

SCALED = "scaled from more than 8 bits by its own range"
MOST_LEVELS, ROWS_AT_A_TIME = 2**20, 256


def scale_to_8_bit(values: np.ndarray) -> np.ndarray:
    """Map the range of integer values (H, W) linearly onto 0..255, uint8; all zero where they are all the same."""
    low, high = int(values.min()), int(values.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    return look_up(np.rint((all_levels(low, high) - low) * scale).astype(np.uint8), values, low)


def all_levels(low: int, high: int) -> np.ndarray:
    """Every integer from low to high: what is done to the levels need not be done to millions of pixels.

    Raises:
        XrayError: They are more than `MOST_LEVELS`.
    """
    if high - low >= MOST_LEVELS:
        raise XrayError(
            ErrorCode.UNSUPPORTED,
            f"The image has {high - low + 1:,} gray levels; at most {MOST_LEVELS:,} are supported.",
        )
    return np.arange(low, high + 1)


def look_up(table: np.ndarray, values: np.ndarray, low: int) -> np.ndarray:
    """`table[values - low]`, some rows at a time: indices of a whole image would take eight bytes a pixel."""
    image = np.empty(values.shape, table.dtype)
    for row in range(0, len(values), ROWS_AT_A_TIME):
        image[row : row + ROWS_AT_A_TIME] = table[values[row : row + ROWS_AT_A_TIME].astype(np.int64) - low]
    return image
