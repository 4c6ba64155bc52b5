"""The dataset's card: counts from the records, prose from the template."""

from collections import Counter
from itertools import chain
from pathlib import Path

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from huggingface_hub import DatasetCardData

from hub.kaggle import ChestXrayPneumonia, Record
from train.model_card import render_template

SIZE_CATEGORIES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"))


def write_card(
    folder: Path, layout: ChestXrayPneumonia, by_split: dict[str, list[Record]], features: Features, seed: int | None
) -> None:
    """Write README.md into a dataset folder whose parquet files are written already.

    Args:
        folder: Dataset folder.
        layout: Where the pictures come from.
        by_split: The pictures of every split.
        features: The dataset's columns.
        seed: Seed with which validation was cut anew; None: the publisher's own split was kept.
    """
    records = list(chain.from_iterable(by_split.values()))
    patients = {name: len({r.patient for r in rows if r.patient is not None}) for name, rows in by_split.items()}
    pool = len(records) - len(by_split.get("test", ()))
    text = render_template(
        Path(__file__).with_name("dataset_card.md.jinja"),
        front_matter=_front_matter(folder, layout, by_split, features).to_yaml(),
        layout=layout,
        splits=list(by_split),
        images=Counter((record.split, record.label) for record in records),
        patients=patients,
        unknown=sum(record.patient is None for record in records),
        total=len(records),
        percent=100 * len(by_split.get("validation", ())) / max(1, pool),
        seed=seed,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _front_matter(
    folder: Path, layout: ChestXrayPneumonia, by_split: dict[str, list[Record]], features: Features
) -> DatasetCardData:
    """What the Hub reads. The sizes also tell `load_dataset` one version of a folder from another."""
    total = sum(map(len, by_split.values()))
    stored = {name: sum(record.path.stat().st_size for record in rows) for name, rows in by_split.items()}
    info = DatasetInfo(
        features=features,
        splits=SplitDict({name: SplitInfo(name, stored[name], len(rows)) for name, rows in by_split.items()}),
        download_size=sum(path.stat().st_size for path in folder.glob("data/*.parquet")),
        dataset_size=sum(stored.values()),
    )
    files = [{"split": name, "path": f"data/{name}-*"} for name in by_split]
    return DatasetCardData(
        license=layout.license,
        task_categories=["image-classification"],
        size_categories=[next((name for most, name in SIZE_CATEGORIES if total < most), "n>100K")],
        tags=["medical", "chest-x-ray", "radiology"],
        pretty_name=layout.title,
        configs=[{"config_name": "default", "data_files": files}],
        citation=layout.citation,
        dataset_info=info._to_yaml_dict(),
    )
