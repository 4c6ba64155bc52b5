"""The command line of train/finetune.py, checked as far as that can be done without importing torch."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from space.errors import CommandParser, UsageError, check_local
from train.common.arguments import check_init, parse_count, parse_seed
from train.common.atomic_output import check_free, locked, partial_of
from train.common.checkpoint_folder import has_checkpoint
from train.config.recipe_file import find_recipe, load_recipe

EXAMPLE = "accelerate launch --quiet train/finetune.py --recipe mobilenetv2-pneumonia --dataset DIR --output RUN"


def parse_args() -> argparse.Namespace:
    """Read the command line and check what it names: recipe, dataset, weights, output.

    Returns:
        The options. To train, `recipe` is the recipe as read and changed, and `recipe_path` its file.

    Raises:
        UsageError: Something that is named does not exist or does not fit, options contradict each other, or the output
            folder is taken.
    """
    args = _parser().parse_args()
    if (args.also_labels or args.also_drop_copies) and not args.also:
        option = "--also-labels" if args.also_labels else "--also-drop-copies"
        raise UsageError(f"{option} needs --also: it says how that dataset is read.")
    if args.evaluate_only:
        _check_evaluation(args)
    else:
        _check_training(args)
    check_dataset(args.dataset, "--dataset")
    if args.also:
        check_dataset(args.also, "--also")
    return args


def check_dataset(folder_or_repo: str, option: str) -> None:
    """Refuse a folder that cannot be a dataset, before anything is imported to open it with.

    Raises:
        UsageError: It does not exist, or holds no parquet file.
    """
    check_local(folder_or_repo, option)
    folder = Path(folder_or_repo)
    if folder.exists() and next(folder.rglob("*.parquet"), None) is None:
        raise UsageError(
            f"{option} {folder_or_repo}: there are no parquet files in it. Convert it first: "
            f"python -m hub.convert {folder_or_repo} --output DIR"
        )


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="train/finetune.py",
        description="Fine-tune a chest X-ray classifier and write a run folder, or evaluate a run folder again.",
        epilog=f"For example: {EXAMPLE}",
    )
    add = parser.add_argument_group("training").add_argument
    add("--recipe", help="name of a recipe in train/recipes, or a .toml file")
    add("--dataset", required=True, help="dataset folder made by hub.convert, or a dataset repository on the Hub")
    add("--output", type=Path, help="run folder to write")
    add("--seed", type=parse_seed, default=0, help="seed of initialisation, sampling and augmentation (default: 0)")
    add("--max-steps", type=parse_count, help="stop after this many optimiser steps")
    add(
        "--init",
        help="starting weights: imagenet (from the Hub; default of timm models), scratch (random; default of chest "
        "CNNs), a .safetensors file, a run folder, or a model repository on the Hub",
    )
    add("--resume", action="store_true", help="continue from the last checkpoint, if there is one")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe; repeatable")
    add = parser.add_argument_group("evaluation").add_argument
    add("--evaluate-only", type=Path, metavar="RUN", help="evaluate a run folder again, on its training dataset")
    add(
        "--also",
        metavar="DATASET",
        help="also test on all splits of another dataset; refused if it has copies of the first",
    )
    add("--also-drop-copies", action="store_true", help="leave such copies out, with other images of their patients")
    add(
        "--also-labels",
        type=Path,
        metavar="FILE",
        help='TOML file that maps its classes: "its class" = "the model\'s class", or = false to leave it out',
    )
    add("--with-samples", action="store_true", help="allow images of single patients to be published with the run")
    return parser


def _check_training(args: argparse.Namespace) -> None:
    if absent := [f"--{name}" for name in ("recipe", "output") if getattr(args, name) is None]:
        raise UsageError(f"missing {' and '.join(absent)}. For example: {EXAMPLE}")
    args.recipe_path = find_recipe(args.recipe)
    args.recipe = load_recipe(args.recipe_path, args.set)
    check_tracker(args.recipe.training.tracker)
    if args.init:
        check_init(args.init, "--init")
    check_free(args.output)
    partial = partial_of(args.output)
    if not args.resume and has_checkpoint(partial):
        with locked(partial):  # else that run was not interrupted: it is still going
            raise UsageError(
                f"--output {args.output}: there is an interrupted run in {partial.name} beside it. Add --resume to "
                "continue it, or delete that folder to start again."
            )


def check_tracker(name: str) -> None:
    """Refuse a tracker that is not installed; accelerate would only warn.

    Raises:
        UsageError: It is not.
    """
    if name != "none" and find_spec(name) is None:
        raise UsageError(f'tracker = "{name}" needs a package: pip install {name}. Or use "tensorboard" or "none".')


def _check_evaluation(args: argparse.Namespace) -> None:
    given = {name: getattr(args, name) for name in ("recipe", "output", "max_steps", "init", "resume", "set")}
    if wrong := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        raise UsageError(f"--evaluate-only does not train: leave out {', '.join(wrong)}.")
    if not (args.evaluate_only / "results.json").is_file():
        raise UsageError(f"--evaluate-only {args.evaluate_only}: no results.json there. Give a finished run folder.")
