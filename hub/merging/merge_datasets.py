"""What a merge does: open the datasets, decide about every image, write one dataset with its audit and card."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hub.auditing.merged_card import write_merged_card
from hub.auditing.report import audit, write_audit
from hub.auditing.summary import summarise_merge
from hub.dataset.image_summary import AuditedImage
from hub.dataset.splits import Fractions
from hub.merging.decisions import CONFLICT, Decisions, decide
from hub.merging.describe import describe_merge
from hub.merging.merge_map import MergeMap, SourcePlan, plan_sources, plan_without_map
from hub.merging.merged_rows import MergedRows, merged_features
from hub.merging.sources import MergeImages, MergeSource, read_sources
from space.errors import UsageError
from train.common.atomic_output import check_free, written_whole
from train.common.csv_cells import csv_safe
from train.data.duplicates import Copies, find_copies, group_pairs


@dataclass(frozen=True)
class Options:
    """How datasets are merged.

    Attributes:
        fractions: Sizes and seed of the splits that are cut where a source has none.
        workers: Images handled at a time; None: one per core.
        audit: Measure shortcuts and draw figures; the images and splits are the same without.
        with_samples: Show single images in the card's figures.
    """

    fractions: Fractions = field(default_factory=Fractions)
    workers: int | None = None
    audit: bool = True
    with_samples: bool = False


def merge(names: Sequence[str], output: Path, map_: MergeMap | None, options: Options = Options()) -> dict:
    """Merge datasets into one dataset folder, with images.csv beside what a conversion writes.

    Args:
        names: Dataset folders or repositories; of copies in several of them, the first one's stays.
        output: Folder to make.
        map_: What becomes of their classes, from `read_merge_map`; None: all have the same ones.
        options: How.

    Returns:
        The content of audit.json.

    Raises:
        UsageError: Something is not a dataset, the map does not fit, too little is left, or the output exists.
        ChestXrayError: An image cannot be read.
    """
    check_free(output)
    sources = [MergeSource(name) for name in names]
    labels = {source.dataset.name: source.dataset.labels for source in sources}
    plans = plan_sources(map_, labels) if map_ else plan_without_map(labels)
    merged = read_sources(sources, plans, options.workers)
    copies = find_copies([image.summary.fingerprint for image in merged.images], merged.pixels)
    decisions = decide(
        [image.record for image in merged.images],
        [place.source for place in merged.places],
        copies,
        [plan.copies_of for plan in plans],
        options.fractions,
    )
    placed = replace(merged, images=_placed(merged.images, decisions))
    classes = _classes(map_, plans, sources, placed.images)
    features, columns = merged_features(sources, placed.images, list(classes))
    rows = MergedRows(sources, placed, features)
    with written_whole(output) as folder:
        rows.write(folder, options.workers)
        _write_quarantine(folder, placed, copies)
        facts = {"title": _title(map_, plans), "labels": classes, "columns": columns, "masks": rows.mask_counts}
        made = describe_merge(sources, plans, merged.places, decisions, options.fractions, **facts)
        report = audit(placed.images, copies, None, full=options.audit) | {"merge": asdict(made), "looked_at": "source"}
        report |= {"with_samples": options.with_samples} if options.audit else {}
        pixels = placed.pixels if options.audit else None
        write_audit(folder, report, placed.images, copies, pixels, options.with_samples)
        write_merged_card(folder, report)
    print(summarise_merge(output, report))
    return report


def _title(map_: MergeMap | None, plans: Sequence[SourcePlan]) -> str:
    return (map_.title if map_ else "") or f"Chest X-rays of {' and '.join(plan.origin for plan in plans)}"


def _placed(images: Sequence[AuditedImage], decisions: Decisions) -> list[AuditedImage]:
    """The images with their splits, and why they are dropped."""
    return [
        replace(
            image,
            record=replace(image.record, split=split),
            leak=decisions.dropped.get(index),
            dropped=index in decisions.dropped,
        )
        for index, (image, split) in enumerate(zip(images, decisions.splits, strict=True))
    ]


def _classes(
    map_: MergeMap | None, plans: Sequence[SourcePlan], sources: Sequence[MergeSource], images: Sequence[AuditedImage]
) -> dict[str, str]:
    """{class: its meaning} of the classes that images are left of.

    Raises:
        UsageError: Fewer than two are left.
    """
    left = {image.record.label for image in images if not image.dropped}
    if map_:
        meanings = map_.classes
    else:
        said = sources[0].audit.conversion.labels if sources[0].audit.conversion else {}
        meanings = {label: said.get(label, "as the datasets name it") for label in plans[0].labels}
    if gone := [label for label in meanings if label not in left]:
        print(f"note: no image of class {', '.join(gone)} is left, so it is not in the dataset")
    if len(left) < 2:
        raise UsageError(
            f"a classifier needs at least two classes, but only these are left: {', '.join(left) or 'none'}. Check the "
            "map, and whether the datasets are copies of each other."
        )
    return {label: meaning for label, meaning in meanings.items() if label in left}


def _write_quarantine(folder: Path, merged: MergeImages, copies: Copies) -> None:
    """List the images that were dropped because copies of them have another label, with one such copy."""
    groups = group_pairs(len(merged.images), copies.pairs())
    members: dict[int, list[AuditedImage]] = {}
    for image, group in zip(merged.images, groups, strict=True):
        members.setdefault(group, []).append(image)
    with (folder / "quarantine.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "code", "sentence"])
        for image, group in zip(merged.images, groups, strict=True):
            if image.leak == CONFLICT:
                other = next(o.record for o in members[group] if o.record.label != image.record.label)
                sentence = f"This image is {image.record.label}, but a copy of it is {other.label}: {other.source}."
                table.writerow([csv_safe(image.record.source, "./"), "conflicting_label", csv_safe(sentence)])
