"""Chest-like phantoms in the Kaggle layout: synthetic images that stand in for radiographs in tests and screenshots.

python -m tests.phantoms FOLDER     writes a small chest-xray-pneumonia tree
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

COUNTS = {
    "train": {"NORMAL": 48, "PNEUMONIA": 96},
    "val": {"NORMAL": 4, "PNEUMONIA": 4},
    "test": {"NORMAL": 24, "PNEUMONIA": 24},
}


def draw_phantom(random: np.random.Generator, pneumonia: bool, width: int = 160, height: int = 140) -> Image.Image:
    """Draw a phantom: body, lungs, ribs, spine, heart and noise; pneumonia adds a soft opacity inside one lung.

    Returns:
        Grayscale image, mode "L".
    """
    return draw_masked_phantom(random, pneumonia, width, height)[0]


def draw_masked_phantom(
    random: np.random.Generator, pneumonia: bool, width: int = 160, height: int = 140
) -> tuple[Image.Image, Image.Image]:
    """A phantom and its lung mask (255 where lung is), both of mode "L"."""
    y, x = np.mgrid[0:height, 0:width]
    x = (x / width - 0.5 + random.uniform(-0.04, 0.04)) * random.uniform(0.92, 1.08)
    y = (y / height - 0.5 + random.uniform(-0.04, 0.04)) * random.uniform(0.92, 1.08)

    def ellipse(cx: float, cy: float, rx: float, ry: float, softness: float = 8.0) -> np.ndarray:
        distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        return 1 / (1 + np.exp(np.clip(softness * (distance - 1), -50, 50)))

    image = 0.08 + 0.62 * ellipse(0, 0.1, 0.46, 0.62)
    vary = random.uniform
    lungs = ellipse(-0.19, 0, vary(0.11, 0.15), vary(0.25, 0.33)) + ellipse(0.19, 0, vary(0.11, 0.15), vary(0.25, 0.33))
    ribs = 0.5 + 0.5 * np.cos(2 * np.pi * (vary(7.5, 10.5) * y + vary(3, 9) * x**2 + vary(0, 1)))
    image -= lungs * (0.46 - 0.1 * ribs)
    image += 0.14 * ellipse(0, 0, 0.035, 0.6, 4) + 0.3 * ellipse(0.06, 0.14, vary(0.1, 0.15), vary(0.13, 0.19))
    vessels = Image.fromarray(random.normal(0, 1, (18, 20)).astype(np.float32)).resize((width, height), Image.BICUBIC)
    image += 0.03 * np.asarray(vessels)
    if pneumonia:
        side = random.choice([-1, 1])
        spot = ellipse(side * random.uniform(0.15, 0.22), random.uniform(-0.12, 0.18), 0.09, 0.11, 3)
        image += random.uniform(0.3, 0.42) * spot * lungs.clip(0, 1)
    image = image * random.uniform(0.85, 1.1) + random.normal(0, 0.025, image.shape)
    drawn = Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    return drawn, Image.fromarray(np.where(lungs >= 0.5, 255, 0).astype(np.uint8))


def write_kaggle_tree(folder: Path, counts: dict[str, dict[str, int]] = COUNTS, seed: int = 0) -> Path:
    """Write phantoms as `FOLDER/chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}`, named as Kaggle names them.

    Every second patient has two images. Patients of one split occur in no other.

    Returns:
        `folder`.
    """
    random = np.random.default_rng(seed)
    patient = 0
    for split, classes in counts.items():
        for label, n in classes.items():
            target = folder / "chest_xray" / split / label
            target.mkdir(parents=True)
            for index in range(n):
                patient += index % 3 != 2
                name = _name(label, patient, index)
                draw_phantom(random, label == "PNEUMONIA").save(target / name, quality=92)
    return folder


def write_masked_folder(folder: Path, count: int = 24, seed: int = 0) -> Path:
    """Write phantoms as `FOLDER/images/{healthy,ill}/N.png`, and their lung masks as `FOLDER/masks/...`.

    Returns:
        `folder`.
    """
    random = np.random.default_rng(seed)
    for index in range(count):
        label = ("healthy", "ill")[index % 2]
        for kind, image in zip(("images", "masks"), draw_masked_phantom(random, label == "ill"), strict=True):
            path = folder / kind / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return folder


def write_images(folder: Path, *names: str, seed: int = 0) -> Path:
    """Write one phantom per relative path, each different, in the format that the path's ending asks for.

    Returns:
        `folder`.
    """
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw_phantom(random, bool(random.integers(2))).save(folder / name)
    return folder


def _name(label: str, patient: int, index: int) -> str:
    if label == "PNEUMONIA":
        return f"person{patient}_{('bacteria', 'virus')[patient % 2]}_{1000 + index}.jpeg"
    return f"{('', 'NORMAL2-')[patient % 2]}IM-{patient:04d}-{index:04d}.jpeg"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-") or Path(sys.argv[1]).exists():
        sys.exit("usage: python -m tests.phantoms FOLDER     (FOLDER must not exist yet)")
    print(write_kaggle_tree(Path(sys.argv[1])))
