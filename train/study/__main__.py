"""Run a study: which factors change a recipe's accuracy, over several seeds, with intervals.

python -m train.study train/studies/pneumonia-factors.toml --dataset DIR --output DIR

Started again with the same output, a study goes on where it was. Its folder then holds README.md (the report),
results.json, runs.csv, differences.png, runs/ (a run folder each) and logs/.
"""

import argparse
from pathlib import Path

from space.errors import CommandParser, run_cli
from train.common.arguments import parse_count
from train.common.atomic_output import check_free
from train.study.plan import plan_runs
from train.study.study_file import load_study

MARK = "study.toml"  # the copy of the study's file: what tells a study's folder from any other


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog="python -m train.study", description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="a .toml file; train/studies has examples")
    parser.add_argument("--dataset", required=True, help="dataset folder made by hub.convert, or a Hub repository")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the study; an unfinished study in it is continued"
    )
    parser.add_argument("--jobs", type=parse_count, help="runs at a time (default: one per GPU, or one)")
    return parser.parse_args()


def main() -> None:
    """Plan, run, evaluate, report."""
    args = parse_args()
    study = load_study(args.study)
    planned = plan_runs(study)
    if not (args.output / MARK).is_file():
        check_free(args.output)
    # Only now: torch and transformers take seconds to import, and mistakes should be reported at once.
    from train.study.conduct import conduct

    conduct(args, study, planned, args.output / MARK)


if __name__ == "__main__":
    run_cli(main)
