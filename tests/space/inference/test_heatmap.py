import numpy as np
from PIL import Image

from space.inference.heatmap import overlay


def test_the_overlay_leaves_the_radiograph_alone_where_the_map_is_zero():
    image = Image.fromarray(np.full((40, 40), 90, np.uint8))
    activation = np.zeros((4, 4), np.float32)
    assert np.array_equal(np.asarray(overlay(image, activation, 1.0)), np.full((40, 40, 3), 90, np.uint8))
    activation[0, 0] = 3.0
    result = np.asarray(overlay(image, activation, 0.8)).astype(int)
    assert np.abs(result[0, 0] - 90).max() > 50
    assert np.array_equal(result[-1, -1], [90, 90, 90])
    assert np.array_equal(np.asarray(overlay(image, activation, 0.0)), np.full((40, 40, 3), 90, np.uint8))
