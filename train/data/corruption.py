"""A fixed, worse copy of a split: clean validation images are too much like training ones to rank models by."""

import io
import math

import numpy as np
from PIL import Image, ImageFilter

# Part of the cache's key: raise it when the images that come out change.
CORRUPTION_VERSION = 1
SEED = 20201121


def corrupt(image: Image.Image, index: int) -> Image.Image:
    """Crop, change gamma and contrast, blur and re-encode a radiograph, more or less strongly.

    The same index always gives the same change, so every run is judged by the same images.

    Args:
        image: Radiograph, mode "L".
        index: The image's place in its split.

    Returns:
        Radiograph, mode "L", up to 15% smaller along each axis.
    """
    random = np.random.default_rng([SEED, index])
    width, height = image.size
    across, down = (max(1, round(side * random.uniform(0.85, 1.0))) for side in (width, height))
    left, top = (round(random.uniform(0, rest)) for rest in (width - across, height - down))
    image = image.crop((left, top, left + across, top + down))
    gamma, contrast = math.exp(random.uniform(-math.log(1.8), math.log(1.8))), random.uniform(0.6, 1.2)
    levels = (np.arange(256) / 255) ** gamma
    middle = float(levels[np.asarray(image)].mean())
    levels = ((middle + (levels - middle) * contrast).clip(0, 1) * 255).round().astype(np.uint8)
    image = image.point(levels.tolist())
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.008) * min(image.size)))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=int(random.integers(20, 60)))
    return Image.open(encoded).convert("L")
