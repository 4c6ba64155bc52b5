"""The datasets of a merge, opened: their images, and what their cards and audits say of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from huggingface_hub import DatasetCard
from PIL import Image
from yaml import YAMLError

from hub.auditing.audit_file import EarlierAudit, read_earlier_audit
from hub.dataset.image_summary import AuditedImage
from hub.dataset.stored_dataset import StoredDataset
from hub.layouts.base import Layout
from hub.layouts.registry import LAYOUTS
from hub.merging.licences import OTHER
from hub.merging.merge_map import SourcePlan
from space.errors import UsageError, first_line
from train.data.dataset import REQUIRED_COLUMNS, SPLITS

# A dataset's own column `origin` keeps its values under this name.
INNER_ORIGIN = "origin_in_source"


@dataclass(frozen=True)
class Place:
    """Where an image of the merge comes from.

    Attributes:
        source: Number of its dataset.
        row: Its row there.
    """

    source: int
    row: int


class MergeSource:
    """A dataset made by `hub.convert`.

    Args:
        folder_or_repo: Dataset folder, or `owner/name` on the Hub.

    Attributes:
        dataset: Its parquet files.
        audit: What its audit.json says; empty where it has none.

    Raises:
        UsageError: It is no such dataset, or is itself a merge.
    """

    def __init__(self, folder_or_repo: str):
        self.dataset = StoredDataset(folder_or_repo)
        if lacking := REQUIRED_COLUMNS - set(self.dataset.features):
            raise UsageError(
                f"{folder_or_repo} has no column {', '.join(sorted(lacking))}. Give datasets made by "
                "`python -m hub.convert`."
            )
        self.audit: EarlierAudit = read_earlier_audit(self.dataset.folder)
        if self.audit.merge:
            raise UsageError(f"{folder_or_repo} is a merge itself. Give the datasets that it was made of.")

    @property
    def layout(self) -> Layout | None:
        """The layout that it was converted from; None where that is not known."""
        return LAYOUTS.get(self.audit.conversion.layout) if self.audit.conversion else None

    @cached_property
    def card(self) -> dict:
        """The header of its card; empty where it has none.

        Raises:
            UsageError: It is damaged.
        """
        path = self.dataset.folder / "README.md"
        try:
            return DatasetCard.load(path).data.to_dict() if path.exists() else {}
        except (ValueError, YAMLError, OSError) as error:
            raise UsageError(f"{path} has a damaged header: {first_line(error)}") from None

    @property
    def license(self) -> str:
        """The licence that its card states."""
        return str(self.card.get("license") or OTHER)

    def images(self, plan: SourcePlan, workers: int | None) -> tuple[list[AuditedImage], list[int]]:
        """Read the images of the classes that are kept, with common labels, and names that no other source has.

        Returns:
            The images, and the row of each.

        Raises:
            UsageError: A split has no name that we know.
            ChestXrayError: An image cannot be read.
        """
        images, rows = [], []
        for row, image in enumerate(self.dataset.images(workers)):
            record = image.record
            if record.split not in SPLITS:
                raise UsageError(f"{plan.name}: split {record.split} is none of {', '.join(SPLITS)}.")
            if record.label not in plan.labels:
                raise UsageError(f"{plan.name}: image {record.source} has no label.")
            if (label := plan.labels[record.label]) is None:
                continue
            facts = {INNER_ORIGIN if name == "origin" else name: value for name, value in record.facts.items()}
            images.append(
                replace(
                    image,
                    record=replace(
                        record,
                        label=label,
                        source=f"{plan.origin}/{record.source}",
                        patient=record.patient and f"{plan.origin}/{record.patient}",
                        facts=facts | {"origin": plan.origin, "hospital": plan.hospital},
                    ),
                )
            )
            rows.append(row)
        return images, rows


@dataclass(frozen=True)
class MergeImages:
    """The images of all sources, source by source.

    Attributes:
        images: The images.
        places: Where each of them comes from.
        pixels: Gives the i-th in full.
    """

    images: list[AuditedImage]
    places: list[Place]
    pixels: Callable[[int], Image.Image]


def read_sources(sources: Sequence[MergeSource], plans: Sequence[SourcePlan], workers: int | None) -> MergeImages:
    """Read the images of all sources.

    Raises:
        UsageError: A source has a split or a label that cannot be merged.
        ChestXrayError: An image cannot be read.
    """
    images: list[AuditedImage] = []
    places: list[Place] = []
    for number, (source, plan) in enumerate(zip(sources, plans, strict=True)):
        own, rows = source.images(plan, workers)
        images += own
        places += [Place(number, row) for row in rows]
    return MergeImages(images, places, lambda i: sources[places[i].source].dataset.pixels(places[i].row))
