"""How many X-rays the bundled model's guard lets pass, and how many other images it refuses.

python -m tests.benchmarks.guard [DATASET ...]     folders made by hub.convert, whose test images should pass
"""

import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from space.inference.classifier import Classifier
from tests.conftest import DEFAULT_MODEL
from tests.phantoms import draw_phantom
from train.data.dataset import load_data

N, BATCH_SIZE = 300, 32
# Photographs that come with packages which are installed anyway.
PHOTOGRAPHS = {
    "sklearn": "datasets/images/*.jpg",
    "matplotlib": "mpl-data/sample_data/*.jpg",
    "gradio": "test_data/*.jpg",
}


def photographs(random: np.random.Generator) -> Iterator[Image.Image]:
    """Gray crops of photographs; in colour they would be refused for that alone."""
    paths = [
        path for package, pattern in PHOTOGRAPHS.items() for path in sorted(Path(str(files(package))).glob(pattern))
    ]
    whole = [Image.open(path).convert("L") for path in paths]
    print(f"photographs: crops of {', '.join(path.name for path in paths)}")
    for index in range(N):
        image = whole[index % len(whole)]
        side = random.uniform(0.3, 1) * min(image.size)
        width, height = round(side * random.uniform(0.75, 1)), round(side)
        x, y = random.integers(0, image.width - width + 1), random.integers(0, image.height - height + 1)
        yield image.crop((x, y, x + width, y + height))


def text(random: np.random.Generator) -> Iterator[Image.Image]:
    """Pages of dark words on light paper, and some the other way round."""
    for index in range(N):
        width, height = (int(side) for side in random.integers(300, 900, 2))
        page, size = Image.new("L", (width, height), int(random.integers(200, 256))), int(random.integers(10, 28))
        draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
        for y in range(10, height - size, round(size * 1.4)):
            words = ("".join(map(chr, random.integers(97, 123, random.integers(2, 10)))) for _ in range(14))
            draw.text((20, y), " ".join(words), int(random.integers(0, 90)), font)
        yield page if index % 4 else page.point(lambda value: 255 - value)


def drawings(random: np.random.Generator) -> Iterator[Image.Image]:
    """Ellipses, boxes and lines, dark on light and light on dark."""
    for index in range(N):
        width, height = (int(side) for side in random.integers(200, 700, 2))
        page = Image.new("L", (width, height), 255)
        draw = ImageDraw.Draw(page)
        for _ in range(int(random.integers(3, 25))):
            (x0, x1), (y0, y1) = (sorted(random.integers(0, side, 2).tolist()) for side in (width, height))
            colour = int(random.integers(0, 200))
            shape = random.choice([draw.ellipse, draw.rectangle])
            shape(
                (x0, y0, x1 + 1, y1 + 1),
                **({"fill": colour} if random.random() < 0.4 else {"outline": colour, "width": 3}),
            )
        yield page if index % 2 else page.point(lambda value: 255 - value)


def noise(random: np.random.Generator) -> Iterator[Image.Image]:
    """White noise, and clouds whose spectrum falls with the frequency to the power of 0.7, 1.4 and 2.1."""
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    frequency[0, 0] = 1 / 256
    for index in range(N):
        values = np.fft.ifft2(np.fft.fft2(random.standard_normal((256, 256))) / frequency ** (index % 4 * 0.7)).real
        yield Image.fromarray(((values - values.min()) / np.ptp(values) * 255).astype(np.uint8))


def phantoms(random: np.random.Generator) -> Iterator[Image.Image]:
    """The phantoms of the tests, which look like chests on purpose."""
    for index in range(N):
        yield draw_phantom(random, bool(index % 2), 300, 280)


KINDS: tuple[Callable[[np.random.Generator], Iterator[Image.Image]], ...] = (
    photographs,
    text,
    drawings,
    noise,
    phantoms,
)


def refused(classifier: Classifier, images: list[Image.Image]) -> float:
    """The share of images that the guard doubts."""
    starts = range(0, len(images), BATCH_SIZE)
    doubts = [one.doubt for start in starts for one in classifier.examine(images[start : start + BATCH_SIZE])]
    return float(np.mean([doubt is not None for doubt in doubts]))


def main() -> None:
    """Print the shares."""
    classifier = Classifier.load(DEFAULT_MODEL)
    for folder in sys.argv[1:]:
        data = load_data(folder)
        images = [image.convert("L") for image in data.splits["test"]["image"]]
        turned = [image.transpose(Image.Transpose.ROTATE_180) for image in images]
        print(
            f"{data.name}, test: {1 - refused(classifier, images):.1%} of {len(images):,} pass; upside down, "
            f"{refused(classifier, turned):.1%} are refused"
        )
    for draw in KINDS:
        images = list(draw(np.random.default_rng(1)))
        print(f"{draw.__name__}: {refused(classifier, images):.1%} of {len(images):,} refused")


if __name__ == "__main__":
    main()
