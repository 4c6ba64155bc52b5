"""The dataset's card: every number from audit.json, prose from the template."""

from pathlib import Path

import pyarrow.parquet as pq
from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from hub.auditing.counts import one_origin_warnings
from hub.layouts.base import Layout
from hub.layouts.registry import LAYOUTS
from space.errors import UsageError
from train.common.atomic_output import write_text_whole
from train.common.templates import render_template
from train.data.boxes import MEANING

SIZE_CATEGORIES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"))
MOST_ROWS = 5  # classes in the table that the card opens with


def write_card(folder: Path, report: dict) -> None:
    """Write README.md into a dataset folder whose other files are written already.

    Args:
        folder: Dataset folder.
        report: The content of its audit.json, with a `conversion` section.

    Raises:
        UsageError: The files of a split are not where a conversion writes them.
    """
    layout = LAYOUTS[report["conversion"]["layout"]]
    text = render_template(
        Path(__file__).with_name("dataset_card.md.jinja"),
        front_matter=front_matter(
            folder,
            report,
            pretty_name=layout.title,
            license=layout.license,
            **({"license_name": layout.name, "license_link": layout.link} if layout.license == "other" else {}),
            **({"citation": layout.citation} if layout.slug else {}),
        ),
        layout=layout,
        audit=report,
        facts=report["conversion"],
        boxes_meaning=MEANING,
        most_rows=MOST_ROWS,
        main_problems=_problems(layout, report)[:3],
        figures=sorted(path.name for path in (folder / "figures").glob("*.png")),
    )
    write_text_whole(folder / "README.md", text)


def _problems(layout: Layout, report: dict) -> list[str]:
    """What is wrong with a dataset, in sentences, what misleads most first: what was measured, then what is known."""
    facts, sentences = report["conversion"], []
    if facts["leaks_kept"] and facts["leaks"]:
        n = sum(facts["leaks"].values())
        why = f"{n:,} images of the other splits are in test too, as asked for"
        sentences.append(f"Scores on test are flattered: {why}.")
    return [*sentences, *measured_problems(report), *layout.problems]


def measured_problems(report: dict) -> list[str]:
    """What an audit measured to be wrong with a dataset, in sentences, what misleads most first."""
    sentences = one_origin_warnings(report["origins"])
    if n := sum(report["patients_across_splits"].values()):
        sentences.append(f"{n:,} patients are in two splits.")
    if shortcuts := report.get("shortcuts"):
        strongest = max(shortcuts, key=lambda cue: max(shortcuts[cue]["auroc"].values()))
        sentences += [warning for warning in report["warnings"] if warning.startswith(f"The {strongest} ")]
    else:
        sentences.append("Whether the frame or size of an image gives its class away was not measured.")
    if not sum(report["patients"]["known"].values()):
        sentences.append("Patients are not known, so one person may be in several splits.")
    left = [[entry for entry in group if "dropped" not in entry] for group in report["label_conflicts"]]
    if n := sum(len({entry["label"] for entry in group}) > 1 for group in left):
        sentences.append(f"{n:,} groups of copies have different labels.")
    return sentences


def front_matter(folder: Path, report: dict, **facts: str) -> str:
    """What the Hub reads of a card, as YAML. The sizes also tell `load_dataset` one version of a folder from another.

    Args:
        folder: Dataset folder, whose other files are written already.
        report: The content of its audit.json.
        facts: The dataset's title (`pretty_name`), licence and citation.

    Raises:
        UsageError: The files of a split are not where a conversion writes them.
    """
    splits = SplitDict()
    for name in report["counts"]:
        files = [pq.ParquetFile(path) for path in sorted(folder.glob(f"data/{name}-*.parquet"))]
        if not files:
            raise UsageError(f"{folder} has images of split {name} elsewhere than in data/{name}-*.parquet. Move them.")
        n_bytes = sum(f.metadata.row_group(g).total_byte_size for f in files for g in range(f.num_row_groups))
        splits.add(SplitInfo(name, n_bytes, sum(file.metadata.num_rows for file in files)))
    info = DatasetInfo(
        features=Features.from_arrow_schema(files[0].schema_arrow),
        splits=splits,
        download_size=sum(path.stat().st_size for path in folder.glob("data/*.parquet")),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )
    data = DatasetCardData(
        task_categories=["image-classification"],
        size_categories=[next((name for most, name in SIZE_CATEGORIES if report["images"] < most), "100K<n<1M")],
        tags=["medical", "chest-x-ray", "radiology"],
        configs=[
            {"config_name": "default", "data_files": [{"split": s, "path": f"data/{s}-*"} for s in report["counts"]]}
        ],
        **facts,
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data.to_yaml()
