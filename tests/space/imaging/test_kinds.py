"""Which files are images, by their names and by their first bytes."""

import io

import numpy as np
import pytest
from PIL import Image

from space.imaging.archives import Folder, Zip
from space.imaging.kinds import is_image
from tests.space.imaging.test_archives import write_zip
from tests.space.imaging.test_dicom import dicom_bytes


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (9, 9)).save(buffer, kind)
    return buffer.getvalue()


IMAGES = {
    "IMG0001": dicom_bytes(np.zeros((9, 9), np.uint8)),
    "scan.IMA": dicom_bytes(np.zeros((9, 9), np.uint8)),
    "1.2.840.7": dicom_bytes(np.zeros((9, 9), np.uint8)),
    "a.jfif": encoded("JPEG"),
    "a.jpe": encoded("JPEG"),
    "png": encoded("PNG"),
    "bmp": encoded("BMP"),
    "webp": encoded("WEBP"),
    "tiff": encoded("TIFF"),
    "gif": encoded("GIF"),
    "jp2": encoded("JPEG2000"),
    "text.png": b"named like an image",
}
OTHERS = {"notes.txt": b"notes", "empty": b"", "BMI.csv": b"BMI,age\n31,54\n", "a.pdf": b"%PDF-1.7" + bytes(200)}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_images_are_told_by_name_or_content(tmp_path, kind):
    if kind == "zip":
        source = Zip(write_zip(tmp_path / "x.zip", IMAGES | OTHERS))
    else:
        for name, data in (IMAGES | OTHERS).items():
            (tmp_path / name).write_bytes(data)
        source = Folder(tmp_path)
    assert {name for name in source.sizes if is_image(source, name)} == set(IMAGES)


def test_what_cannot_be_opened_is_no_image(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert not is_image(Folder(tmp_path), "gone")
    path = write_zip(tmp_path / "x.zip", {"a": encoded("PNG")})
    data = bytearray(path.read_bytes())
    data[31:40] = bytes(9)
    path.write_bytes(data)
    assert not is_image(Zip(path), "a")
