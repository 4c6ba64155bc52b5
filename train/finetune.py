"""Fine-tune a chest X-ray classifier; writes a run folder that is a Hub model repository.

accelerate launch train/finetune.py --recipe mobilenetv2-pneumonia --dataset DIR --output RUN
"""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

if not __package__:  # as a script, `train/` itself would come first and shadow packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from transformers.utils.logging import disable_progress_bar

from space.errors import UsageError, run_cli
from train.batches import Normaliser, load_pixels
from train.data import load_data
from train.folders import check_free, partial_of, written_whole
from train.loop import fit, mixed_precision, use_all_cores
from train.models import IMAGENET, build, normalisation
from train.recipe import find_recipe, load_recipe, parse_seed
from train.record import Run, finish_run, hide_hostname, print_plan, print_results


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="train/finetune.py", description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="name of a recipe in train/recipes, or a .toml file")
    parser.add_argument("--dataset", required=True, help="dataset folder made by hub.convert, or a Hub repository")
    parser.add_argument("--output", type=Path, required=True, help="run folder to make")
    parser.add_argument("--seed", type=parse_seed, default=0, help="of initialisation, sampling and augmentation")
    parser.add_argument("--max-steps", type=int, help="stop after this many optimiser steps")
    parser.add_argument("--init", default=IMAGENET, help="imagenet (default, from the Hub), scratch, PATH or REPO")
    args = parser.parse_args()
    if args.max_steps is not None and args.max_steps < 1:
        raise UsageError(f"--max-steps {args.max_steps}: it must be at least 1.")
    return args


def main() -> None:
    """Train, evaluate and write the run folder."""
    args = parse_args()
    disable_progress_bar()  # transformers would draw one for every checkpoint, across ours
    recipe_path = find_recipe(args.recipe)
    recipe = load_recipe(recipe_path)
    check_free(args.output)
    data = load_data(args.dataset)
    # Without a GPU, processes started by torchrun find each other only if accelerate is told that they run on the CPU.
    cpu = "LOCAL_RANK" in os.environ and not torch.cuda.is_available()
    state = PartialState(cpu=cpu)
    precision = mixed_precision(recipe.training.precision, state.device)
    asked = (args.seed, args.init, args.max_steps)
    run = Run(partial_of(args.output), recipe, recipe_path, data, *asked, precision, state.num_processes)
    accelerator = Accelerator(cpu=cpu, mixed_precision=precision, log_with="tensorboard", project_dir=run.folder)
    threads = use_all_cores()
    set_seed(args.seed)
    model, processor = build(recipe.model, data.labels, args.init)
    with accelerator.main_process_first():
        splits = load_pixels(data, processor, threads)
    normalise = Normaliser(*normalisation(processor), accelerator.device)
    with written_whole(args.output, keep_partial=True) if accelerator.is_main_process else nullcontext():
        accelerator.init_trackers("tensorboard")
        if accelerator.is_main_process:
            print_plan(run, splits, accelerator.device)
        fitted = fit(accelerator, model, recipe, splits, normalise, run.folder, args.seed, args.max_steps)
        if accelerator.is_main_process:
            results = finish_run(run, fitted, splits, normalise, accelerator.device)
        accelerator.wait_for_everyone()
        accelerator.end_training()
        if accelerator.is_main_process:
            hide_hostname(run.folder)
    if accelerator.is_main_process:
        print_results(results, args.output)


if __name__ == "__main__":
    run_cli(main)
