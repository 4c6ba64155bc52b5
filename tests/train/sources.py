"""What tests train on and predict: a dataset of several origins, and a folder of good and damaged images."""

from pathlib import Path

import datasets
import numpy as np

from tests.hostile import png_bytes
from tests.phantoms import draw_phantom, write_images
from tests.space.imaging.test_dicom import dicom_bytes

GOOD = ["NORMAL/1.png", "NORMAL/2.jpeg", "PNEUMONIA/1.JPG", "other/deep/3.png"]
BAD = {"NORMAL/text.png": b"just text", "empty.jpg": b"", "other/cut.jpeg": None}


def write_sources(root: Path) -> Path:
    """Write images in class folders and elsewhere, DICOM among them, some damaged, and files that are no images."""
    write_images(root, *GOOD)
    (root / "other" / "4.dcm").write_bytes(dicom_bytes(np.asarray(draw_phantom(np.random.default_rng(1), True))))
    cut = (root / "NORMAL" / "2.jpeg").read_bytes()[:900]
    for name, content in BAD.items():
        (root / name).write_bytes(cut if content is None else content)
    for name in ("notes.txt", ".hidden.png", "__MACOSX/1.png", ".git/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no image")
    return root


# Images of each class: {origin: (its hospital, {split: number})}. The first two origins can be judged by themselves.
ORIGINS = {
    "north": ("North", {"train": 20, "validation": 22, "test": 10}),
    "south-a": ("South", {"train": 16, "validation": 20, "test": 10}),
    "south-b": ("South", {"train": 6, "validation": 2, "test": 6}),
}


def write_merged(folder: Path, south: int = 5) -> Path:
    """Write a dataset folder of phantoms with the columns `origin` and `hospital`, every image of another patient.

    Args:
        folder: Is made.
        south: Seed of the images of the hospital "South".
    """
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["NORMAL", "PNEUMONIA"])}
    kinds |= dict.fromkeys(("patient", "source", "origin", "hospital"), datasets.Value("string"))
    (folder / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = []
        for origin, (hospital, counts) in ORIGINS.items():
            random = np.random.default_rng([south if hospital == "South" else 5, len(split), len(rows)])
            for number in range(2 * counts[split]):
                image = png_bytes(np.asarray(draw_phantom(random, bool(number % 2), 64, 64)))
                name = f"{origin}/{split}-{number}"
                values = {"bytes": image, "path": None}, number % 2, name, f"{name}.png", origin, hospital
                rows.append(dict(zip(kinds, values, strict=True)))
        table = datasets.Dataset.from_list(rows, features=datasets.Features(kinds))
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def scores(row: dict[str, str]) -> list[float]:
    """The probabilities in a row of predictions."""
    return [float(value) for name, value in row.items() if name.startswith("prob:")]
