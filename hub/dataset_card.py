"""The dataset's card: counts from the records, prose from the template."""

from collections import Counter
from pathlib import Path

from datasets import DatasetInfo, Features
from huggingface_hub import DatasetCardData

from hub.kaggle import ChestXrayPneumonia, Record
from train.model_card import render_template

SIZE_CATEGORIES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"))


def write_card(
    folder: Path,
    layout: ChestXrayPneumonia,
    records: list[Record],
    features: Features,
    *,
    official: bool,
    fraction: float,
    seed: int,
) -> None:
    """Write README.md into a dataset folder.

    Args:
        folder: Dataset folder.
        layout: Where the pictures come from.
        records: Every picture with its final split.
        features: The dataset's columns.
        official: Whether the publisher's validation split was kept.
        fraction: Share of the validation split, if it was cut anew.
        seed: Seed of that cut.
    """
    splits = list(dict.fromkeys(record.split for record in records))
    images = Counter((record.split, record.label) for record in records)
    patients = {split: len({record.patient for record in records if record.split == split}) for split in splits}
    unknown = sum(record.patient is None for record in records)
    info = DatasetInfo(features=features)
    data = DatasetCardData(
        license=layout.license,
        task_categories=["image-classification"],
        size_categories=[next((name for most, name in SIZE_CATEGORIES if len(records) < most), "n>100K")],
        tags=["medical", "chest-x-ray", "radiology"],
        pretty_name=layout.title,
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in splits],
            }
        ],
        citation=layout.citation,
        dataset_info={"features": info._to_yaml_dict()["features"]},
    )
    text = render_template(
        Path(__file__).with_name("dataset_card.md.jinja"),
        front_matter=data.to_yaml(),
        layout=layout,
        splits=splits,
        images=images,
        patients=patients,
        unknown=unknown,
        total=len(records),
        official=official,
        percent=fraction * 100,
        seed=seed,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
