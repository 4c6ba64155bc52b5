"""A source into a dataset folder: every image read once, split, stripped of names, written with its audit and card."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from hub.auditing.audit_file import Conversion
from hub.auditing.dataset_card import write_card
from hub.auditing.report import audit, write_audit
from hub.auditing.summary import summarise_conversion
from hub.dataset.image_summary import AuditedImage
from hub.dataset.open_source import open_source
from hub.dataset.parquet_writer import features_of, write_split
from hub.dataset.rows import MaskFolder, RowMaker, shown_images
from hub.dataset.source_images import NO_IMAGE, Listing, SourceImages, list_images, read_images
from hub.dataset.splits import Fractions, SplitAssignment, assign_splits
from hub.layouts.registry import check_layout
from space.errors import UsageError, XrayError
from space.imaging.archives import Folder
from train.common.atomic_output import check_free, written_whole
from train.common.csv_cells import csv_safe
from train.data.dataset import SPLITS
from train.data.duplicates import find_copies


@dataclass(frozen=True)
class Options:
    """How a source is converted.

    Attributes:
        layout: Name of the layout; None: recognised from the source.
        size: Longest side of the stored images in pixels; None: images keep their own.
        fractions: Sizes and seed of the new splits.
        official: Keep the publisher's splits, all of them.
        labels: {class: new name, or None to drop it}.
        masks: Folder of lung masks with the images' relative paths and stems.
        workers: Files handled at a time; None: one per core.
        keep_leaks: Keep train and validation images that test holds too.
        keep_names: Keep file names and patient keys of private sources.
        allow_bad: Go on however many files cannot be read.
        any_body_part: Keep images whose DICOM tags say that they are no frontal chest radiographs.
        audit: Look for copies' conflicts and shortcuts and draw figures; splits are made alike without.
        with_samples: Show single images in the card and its figures.
    """

    layout: str | None = None
    size: int | None = None
    fractions: Fractions = field(default_factory=Fractions)
    official: bool = False
    labels: dict[str, str | None] | None = None
    masks: Path | None = None
    workers: int | None = None
    keep_leaks: bool = False
    keep_names: bool = False
    allow_bad: bool = False
    any_body_part: bool = False
    audit: bool = True
    with_samples: bool = False


def convert(source: str | Path, output: Path, options: Options = Options()) -> dict:
    """Convert a source into a dataset folder (README.md, audit.json, quarantine.csv and data/<split>-*.parquet).

    Args:
        source: Folder, zip, or `kaggle:owner/name`.
        output: Folder to make.
        options: How.

    Returns:
        The content of audit.json.

    Raises:
        UsageError: The source has no known layout, its tables or an option do not fit it, or the output exists.
        ChestXrayError: The zip is damaged or hostile, or too many files cannot be read.
    """
    check_free(output)
    check_layout(options.layout)
    opened = open_source(str(source))
    if isinstance(opened, Folder) and output.resolve().is_relative_to(opened.root.resolve()):
        raise UsageError(f"--output {output} lies inside the source and would be read as part of it. Name another.")
    listing = list_images(opened, options.layout, options.labels or {})
    masks = MaskFolder(options.masks, listing.records) if options.masks else None
    read = read_images(listing, options.workers, options.allow_bad, options.any_body_part)
    copies = find_copies([image.summary.fingerprint for image in read.images], read.pixels)
    records = [image.record for image in read.images]
    assigned = assign_splits(records, copies, options.fractions, options.official, options.keep_leaks)
    private = listing.layout.private or any(image.summary.format == "DICOM" for image in read.images)
    images = _with_splits(read.images, assigned, options.keep_leaks)
    images = shown_images(images, listing.layout, hide_names=private and not options.keep_names)
    features = features_of(listing.layout, list(read.labels), boxes=any(image.record.boxes for image in images))
    maker = RowMaker(opened, features, options.size, masks)
    with written_whole(output) as folder:
        _write_rows(folder, maker, images, options.workers)
        _write_quarantine(folder, read.unreadable + maker.bad_masks, read.not_frontal + listing.left_out)
        made = _conversion(listing, read, assigned, maker, options, private)
        report = audit(images, copies, made, full=options.audit) | {"looked_at": "source"}
        report |= {"with_samples": options.with_samples} if options.audit else {}
        write_audit(folder, report, images, copies, read.pixels if options.audit else None, options.with_samples)
        write_card(folder, report)
    print(summarise_conversion(output, report))
    return report


def _with_splits(images: Sequence[AuditedImage], assigned: SplitAssignment, keep_leaks: bool) -> list[AuditedImage]:
    """The images with their splits and leaks."""
    placed = []
    for index, (image, split) in enumerate(zip(images, assigned.splits, strict=True)):
        leak = assigned.leaks.get(index)
        record = replace(image.record, split=split)
        placed.append(replace(image, record=record, leak=leak, dropped=bool(leak) and not keep_leaks))
    return placed


def _write_rows(folder: Path, maker: RowMaker, images: Sequence[AuditedImage], workers: int | None) -> None:
    (folder / "data").mkdir()
    kept = [image for image in images if not image.dropped]
    with tqdm(total=len(kept), desc="writing", unit="img") as bar:
        for split in SPLITS:
            rows = (maker.row(image) for image in kept if image.record.split == split)
            write_split(folder / "data", split, rows, maker.features, workers, bar)


def _write_quarantine(
    folder: Path, unreadable: list[tuple[str, XrayError]], left_out: list[tuple[str, str, str]]
) -> None:
    rows = [(name, error.code, str(error)) for name, error in unreadable] + left_out
    with (folder / "quarantine.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "code", "sentence"])
        table.writerows([csv_safe(name, "./"), code, csv_safe(sentence)] for name, code, sentence in rows)


def _conversion(
    listing: Listing, read: SourceImages, assigned: SplitAssignment, maker: RowMaker, options: Options, private: bool
) -> Conversion:
    """What audit.json and the card say of how the dataset was made."""
    layout = listing.layout
    return Conversion(
        layout=layout.name,
        link=layout.link,
        about=layout.about,
        patient_rule=layout.patient_rule,
        labels=read.labels,
        renamed_labels=options.labels or {},
        official_splits=options.official,
        official_test=assigned.official_test,
        fractions={"validation": options.fractions.validation, "test": options.fractions.test},
        seed=options.fractions.seed,
        size=options.size,
        leaks=dict(sorted(Counter(assigned.leaks.values()).items())),
        shared_keys=assigned.shared_keys,
        leaks_kept=options.keep_leaks,
        quarantined=dict(sorted(Counter(str(error.code) for _, error in read.unreadable).items())),
        bad_masks=len(maker.bad_masks),
        masks=maker.mask_counts,
        boxes=maker.box_count,
        outside_layout=listing.outside,
        not_frontal=len(read.not_frontal),
        not_images=sum(code == NO_IMAGE for _, code, _ in listing.left_out),
        names_hidden=private and not options.keep_names,
        names_kept=private and options.keep_names,
    )
