"""Kaggle folder, zip or slug -> dataset folder that `datasets.load_dataset` and the Hub understand.

python -m hub.convert SOURCE --output DIR [--layout NAME] [--size 512] [--official-splits] [--labels map.toml] ...
"""

import argparse
import csv
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from hub.audit import audit, write_audit
from hub.auditing.dataset_card import write_card
from hub.dataset.image_summary import AuditedImage, ImageSummary, look_at_all
from hub.dataset.open_source import open_source
from hub.dataset.parquet_writer import features_of, write_split
from hub.dataset.relabel import apply_map
from hub.dataset.rows import MaskFolder, RowMaker, shown_records
from hub.dataset.splits import Fractions, SplitAssignment, cut
from hub.layouts.base import Layout, Record
from hub.layouts.registry import LAYOUTS, recognise
from space.errors import ChestXrayError, UsageError, XrayError, run_cli
from space.imaging.archives import Folder, Source
from space.imaging.xray import read_xray
from train.common.arguments import parse_seed, parse_workers
from train.common.atomic_output import check_free, written_whole
from train.data.dataset import SPLITS
from train.data.duplicates import find_copies
from train.data.label_map import read_map

MOST_BAD = 0.05


@dataclass(frozen=True)
class Options:
    """How a source is converted.

    Attributes:
        layout: Name of the layout; None: recognised from the source.
        size: Longest side of the stored images in pixels; None: images keep their own.
        fractions: Sizes and seed of the splits that are cut anew.
        official: Keep the publisher's splits, all of them.
        labels: {class: new name, or None to drop it}.
        masks: Folder of lung masks with the images' relative paths and stems.
        workers: Files handled at a time; None: one per core.
        keep_leaks: Keep train and validation images that test holds too.
        keep_names: Keep file names and patient keys of private sources.
        allow_bad: Go on however many files cannot be read.
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
        UsageError: The source has no known layout, an option does not fit it, or the output exists.
        ChestXrayError: The zip is damaged or hostile, or too many files cannot be read.
    """
    check_free(output)
    opened = open_source(str(source))
    if isinstance(opened, Folder) and output.resolve().is_relative_to(opened.root.resolve()):
        raise UsageError(f"--output {output} lies inside the source, where it would be read as part of it.")
    layout, root, tree = recognise(opened, options.layout)
    print(f"{opened.title}: layout {layout.name}{root and f', in {root}'}")
    every = layout.records(opened, tree, root)
    outside = sum(len(tree.images(folder)) for folder in tree.folders) - len(every)
    listed, labels = apply_map(every, layout, options.labels or {})
    masks = MaskFolder(options.masks, listed) if options.masks else None
    records, looks, bad = _inspect(opened, listed, options)
    labels = _still_there(labels, records)

    def pixels(index: int):
        return read_xray(opened.read(records[index].name)).image

    copies = find_copies([look.print for look in looks], pixels)
    parts = cut(records, copies, options.fractions, options.official, options.keep_leaks)
    private = layout.private or any(look.format == "DICOM" for look in looks)
    hidden = private and not options.keep_names
    shown = shown_records(parts.records, looks, layout, hidden)
    leaks = [parts.leaks.get(index) for index in range(len(records))]
    items = [
        AuditedImage(record, look, leak, dropped=bool(leak) and not options.keep_leaks)
        for record, look, leak in zip(shown, looks, leaks, strict=True)
    ]
    with written_whole(output) as folder:
        maker = RowMaker(opened, features_of(layout, list(labels)), options.size, masks)
        _write_rows(folder, maker, parts.records, items, options.workers)
        _write_quarantine(folder, bad + maker.bad_masks)
        facts = _facts(layout, labels, options, parts, bad, maker)
        facts |= {"names_hidden": hidden, "names_kept": private and not hidden, "outside_layout": outside}
        report = audit(items, copies, facts, full=options.audit) | {"looked_at": "source"}
        write_audit(folder, report, items, copies, pixels if options.audit else None, options.with_samples)
        write_card(folder, report)
    print(_summary(output, report))
    return report


