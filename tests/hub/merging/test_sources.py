"""What can be merged, and what is told of it."""

import pytest
from datasets import load_dataset

from hub.merging.sources import INNER_ORIGIN, MergeSource
from space.errors import UsageError
from tests.hub.converted import report_of


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


def test_the_audit_says_what_became_of_each_source(merged_folder):
    north, south = report_of(merged_folder)["merge"]["sources"]
    assert (north["origin"], north["hospital"], north["license"]) == ("north", "Clinic", "unknown")
    assert (south["dataset"], south["origin"]) == ("south", "South 2")
    assert south["labels"] == {"Healthy": "well", "Other": None, "Sick": "ill"}
    assert south["note"] == "Where it was taken is not known."
    assert INNER_ORIGIN not in load_dataset(str(merged_folder))["train"].column_names  # nothing stood there
