"""The card of several sources."""

import json
import re

from huggingface_hub import DatasetCard

from hub.auditing.merged_card import write_merged_card
from tests.hub.converted import report_of
from tests.hub.merging.conftest import merge_map, merged_folder, two_sources  # noqa: F401 - fixtures


def test_it_opens_with_every_source_its_licence_and_the_strictest(merged_folder):  # noqa: F811
    card = DatasetCard.load(merged_folder / "README.md")
    first = card.text.split("## What are the sources?")[0]
    assert "| north | Clinic | unknown | 23 | 7 | 8 |" in first
    assert "| South 2 | South 2 | unknown |" in first
    assert "Licence of the whole: other, the strictest of the sources'." in first
    assert (card.data.license, card.data.license_name) == ("other", "several-sources")


def test_it_says_what_was_dropped_how_classes_map_and_counts_them_by_origin(merged_folder):  # noqa: F811
    text = (merged_folder / "README.md").read_text()
    assert "| well | no finding | well | Healthy |" in text
    assert "| dropped | |  | Other |" in text
    assert "| ill | north | 11 | 4 | 4 |" in text
    assert "| test of some source has the patient, as names or copies tell | 1 | 2 |" in text
    assert "How well can the origin be guessed" in text
    assert "Population: sailors.\nWhere it was taken is not known." in text
    assert "- south" not in text.casefold().split("## how were the splits made?")[0]


def test_a_class_of_one_origin_is_the_first_warning(merged_folder, tmp_path):  # noqa: F811
    report = report_of(merged_folder)
    for counts in report["origins"]["north"].values():
        counts["ill"] = 0
    (tmp_path / "data").symlink_to(merged_folder / "data")
    write_merged_card(tmp_path, json.loads(json.dumps(report)))
    text = (tmp_path / "README.md").read_text()
    warning = "- All images of class ill come from South 2: a model may learn the machine, not the class."
    assert warning in text.split("```python")[0]


def test_its_markdown_is_whole(merged_folder):  # noqa: F811
    card = DatasetCard.load(merged_folder / "README.md").text
    for block in re.split(r"\n\s*\n", re.sub(r"^```.*?^```$", "", card, flags=re.MULTILINE | re.DOTALL).strip()):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert not rows or (len(rows) == len(block.splitlines()) and len({row.count("|") for row in rows}) == 1), block
    assert "\n\n\n" not in card
    assert "None" not in card
