"""Merge datasets made by hub.convert into one, with the columns `origin` and `hospital`.

python -m hub.merge DATASET DATASET ... --output DIR [--labels map.toml]
"""

import argparse
from pathlib import Path

from hub.merging.merge_map import MergeMap, read_merge_map
from space.errors import CommandParser, UsageError, check_local, run_cli
from train.common.arguments import parse_count, parse_seed, parse_share
from train.common.atomic_output import check_free


def main() -> None:
    """Command line of the merge."""
    args = _parser().parse_args()
    map_ = _check(args)
    # Only now: datasets takes a second to import, and mistakes should be reported at once.
    from hub.dataset.splits import Fractions
    from hub.merging.merge_datasets import Options, merge

    fractions = Fractions(args.val_fraction, args.test_fraction, args.seed)
    merge(args.datasets, args.output, map_, Options(fractions, args.workers, not args.no_audit, args.with_samples))


def _check(args: argparse.Namespace) -> MergeMap | None:
    """Refuse what can be told from the command line and the map alone; the map, if there is one."""
    check_free(args.output)
    if len(args.datasets) < 2:
        raise UsageError("give two datasets or more to merge.")
    for name in args.datasets:
        check_local(name, "the dataset")
    # As `StoredDataset` calls them; it is not imported yet.
    names = [Path(name).resolve().name if Path(name).is_dir() else name for name in args.datasets]
    if alike := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two datasets are called {', '.join(alike)}. Rename a folder.")
    return read_merge_map(args.labels, names) if args.labels else None


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m hub.merge", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("datasets", nargs="+", metavar="DATASET", help="dataset folder, or OWNER/NAME on the Hub")
    add("--output", type=Path, required=True, help="dataset folder to make")
    add("--labels", type=Path, help="TOML map of classes, origins and hospitals (hub/README.md shows one)")
    add("--val-fraction", type=parse_share, default=0.1, help="share of validation if a source has none (default 0.1)")
    add("--test-fraction", type=parse_share, default=0.1, help="share of test if a source has none (default 0.1)")
    add("--seed", type=parse_seed, default=0, help="seed of the splits that are cut (default 0)")
    add("--workers", type=parse_count, help="images read at a time (default: one per core)")
    add("--no-audit", action="store_true", help="skip the shortcut probes and figures; the dataset stays the same")
    add("--with-samples", action="store_true", help="show single images in the card's figures")
    return parser


if __name__ == "__main__":
    run_cli(main)
