"""Audit a dataset: copies, patients in two splits, shortcuts to the label.

python -m hub.audit DIR_OR_REPO [--against OTHER_DIR_OR_REPO ...] [--output DIR]
"""

import argparse
from pathlib import Path

from hub.auditing.dataset_card import write_card
from hub.auditing.report import audit, compare, write_audit
from hub.auditing.summary import summarise_audit
from hub.dataset.image_summary import AuditedImage
from hub.dataset.stored_dataset import StoredDataset
from hub.layouts.registry import LAYOUTS
from space.errors import UsageError, run_cli
from train.common.arguments import parse_workers
from train.data.duplicates import find_copies


def main() -> None:
    """Command line of the audit."""
    args = _parser().parse_args()
    dataset = StoredDataset(args.dataset)
    others = [StoredDataset(name) for name in args.against]
    if any(other.folder.resolve() == dataset.folder.resolve() for other in others):
        raise UsageError(f"--against names {args.dataset} itself. Give other datasets.")
    output = dataset.output(args.output)
    earlier = dataset.report()
    images = dataset.images(args.workers)
    copies = find_copies([image.summary.fingerprint for image in images], dataset.pixels)
    report = audit(images, copies, earlier.get("conversion", {}))
    # What a conversion dropped is not in the dataset any more, so its own audit stays the only witness.
    report |= {key: earlier[key] for key in ("dropped", "kept_leaks") if key in earlier}
    report["against"] = earlier.get("against", {}) | _compare_all(dataset, images, others, args.workers)
    report |= {"looked_at": "stored", "with_samples": args.with_samples}
    write_audit(output, report, images, copies, dataset.pixels, args.with_samples)
    if report["conversion"].get("layout") in LAYOUTS and output == dataset.folder:
        write_card(output, report)
    print(summarise_audit(output, report))


def _compare_all(
    dataset: StoredDataset, images: list[AuditedImage], others: list[StoredDataset], workers: int | None
) -> dict[str, dict]:
    """{name of another dataset: what the two share}; names that occur twice are told apart by their folders."""
    names = [other.name for other in others]
    return {
        f"{other.folder.resolve().parent.name}/{other.name}" if names.count(other.name) > 1 else other.name: compare(
            images, other.images(workers), dataset.pixels, other.pixels
        )
        for other in others
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hub.audit", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("dataset", help="dataset folder, or OWNER/NAME on the Hub")
    add("--against", nargs="+", default=[], metavar="OTHER", help="other datasets to look for the same images in")
    add("--output", type=Path, help="folder for audit.json and figures (default: the dataset folder)")
    add("--workers", type=parse_workers, help="images read at a time (default: one per core)")
    add("--with-samples", action="store_true", help="show single images in the card's figures")
    return parser


if __name__ == "__main__":
    run_cli(main)
