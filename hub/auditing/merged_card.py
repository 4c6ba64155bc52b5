"""The card of several datasets that were merged: every number from audit.json, prose from the template."""

from pathlib import Path

from hub.auditing.dataset_card import front_matter, measured_problems
from train.common.atomic_output import write_text_whole
from train.common.templates import render_template

MOST_PROBLEMS = 4  # that the card opens with


def write_merged_card(folder: Path, report: dict) -> None:
    """Write README.md into a merged dataset folder whose other files are written already.

    Args:
        folder: Dataset folder.
        report: The content of its audit.json, with a `merge` section.

    Raises:
        UsageError: The files of a split are not where a merge writes them.
    """
    facts = report["merge"]
    citations = dict.fromkeys(source["citation"] for source in facts["sources"] if source["citation"])
    text = render_template(
        Path(__file__).with_name("merged_card.md.jinja"),
        front_matter=front_matter(
            folder,
            report,
            pretty_name=facts["title"],
            license=facts["license"],
            **({"license_name": "several-sources"} if facts["license"] == "other" else {}),
            **({"citation": " ".join(citations)} if citations else {}),
        ),
        audit=report,
        facts=facts,
        main_problems=measured_problems(report)[:MOST_PROBLEMS],
        figures=sorted(path.name for path in (folder / "figures").glob("*.png")),
    )
    write_text_whole(folder / "README.md", text)
