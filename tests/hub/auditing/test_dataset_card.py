"""The dataset's card: what a reader needs first, for every layout, and the rest in order."""

import re

import pytest
from huggingface_hub import DatasetCard

from hub.auditing.dataset_card import write_card
from hub.layouts.registry import LAYOUTS
from space.errors import UsageError
from tests.hub.converted import report_of

MOST_LINES, WIDTH = 25, 120  # of what a reader needs first; a longer line counts as several


def card_of(folder, layout: str, labels: list[str], **changes) -> str:
    """The card of the phantoms' folder, if they were of another layout and had other classes."""
    report = report_of(folder)
    report["counts"] = {split: dict.fromkeys(labels, 1234) for split in report["counts"]}
    report["conversion"] |= {"layout": layout, "labels": dict.fromkeys(labels, "a meaning")} | changes
    write_card(folder, report)
    return DatasetCard.load(folder / "README.md").text


def summary_of(card: str) -> list[str]:
    """Lines of text before the second heading; a table's row is one, a line that is too long is several."""
    lines = [line for line in re.split(r"^## |<details", card, flags=re.MULTILINE)[0].splitlines() if line.strip()]
    return [line for line in lines for _ in range(1 if line.startswith("|") else -(-len(line) // WIDTH))]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_card_of_every_layout_opens_with_what_a_reader_needs(phantoms, layout):
    labels = list(LAYOUTS[layout].labels) or [f"class {number}" for number in range(40)]
    lines = summary_of(card_of(phantoms, layout, labels, leaks_kept=True, leaks={"exact copy": 3}))
    assert len(lines) <= MOST_LINES, len(lines)
    text = "\n".join(lines)
    for needed in ("not a medical device", "| 1,234 |", f"Licence: {LAYOUTS[layout].license}", "load_dataset("):
        assert needed in text or (needed == "| 1,234 |" and len(labels) > 5), needed
    assert "Scores on test are flattered: 3 images" in text
    bullets = re.findall("^- ", "\n".join(dict.fromkeys(lines)), re.MULTILINE)
    assert len(bullets) == (5 if LAYOUTS[layout].problems else 4)  # licence, author, two or three problems


def test_the_strongest_shortcut_comes_before_what_is_known_of_the_source(phantoms):
    report = report_of(phantoms)
    report["shortcuts"] = {
        cue: {"auroc": {"NORMAL": auroc, "PNEUMONIA": auroc}, "chance": 0.5, "n": 200}
        for cue, auroc in (("outer frame", 0.85), ("brightness histogram", 0.95))
    }
    report["warnings"] = ["The outer frame alone tells.", "The brightness histogram alone tells."]
    write_card(phantoms, report)
    text = "\n".join(summary_of(DatasetCard.load(phantoms / "README.md").text))
    assert "- The brightness histogram alone tells.\n" in text
    assert "The outer frame alone tells" not in text
    assert LAYOUTS["chest-xray-pneumonia"].problems[0] in text
    assert "flattered" not in text


def test_details_are_folded_and_markdown_is_whole(dataset_folder):
    card = DatasetCard.load(dataset_folder / "README.md").text
    assert card.count("<details>") == card.count("</details>") == 1
    folded = card.split("<details>")[1].split("</details>")[0]
    assert "| exact copies (equal pixels) |" in folded
    assert "](figures/class_balance.png)" in folded
    for block in re.split(r"\n\s*\n", re.sub(r"^```.*?^```$", "", card, flags=re.MULTILINE | re.DOTALL).strip()):
        lines = block.splitlines()
        rows = [line for line in lines if line.startswith("|")]
        assert len(lines) == 1 or not any(line.startswith("#") for line in lines), block
        assert not rows or (len(rows) == len(lines) and len({line.count("|") for line in rows}) == 1), block
    assert "\n\n\n" not in card
    assert "None" not in card


def test_class_names_stay_inside_their_cells(phantoms):
    card = card_of(phantoms, "image-folder", ["a|b", "two\nlines"])
    assert "| a\\|b | 1,234 | 1,234 | 1,234 |" in card
    assert "| two lines | 1,234 | 1,234 | 1,234 |" in card
    assert "| cue | a\\|b | two lines |" in card


def test_a_split_whose_files_lie_elsewhere_has_no_card(phantoms):
    path = next(phantoms.glob("data/test-*"))
    path.rename(phantoms / path.name)
    with pytest.raises(UsageError, match=r"images of split test elsewhere than in data/test-\*\.parquet"):
        write_card(phantoms, report_of(phantoms))
