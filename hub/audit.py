"""Audit a dataset: copies, patients in two splits, shortcuts to the label.

python -m hub.audit DIR_OR_REPO [--against OTHER_DIR_OR_REPO ...] [--output DIR]
"""

import argparse
from pathlib import Path

from space.errors import CommandParser, check_local, run_cli
from train.common.arguments import parse_count


def main() -> None:
    """Command line of the audit."""
    args = _parser().parse_args()
    for name in (args.dataset, *args.against):
        check_local(name, "the dataset")
    # Only now: datasets takes a second to import, and mistakes should be reported at once.
    from hub.auditing.audit_dataset import audit_dataset

    audit_dataset(args.dataset, args.against, args.output, args.workers, args.with_samples)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m hub.audit", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("dataset", help="dataset folder, or OWNER/NAME on the Hub")
    add("--against", nargs="+", default=[], metavar="OTHER", help="other datasets to search for the same images")
    add("--output", type=Path, help="folder for audit.json and figures (default: the dataset folder)")
    add("--workers", type=parse_count, help="images read at a time (default: one per core)")
    add("--with-samples", action="store_true", help="show single images in the card's figures")
    return parser


if __name__ == "__main__":
    run_cli(main)