def _still_there(labels: dict[str, str], records: list[Record]) -> dict[str, str]:
    """The classes that readable images are left of.

    Raises:
        ChestXrayError: Fewer than two are left.
    """
    present = {record.label for record in records}
    if gone := [label for label in labels if label not in present]:
        print(f"note: no readable image of class {', '.join(gone)} is left, so it is not in the dataset")
    if len(present) < 2:
        raise ChestXrayError(f"only class {', '.join(present)} has readable images; a classifier needs two or more.")
    return {label: meaning for label, meaning in labels.items() if label in present}


def _inspect(
    source: Source, records: list[Record], options: Options
) -> tuple[list[Record], list[ImageSummary], list[tuple[str, XrayError]]]:
    """Look at every image: the readable ones, what was seen of them, and the others with what is wrong with them.

    Raises:
        ChestXrayError: More than `MOST_BAD` of them cannot be read, and that was not allowed.
    """
    reads = (partial(source.read, record.name) for record in records)
    seen = list(zip(records, look_at_all(reads, len(records), options.workers), strict=True))
    bad = [(record.name, look) for record, look in seen if isinstance(look, XrayError)]
    if len(bad) == len(records) or (len(bad) > MOST_BAD * len(records) and not options.allow_bad):
        listed = "\n".join(f"  {name}: {error}" for name, error in bad[:10])
        raise ChestXrayError(
            f"{len(bad)} of {len(records)} images cannot be read, more than {MOST_BAD:.0%}; nothing was written. "
            f"Download them again, remove them, or go on without them by --allow-bad. The first ones:\n{listed}"
        )
    good = [(record, look) for record, look in seen if isinstance(look, ImageSummary)]
    return [record for record, _ in good], [look for _, look in good], bad


def _write_rows(
    folder: Path, maker: RowMaker, records: Sequence[Record], items: list[AuditedImage], workers: int | None
) -> None:
    (folder / "data").mkdir()
    kept = [(record, item) for record, item in zip(records, items, strict=True) if not item.dropped]
    with tqdm(total=len(kept), desc="writing", unit="img") as bar:
        for split in SPLITS:
            of_split = ((record, item) for record, item in kept if record.split == split)
            rows = (maker.row(record, item.record, item.look.plain) for record, item in of_split)
            write_split(folder / "data", split, rows, maker.features, workers, bar)


def _write_quarantine(folder: Path, bad: list[tuple[str, XrayError]]) -> None:
    names = {"encoding": "utf-8", "errors": "backslashreplace"}
    with (folder / "quarantine.csv").open("w", newline="", **names) as file:
        table = csv.writer(file)
        table.writerow(["path", "code", "sentence"])
        table.writerows([name, error.code, str(error)] for name, error in bad)


def _facts(
    layout: Layout,
    labels: dict[str, str],
    options: Options,
    parts: SplitAssignment,
    bad: list[tuple[str, XrayError]],
    maker: RowMaker,
) -> dict:
    """What audit.json and the card say of how the dataset was made."""
    return {
        "layout": layout.name,
        "link": layout.link,
        "about": layout.about,
        "patient_rule": layout.patient_rule,
        "labels": labels,
        "renamed_labels": options.labels or {},
        "official_splits": options.official,
        "official_test": parts.official_test,
        "fractions": {"validation": options.fractions.validation, "test": options.fractions.test},
        "seed": options.fractions.seed,
        "size": options.size,
        "leaks": dict(sorted(Counter(parts.leaks.values()).items())),
        "shared_keys": parts.shared_keys,
        "leaks_kept": options.keep_leaks,
        "quarantined": dict(sorted(Counter(error.code for _, error in bad).items())),
        "bad_masks": len(maker.bad_masks),
        "masks": maker.mask_counts,
    }


