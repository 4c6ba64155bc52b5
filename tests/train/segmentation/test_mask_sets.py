import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from hub.conversion import Options, convert
from space.errors import UsageError
from space.inference.lungs import SIZE
from tests.phantoms import write_masked_folder
from train.data.lung_masks import LUNG
from train.segmentation.mask_sets import load_mask_sets


def test_images_come_with_their_masks_at_the_segmenters_size(masked_dataset):
    sets = load_mask_sets([str(masked_dataset)], 2)
    stored = load_dataset(str(masked_dataset))
    counts = {name: len(split) for name, split in stored.items()}
    assert sets.sources[0].masks == counts
    assert sets.sources[0].dropped == 0
    assert (len(sets.train), len(sets.validation)) == (counts["train"], counts["validation"])
    test = sets.tests["phantoms"]
    assert test.pixels.shape == test.masks.shape == (counts["test"], SIZE, SIZE)
    expected = np.asarray(stored["test"][0]["lung_mask"]).mean() / LUNG
    assert (test.masks[0] == LUNG).mean() == pytest.approx(expected, abs=0.02)
    # Lungs are darker than what surrounds them: image and mask belong together.
    assert test.pixels[0][test.masks[0] == LUNG].mean() < test.pixels[0][test.masks[0] == 0].mean()
    assert set(test.labels) == {"healthy", "ill"}


@pytest.fixture
def overlapping(tmp_path) -> tuple[Path, Path]:
    """Two datasets: the second's test split has two training images of the first, as other files."""
    source = write_masked_folder(tmp_path / "one", 24, seed=5)
    (source / "splits").mkdir()
    for kind in ("images", "masks"):
        for index in range(24):
            label = ("healthy", "ill")[index % 2]
            split = "val" if index < 4 else "test" if index < 8 else "train"
            target = source / "splits" / kind / split / label
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / kind / label / f"{index}.png", target)
    convert(
        source / "splits" / "images", tmp_path / "first",
        Options(masks=source / "splits" / "masks", official=True, audit=False),
    )  # fmt: skip
    other = write_masked_folder(tmp_path / "two", 2, seed=6)
    for kind in ("images", "masks"):
        for index, label in ((0, "healthy"), (1, "ill")):
            (other / "splits" / kind / "test" / label).mkdir(parents=True)
            (other / "splits" / kind / "train" / label).mkdir(parents=True)
            shutil.copy(other / kind / label / f"{index}.png", other / "splits" / kind / "train" / label / "own.png")
            copied = source / kind / label / f"{20 + index}.png"
            shutil.copy(copied, other / "splits" / kind / "test" / label / "copy.png")
    convert(
        other / "splits" / "images", tmp_path / "second",
        Options(masks=other / "splits" / "masks", official=True, audit=False),
    )  # fmt: skip
    return tmp_path / "first", tmp_path / "second"


def test_no_copy_of_a_test_image_of_another_dataset_is_trained_on(overlapping):
    sets = load_mask_sets([str(folder) for folder in overlapping], 2)
    assert len(sets.train) == 16 - 2 + 2
    assert {name: len(images) for name, images in sets.tests.items()} == {"first": 4, "second": 2}
    assert [source.dropped for source in sets.sources] == [2, 0]
    for image in sets.tests["second"].pixels:
        assert all(np.abs(image.astype(int) - trained).mean() > 2 for trained in sets.train.pixels)


def test_datasets_without_masks_are_refused(dataset_folder, masked_dataset, tmp_path):
    with pytest.raises(UsageError, match="no image of split train has a lung mask"):
        load_mask_sets([str(dataset_folder)], 2)
    with pytest.raises(UsageError, match="no such file or folder"):
        load_mask_sets([str(tmp_path / "missing")], 2)
    with pytest.raises(UsageError, match="have the same name"):
        load_mask_sets([str(masked_dataset), str(masked_dataset)], 2)
