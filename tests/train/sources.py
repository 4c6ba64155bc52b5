"""A folder of images as people have them, good ones and damaged ones."""

from pathlib import Path

import numpy as np

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


def scores(row: dict[str, str]) -> list[float]:
    """The probabilities in a row of predictions."""
    return [float(value) for name, value in row.items() if name.startswith("prob:")]
