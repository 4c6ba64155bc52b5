"""A class activation map as colours on top of its radiograph."""

import numpy as np
from PIL import Image

# Anchors of matplotlib's colour maps, at equal distances. All rise evenly in lightness, so they also read in gray;
# cividis was made to look the same to colour-blind people (Nunez et al., PLOS ONE 13(7), 2018).
_ANCHORS = {
    "inferno": [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)],
    "viridis": [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)],
    "cividis": [(0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56)],
}


def _palette(anchors: list[tuple[int, int, int]]) -> bytes:
    channels = [np.interp(np.linspace(0, 4, 256), range(5), channel) for channel in np.array(anchors).T]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()


PALETTES = {name: _palette(anchors) for name, anchors in _ANCHORS.items()}  # 256 x RGB each


def overlay(image: Image.Image, activation: np.ndarray, opacity: float, colours: str = "inferno") -> Image.Image:
    """Lay a class activation map over its radiograph.

    The map is scaled by its own maximum; where it is zero the radiograph stays as it is.

    Args:
        image: Radiograph, mode "L".
        activation: Map (h, w), values >= 0; covers the whole image.
        opacity: Opacity at the map's maximum, in [0, 1].
        colours: Name of one of `PALETTES`.

    Returns:
        RGB image of the size of `image`.
    """
    peak = float(activation.max())
    scaled = (activation * (255 / peak) if peak > 0 else activation).astype(np.uint8)
    # Pillow blends in 8 bits: in floating point a large radiograph would take gigabytes.
    heat = Image.fromarray(scaled).resize(image.size, Image.Resampling.BICUBIC)
    colour = heat.copy()
    colour.putpalette(PALETTES[colours])
    mask = heat.point([round(opacity * value) for value in range(256)])
    return Image.composite(colour.convert("RGB"), image.convert("RGB"), mask)