def _summary(output: Path, report: dict) -> str:
    facts, counts = report["conversion"], report["counts"]
    lines = [f"{output}: " + ", ".join(f"{split} {sum(of.values()):,}" for split, of in counts.items()) + " images"]
    if "validation" not in counts and "train" in counts:
        lines.append("note: there is no validation split, without which nothing can be trained on it")
    if facts["leaks"]:
        found = ", ".join(f"{n} by {why}" for why, n in facts["leaks"].items())
        lines.append(f"{'kept' if facts['leaks_kept'] else 'dropped'}, because test holds them too: {found}")
    lines += [f"{column}: {n:,} images have one" for column, n in facts["masks"].items() if n]
    if facts["outside_layout"]:
        lines.append(f"left out: {facts['outside_layout']:,} image files that stand outside the layout")
    if facts["shared_keys"]:
        lines.append(
            f"note: {facts['shared_keys']:,} patient keys by the loose rule stand in test and elsewhere too, which is "
            "no proof of a shared patient (the card says what the rules are)"
        )
    if facts["quarantined"] or facts["bad_masks"]:
        n = sum(facts["quarantined"].values())
        lines.append(f"unreadable: {n} images, {facts['bad_masks']} masks (quarantine.csv says why)")
    lines += [f"warning: {sentence}" for sentence in report.get("warnings", ())]
    return "\n".join([*lines, f"Read {output / 'README.md'} (the card) and audit.json (all findings)."])


def main() -> None:
    """Command line of the conversion."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: nothing half-written stays
    args = _parser().parse_args()
    for name, value in (("val", args.val_fraction), ("test", args.test_fraction)):
        if not 0 < value <= 0.4:
            raise UsageError(f"--{name}-fraction {value:g}: it must be above 0 and at most 0.4.")
    if args.size is not None and args.size < 32:
        raise UsageError(f"--size {args.size}: at least 32 pixels.")
    options = Options(
        layout=args.layout,
        size=args.size,
        fractions=Fractions(args.val_fraction, args.test_fraction, args.seed),
        official=args.official_splits,
        labels=read_map(args.labels, "--labels") if args.labels else None,
        masks=args.masks,
        workers=args.workers,
        keep_leaks=args.keep_leaks,
        keep_names=args.keep_names,
        allow_bad=args.allow_bad,
        audit=not args.no_audit,
        with_samples=args.with_samples,
    )
    convert(args.source, args.output, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hub.convert", description="chest X-ray folder -> dataset folder")
    add = parser.add_argument
    add("source", help="folder, .zip, or kaggle:OWNER/NAME")
    add("--output", type=Path, required=True, help="dataset folder to make")
    add("--layout", help=f"one of: {', '.join(LAYOUTS)} (default: recognised by structure)")
    add("--size", type=int, help="shrink images to this longest side, in pixels (default: untouched)")
    add("--val-fraction", type=float, default=0.1, help="share of the new validation split (default 0.1)")
    add("--test-fraction", type=float, default=0.1, help="share of the test split where there is none (default 0.1)")
    add("--seed", type=parse_seed, default=0, help="seed of the new splits (default 0)")
    add("--official-splits", action="store_true", help="keep the publisher's splits, validation too")
    add("--labels", type=Path, help='TOML file, `"class" = "new name"` or `"class" = false` to drop it')
    add("--masks", type=Path, help="folder of lung masks with the images' relative paths and stems")
    add("--workers", type=parse_workers, help="files handled at a time (default: one per core)")
    add("--keep-leaks", action="store_true", help="keep train and validation images that test holds too")
    add("--keep-names", action="store_true", help="keep file names and patient keys of private folders")
    add("--allow-bad", action="store_true", help=f"go on even if more than {100 * MOST_BAD:g} in 100 cannot be read")
    add("--no-audit", action="store_true", help="write no findings and figures; the splits are the same")
    add("--with-samples", action="store_true", help="show single images in the card's figures")
    return parser


if __name__ == "__main__":
    run_cli(main)
