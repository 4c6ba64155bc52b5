"""Two sources that share images and patients in every way."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from hub.conversion import Options, convert
from hub.merging.merge_datasets import Options as MergeOptions
from hub.merging.merge_datasets import merge
from hub.merging.merge_map import read_merge_map
from tests.phantoms import write_images

MAP = """
[classes]
well = "no finding"
ill = "any finding"

[sources.north]
hospital = "Clinic"

[sources.south]
origin = "South 2"
labels = { Sick = "ill", Healthy = "well", Other = false }
population = "sailors"
note = "Where it was taken is not known."
"""
NORTH = [
    f"{s}/{c}/{i}.png" for s, n in (("train", 12), ("val", 4), ("test", 4)) for c in ("ill", "well") for i in range(n)
]
SOUTH = [
    f"{s}/{c}/{i}.png" for s, n in (("train", 8), ("val", 3), ("test", 3)) for c in ("Sick", "Healthy", "Other")
    for i in range(n)
]  # fmt: skip


@pytest.fixture(scope="session")
def two_sources(tmp_path_factory) -> tuple[Path, Path]:
    """The datasets `north` and `south`, and the images that they share, by their names."""
    folder = tmp_path_factory.mktemp("merged")
    north = write_images(folder / "in" / "north", *NORTH, seed=1)
    south = write_images(folder / "in" / "south", *SOUTH, seed=2)
    shutil.copy(north / "test/ill/0.png", south / "train/Sick/of_test.png")
    changed = Image.open(north / "train/well/2.png").point(lambda v: v * 0.7).resize((200, 180))
    changed.save(south / "train/Healthy/repeated.png")
    shutil.copy(north / "train/ill/3.png", south / "val/Healthy/conflict.png")
    shutil.copy(south / "test/Healthy/1.png", north / "train/well/of_test.png")
    (south / "metadata.csv").write_text(
        "file_name,patient,view\ntrain/Sick/of_test.png,Ann,AP\ntrain/Sick/5.png,Ann,PA\nval/Sick/1.png,Ann,\n"
    )
    (north / "metadata.csv").write_text("file_name,patient\ntrain/well/of_test.png,Ann\nval/well/1.png,Ann\n")
    for name in ("north", "south"):
        convert(folder / "in" / name, folder / name, Options(official=True, keep_names=True, audit=False))
    return folder / "north", folder / "south"


@pytest.fixture(scope="session")
def merge_map(tmp_path_factory) -> Path:
    """A map of the two."""
    path = tmp_path_factory.mktemp("map") / "map.toml"
    path.write_text(MAP)
    return path


@pytest.fixture(scope="session")
def merged_folder(two_sources, merge_map, tmp_path_factory) -> Path:
    """The two, merged."""
    output = tmp_path_factory.mktemp("out") / "both"
    merge([str(path) for path in two_sources], output, read_merge_map(merge_map, ["north", "south"]), MergeOptions())
    return output
