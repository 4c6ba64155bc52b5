"""The command line of train/finetune.py."""

import argparse
from pathlib import Path

from space.errors import UsageError
from train.common.arguments import parse_seed
from train.common.atomic_output import check_free, locked, partial_of
from train.engine.checkpoint import has_checkpoint

EXAMPLE = "accelerate launch train/finetune.py --recipe mobilenetv2-pneumonia --dataset DIR --output RUN"


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Raises:
        UsageError: Options contradict each other, or the output is taken.
    """
    parser = argparse.ArgumentParser(
        prog="train/finetune.py",
        description="Fine-tune a chest X-ray classifier into a run folder, or evaluate a run folder anew.",
        epilog=f"For example: {EXAMPLE}",
    )
    _add_training(parser)
    _add_evaluation(parser)
    args = parser.parse_args()
    if args.also_labels and not args.also:
        raise UsageError("--also-labels names the classes of a dataset that is given with --also.")
    if args.evaluate_only:
        _check_evaluation(args)
    else:
        _check_training(args)
    return args


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("training").add_argument
    add("--recipe", help="name of a recipe in train/recipes, or a .toml file")
    add("--dataset", required=True, help="dataset folder made by hub.convert, or a Hub repository")
    add("--output", type=Path, help="run folder to make")
    add("--seed", type=parse_seed, default=0, help="of initialisation, sampling and augmentation")
    add("--max-steps", type=int, help="stop after this many optimiser steps")
    add("--init", help="imagenet (from the Hub; default of timm models), scratch (default of chest CNNs), PATH or REPO")
    add("--resume", action="store_true", help="go on from the last checkpoint, if there is one")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="put a value in place of the recipe's; repeatable",
    )


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("evaluation").add_argument
    add("--evaluate-only", type=Path, metavar="RUN", help="evaluate a run folder anew, on the dataset that it is of")
    add("--also", metavar="DATASET", help="another dataset to test on; refused if it holds copies of training images")
    add("--also-labels", type=Path, metavar="FILE", help='TOML: `"its class" = "the model\'s class"`, or `= false`')
    add("--with-samples", action="store_true", help="let images of single patients be published with the run")


def _check_training(args: argparse.Namespace) -> None:
    if absent := [f"--{name}" for name in ("recipe", "output") if getattr(args, name) is None]:
        raise UsageError(f"{' and '.join(absent)} must be given (unless --evaluate-only). For example: {EXAMPLE}")
    if args.max_steps is not None and args.max_steps < 1:
        raise UsageError(f"--max-steps {args.max_steps}: it must be at least 1.")
    check_free(args.output)
    partial = partial_of(args.output)
    if not args.resume and has_checkpoint(partial):
        with locked(partial):  # else it is no interrupted run, but one that is under way
            raise UsageError(
                f"--output {args.output}: an interrupted run lies in {partial.name} beside it. Add --resume to go on "
                "with it, or delete that folder to start afresh."
            )


def _check_evaluation(args: argparse.Namespace) -> None:
    given = {name: getattr(args, name) for name in ("recipe", "output", "max_steps", "init", "resume", "set")}
    if wrong := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        raise UsageError(f"--evaluate-only trains nothing: leave out {', '.join(wrong)}.")
    if not (args.evaluate_only / "results.json").is_file():
        raise UsageError(f"--evaluate-only {args.evaluate_only}: no results.json there. Give a finished run folder.")
