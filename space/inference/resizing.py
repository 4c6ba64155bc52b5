"""How a radiograph of any size becomes the model's square input."""

from typing import Literal

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
LARGEST_SIZE = 4096  # pixels; a graph that asks for more would exhaust the memory


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Resizing:
    """A resize with antialiasing, and a crop of the centre.

    Attributes:
        size: Height and width of the input in pixels.
        scaled: Height and width that an image is resized to before the crop; without a crop it equals `size`.
        squash: Whether height and width are resized alike, whatever their ratio; else `scaled` is the shorter side.
        interpolation: The filter.
    """

    size: int = Field(ge=1, le=LARGEST_SIZE)
    scaled: int = Field(ge=1, le=2 * LARGEST_SIZE)
    squash: bool = True
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def lines(self, length: int, shorter: int) -> tuple[int, int]:
        """Rows (or columns) that an image is resized to, and the first of those `size` that stay after the crop.

        Args:
            length: Rows (or columns) of the image.
            shorter: The smaller of both.
        """
        scaled = self.scaled if self.squash else self.scaled * length // shorter
        spare = scaled - self.size
        return scaled, spare // 2 + spare % 2 * (spare // 2 % 2)  # half a line is rounded to an even number

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Resize an image of mode "L": (size, size) uint8."""
        (width, left), (height, top) = (self.lines(length, min(image.size)) for length in image.size)
        resized = image.resize((width, height), FILTERS[self.interpolation])
        return np.asarray(resized)[top : top + self.size, left : left + self.size]
