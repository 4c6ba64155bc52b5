"""Cross-validate a recipe on all images but the test split, which is not opened.

python -m train.study.cross_validation --recipe best-covid19 --dataset DIR --output FILE.json --repeats 2

In every repeat each image is tested once, by a network that saw neither it nor its patient (nor its copies, where
patients are unknown). Of the images that a fold does not test, a part is its validation, which chooses the epoch.
"""

import argparse
import json
from pathlib import Path

from space.errors import CommandParser, UsageError, run_cli
from train.common.arguments import check_init, parse_count, parse_seed
from train.common.atomic_output import check_free, write_text_whole
from train.config.command_line import check_dataset
from train.config.recipe_file import find_recipe, load_recipe


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog="python -m train.study.cross_validation", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="name of a recipe in train/recipes, or a .toml file")
    parser.add_argument("--dataset", required=True, help="dataset folder made by hub.convert, or a Hub repository")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--folds", type=parse_count, default=5, help="folds (default: 5)")
    parser.add_argument("--repeats", type=parse_count, default=1, help="repeats with other folds (default: 1)")
    parser.add_argument("--seed", type=parse_seed, default=0, help="seed of the first repeat (default: 0)")
    parser.add_argument("--init", help="starting weights, as for finetune")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe")
    return parser.parse_args()


def main() -> None:
    """Train every fold of every repeat, and write what they said of the images that they had not seen."""
    args = parse_args()
    if args.folds < 2:
        raise UsageError(f"--folds {args.folds}; give 2 or more.")
    recipe = load_recipe(find_recipe(args.recipe), args.set)
    if args.init:
        check_init(args.init, "--init")
    check_dataset(args.dataset, "--dataset")
    check_free(args.output)
    # Only now: torch and transformers take seconds to import, and mistakes should be reported at once.
    from train.study.folds import cross_validate

    results = cross_validate(args, recipe)
    write_text_whole(args.output, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run_cli(main)
