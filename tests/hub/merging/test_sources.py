"""What can be merged, and what is told of it."""

import pytest
from datasets import load_dataset

from hub.merging.sources import MergeSource
from space.errors import UsageError


def test_a_merge_is_not_merged_again(merged_folder):
    with pytest.raises(UsageError, match=r"is a merge itself\. Give the datasets"):
        MergeSource(str(merged_folder))


def test_what_hub_convert_did_not_make_lacks_columns(two_sources, tmp_path):
    rows = load_dataset(str(two_sources[0]))["train"].remove_columns(["patient", "source"])
    (tmp_path / "data").mkdir()
    rows.to_parquet(tmp_path / "data" / "train.parquet")
    with pytest.raises(UsageError, match="no column patient, source"):
        MergeSource(str(tmp_path))


def test_a_dataset_without_a_card_has_no_known_licence(leaky_dataset, tmp_path):
    source = MergeSource(str(leaky_dataset))
    assert (source.license, source.layout.name) == ("unknown", "image-folder")
    source.dataset.folder = tmp_path
    del source.__dict__["card"]
    assert source.license == "other"
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    del source.__dict__["card"]
    with pytest.raises(UsageError, match="damaged header"):
        _ = source.license
