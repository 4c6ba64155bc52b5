"""What all layouts share: which files are images, and what each layout says of itself."""

import shutil

import pytest
from datasets import load_dataset

from hub.conversion import Options, convert
from hub.layouts.registry import LAYOUTS
from tests.hub.layouts.trees import read
from tests.phantoms import write_images


def test_folders_of_masks_are_never_images(tmp_path):
    write_images(tmp_path, "ill/1.png", "well/2.png", "masks/ill/1.png", "lung masks/2.png", "infection_mask/3.png")
    assert {record.source for record in read(tmp_path)[1]} == {"ill/1.png", "well/2.png"}


@pytest.mark.parametrize("layout", list(LAYOUTS.values()), ids=list(LAYOUTS))
def test_every_layout_says_where_it_comes_from(layout):
    assert layout.citation and layout.license and layout.license_note and layout.patient_rule and layout.structure
    if layout.name != "image-folder":
        assert layout.slug.count("/") == 1
        assert layout.link.startswith("https://www.kaggle.com/")
        assert all(layout.labels.values())
        assert layout.problems


def test_a_tree_that_stands_twice_is_read_once(kaggle_folder, tmp_path):
    inner = tmp_path / "twice" / "chest_xray"
    shutil.copytree(kaggle_folder / "chest_xray", inner)
    shutil.copytree(kaggle_folder / "chest_xray", inner / "chest_xray")
    shutil.copytree(kaggle_folder / "chest_xray", tmp_path / "twice" / "__MACOSX" / "chest_xray")
    (inner / "train" / "NORMAL" / "._IM-0001.jpeg").write_bytes(b"junk")
    (inner / "train" / "NORMAL" / ".DS_Store").write_bytes(b"junk")
    convert(tmp_path / "twice", tmp_path / "out", Options(audit=False))
    assert sum(load_dataset(str(tmp_path / "out")).num_rows.values()) == 200
