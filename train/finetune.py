"""Fine-tune a chest X-ray classifier; writes a run folder that is a Hub model repository.

accelerate launch train/finetune.py --recipe mobilenetv2-pneumonia --dataset DIR --output RUN
"""

import os
import shutil
import sys
from argparse import Namespace
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

if not __package__:  # as a script, `train/` itself would come first and shadow packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, set_seed
from transformers.utils.logging import disable_progress_bar

from space.errors import run_cli
from train.common.atomic_output import partial_of, written_whole
from train.config.recipe import find_recipe, load_recipe
from train.data.dataset import load_data
from train.data.pixel_cache import CORRUPTED, Normaliser, load_pixels
from train.engine.checkpoint import checkpoints_of, has_checkpoint
from train.engine.command_line import parse_args
from train.engine.cpu_kernels import keep_freed_memory
from train.engine.dialogue import ask_person
from train.engine.job import Fit, TrainingInputs
from train.engine.run_spec import RunSpec, print_plan
from train.engine.runtime import check_tracker, mixed_precision, use_all_cores
from train.engine.shutdown import ShutdownSignal
from train.engine.trainer import Trainer
from train.evaluation.external_test import load_external
from train.models.factory import SCRATCH, build, default_init, save
from train.models.preprocessing import normalisation
from train.report.reevaluate import reevaluate
from train.report.run_folder import finish_run, hide_hostname, print_results


def prepare(args: Namespace) -> RunSpec:
    """Read recipe and dataset, and settle what the run is."""
    path = find_recipe(args.recipe)
    recipe = load_recipe(path, args.set)
    check_tracker(recipe.training.tracker)
    data = load_data(args.dataset)
    # Without a GPU, processes started by torchrun find each other only if accelerate is told that they run on the CPU.
    cpu = "LOCAL_RANK" in os.environ and not torch.cuda.is_available()
    # Others wait while the main process decodes images and evaluates, which may take longer than NCCL's 10 minutes.
    state = PartialState(cpu=cpu, **InitProcessGroupKwargs(timeout=timedelta(hours=4)).to_kwargs())
    precision = mixed_precision(recipe.training.precision, state.device)
    init = args.init or default_init(recipe.model.architecture)
    asked = (args.seed, init, args.max_steps)
    where = (precision, state.num_processes, args.with_samples)
    return RunSpec(partial_of(args.output), recipe, path, tuple(args.set), data, *asked, *where)


def train(run: RunSpec, accelerator: Accelerator, args: Namespace) -> dict | None:
    """Train, evaluate and write the run's files; returns the results on the main process."""
    recipe, threads, main = run.recipe, use_all_cores(), accelerator.is_main_process
    set_seed(run.seed)
    # A checkpoint brings all weights: those that the run began with may be out of reach by now.
    init = SCRATCH if has_checkpoint(run.folder) else run.init
    model, processor = build(recipe.model, run.data.labels, init)
    names = ["train", "validation"] + [CORRUPTED] * (recipe.control.selection == "robust-auroc")
    names += ["test"] * (recipe.evaluation.test and "test" in run.data.splits)
    with accelerator.main_process_first():
        splits = load_pixels(run.data, processor, threads, names)
    external = None
    if main and args.also:  # before training: what is refused should be refused now
        external = load_external(args.also, args.also_labels, run.data, splits, processor, threads)
    normalise = Normaliser(*normalisation(processor), accelerator.device)
    accelerator.init_trackers("tensorboard" if recipe.training.tracker == "tensorboard" else "chest-xray")
    if main:
        print_plan(run, splits, accelerator.device)
    ask = ask_person if run.processes == 1 else None
    with ShutdownSignal() if run.processes == 1 else nullcontext(lambda: 0) as ending:
        job = TrainingInputs(
            recipe, model, splits, normalise, run.folder, run.seed, run.max_steps, run.identity, ask, ending
        )
        fitted: Fit = Trainer(accelerator, job).run()
    results = None
    if main:
        save(model, processor, run.folder)
        results = finish_run(run, fitted, processor, splits, normalise, accelerator.device, external)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return results


def main() -> None:
    """Train, evaluate and write the run folder, or evaluate one that is there."""
    args = parse_args()
    disable_progress_bar()  # transformers would draw one for every checkpoint, across ours
    keep_freed_memory()
    if args.evaluate_only:
        return reevaluate(args)
    run = prepare(args)
    training = run.recipe.training
    accelerator = Accelerator(
        mixed_precision=run.precision,
        log_with=None if training.tracker == "none" else training.tracker,
        project_dir=run.folder,
        dynamo_backend="inductor" if training.compile else None,
    )
    resume = has_checkpoint(run.folder)  # only with --resume: parse_args saw to that
    with written_whole(args.output, resume, has_checkpoint) if accelerator.is_main_process else nullcontext():
        results = train(run, accelerator, args)
        if results:
            hide_hostname(run.folder)
    if results:
        # Only now: until the folder stood in its place, an error would have left nothing to go on from.
        shutil.rmtree(checkpoints_of(args.output))
        print_results(results, args.output)


if __name__ == "__main__":
    run_cli(main)
