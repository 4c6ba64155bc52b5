"""Classes renamed, merged and dropped."""

import pytest

from hub.convert import main
from hub.dataset.relabel import apply_map
from hub.layouts.registry import LAYOUTS
from space.errors import UsageError
from tests.commands import call
from tests.hub.layouts.trees import read
from tests.phantoms import write_images
from train.data.dataset import load_data


def test_labels_are_renamed_merged_and_dropped(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/{i}.png" for c in ("flu", "tb", "well", "odd") for i in range(12)))
    (tmp_path / "map.toml").write_text('flu = "ill"\ntb = "ill"\nodd = false\n')
    done = call(main, tmp_path / "in", "--output", tmp_path / "out", "--labels", tmp_path / "map.toml", "--no-audit")
    assert done.returncode == 0, done.stderr
    data = load_data(str(tmp_path / "out"))
    assert data.labels == ["ill", "well"]
    counts = [sum(list(split["label"]).count(k) for split in data.splits.values()) for k in (0, 1)]
    assert counts == [24, 12]
    assert "odd → dropped" in (tmp_path / "out" / "README.md").read_text()


def test_classes_that_differ_by_case_alone_are_refused(tmp_path):
    write_images(tmp_path, "train/Normal/1.png", "train/ill/1.png", "test/normal/1.png", "test/ill/2.png")
    with pytest.raises(UsageError, match="differ only in case"):
        apply_map(read(tmp_path)[1], LAYOUTS["image-folder"], {})
