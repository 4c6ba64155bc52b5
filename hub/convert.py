"""Convert a Kaggle folder, zip or slug into a dataset folder that `datasets.load_dataset` and the Hub understand.

python -m hub.convert SOURCE --output DIR [--layout NAME] [--size 512] [--official-splits] [--labels map.toml] ...
"""

import argparse
from pathlib import Path

from hub.dataset.open_source import check_exists
from hub.layouts.registry import LAYOUTS, check_layout
from space.errors import CommandParser, UsageError, run_cli
from train.common.arguments import parse_count, parse_seed, parse_share
from train.common.atomic_output import check_free
from train.data.label_map import read_map


def main() -> None:
    """Command line of the conversion."""
    args = _parser().parse_args()
    _check(args)
    labels = read_map(args.labels, "--labels") if args.labels else None
    # Only now: datasets takes a second to import, and mistakes should be reported at once.
    from hub.conversion import Options, convert
    from hub.dataset.splits import Fractions

    options = Options(
        layout=args.layout,
        size=args.size,
        fractions=Fractions(args.val_fraction, args.test_fraction, args.seed),
        official=args.official_splits,
        labels=labels,
        masks=args.masks,
        workers=args.workers,
        keep_leaks=args.keep_leaks,
        keep_names=args.keep_names,
        allow_bad=args.allow_bad,
        any_body_part=args.allow_any_body_part,
        audit=not args.no_audit,
        with_samples=args.with_samples,
    )
    convert(args.source, args.output, options)


def _check(args: argparse.Namespace) -> None:
    """Refuse what can be told from the command line alone."""
    if args.size is not None and args.size < 32:
        raise UsageError(f"--size {args.size} is too small: it must be at least 32 pixels.")
    check_layout(args.layout)
    check_free(args.output)
    check_exists(args.source)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m hub.convert", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", help="folder, .zip, or kaggle:OWNER/NAME")
    add("--output", type=Path, required=True, help="dataset folder to make")
    add("--layout", help=f"one of: {', '.join(LAYOUTS)} (default: recognised by structure)")
    add("--size", type=int, help="shrink images to this longest side, in pixels (default: keep their size)")
    add("--val-fraction", type=parse_share, default=0.1, help="share of the new validation split (default 0.1)")
    add("--test-fraction", type=parse_share, default=0.1, help="share of test if the source has none (default 0.1)")
    add("--seed", type=parse_seed, default=0, help="seed of the new splits (default 0)")
    add("--official-splits", action="store_true", help="keep the publisher's splits, validation included")
    add("--labels", type=Path, help='TOML file: `"class" = "new name"` renames, `"class" = false` drops')
    add("--masks", type=Path, help="folder of lung masks with the same relative paths and names as the images")
    add("--workers", type=parse_count, help="files read at a time (default: one per core)")
    add("--keep-leaks", action="store_true", help="keep training and validation images that leak into the test split")
    add("--keep-names", action="store_true", help="keep file names and patient keys of private folders")
    add("--allow-bad", action="store_true", help="continue however many files cannot be read")
    add("--allow-any-body-part", action="store_true", help="keep DICOM files whose tags name another body part or view")
    add("--no-audit", action="store_true", help="skip the shortcut probes and figures; the splits stay the same")
    add("--with-samples", action="store_true", help="show single images in the card's figures")
    return parser


if __name__ == "__main__":
    run_cli(main)
