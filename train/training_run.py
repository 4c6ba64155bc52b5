"""One training run, from an opened dataset to a finished run folder."""

import os
import shlex
import shutil
import signal
from argparse import Namespace
from contextlib import nullcontext
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, set_seed
from transformers.utils.logging import disable_progress_bar

from space.results.results_file import Results
from train.common.arguments import SCRATCH
from train.common.atomic_output import partial_of, written_whole
from train.common.checkpoint_folder import checkpoints_of, has_checkpoint
from train.data.dataset import load_data
from train.data.lung_masks import lung_masks_of
from train.data.origins import LEFT_OUT, leave_out
from train.data.pixel_cache import CORRUPTED, Normaliser, load_pixels
from train.engine.cpu_kernels import keep_freed_memory
from train.engine.dialogue import ask_person
from train.engine.run_spec import RunSpec, print_plan
from train.engine.runtime import mixed_precision, use_all_cores
from train.engine.shutdown import ShutdownSignal
from train.engine.trainer import Trainer
from train.engine.training_inputs import TrainingInputs
from train.evaluation.external_set import load_external
from train.models.chest_cnns import default_init
from train.models.factory import build, save
from train.models.preprocessing import normalisation
from train.models.pretrained import weights_sha256
from train.report.finish import finish_run, hide_hostname
from train.report.summary import print_results


def make_run(args: Namespace) -> None:
    """Train, evaluate and write the run folder.

    Args:
        args: What `train.config.command_line.parse_args` returned.
    """
    disable_progress_bar()  # transformers would draw one for every checkpoint, across ours
    keep_freed_memory()
    run = specify(args)
    training = run.recipe.training
    accelerator = Accelerator(
        mixed_precision=run.mixed_precision,
        log_with=None if training.tracker == "none" else training.tracker,
        project_dir=run.folder,
        dynamo_backend="inductor" if training.compile else None,
    )
    resume = has_checkpoint(run.folder)  # only with --resume: parse_args checked that
    with written_whole(args.output, resume, has_checkpoint) if accelerator.is_main_process else nullcontext():
        results = train(run, accelerator, args)
        if results:
            hide_hostname(run.folder)
    if results:
        # Only now: until the folder was in its place, an error would have left nothing to resume from.
        shutil.rmtree(checkpoints_of(args.output))
        print_results(results, args.output)
        print_next_steps(args)


def specify(args: Namespace) -> RunSpec:
    """Open the dataset, find out what the machine offers, and put down what the run is."""
    data = leave_out(load_data(args.dataset), args.recipe.data.leave_out)
    # Without a GPU, processes started by torchrun find each other only if accelerate is told that they run on the CPU.
    cpu = "LOCAL_RANK" in os.environ and not torch.cuda.is_available()
    # Others wait while the main process decodes images and evaluates, which may take longer than NCCL's 10 minutes.
    state = PartialState(cpu=cpu, **InitProcessGroupKwargs(timeout=timedelta(hours=4)).to_kwargs())
    init = args.init or default_init(args.recipe.model.architecture)
    return RunSpec(
        folder=partial_of(args.output),
        recipe=args.recipe,
        recipe_path=args.recipe_path,
        changes=tuple(args.set),
        data=data,
        seed=args.seed,
        init=init,
        max_steps=args.max_steps,
        mixed_precision=mixed_precision(args.recipe.training.precision, state.device),
        processes=state.num_processes,
        with_samples=args.with_samples,
        init_sha256=weights_sha256(init),
    )


def train(run: RunSpec, accelerator: Accelerator, args: Namespace) -> Results | None:
    """Train, evaluate and write the run's files; returns the results on the main process."""
    recipe, main, alone = run.recipe, accelerator.is_main_process, run.processes == 1
    if not alone:  # a process that waits for the others would not get to a handler
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threads = use_all_cores()
    set_seed(run.seed)
    # A checkpoint brings all weights: those that the run began with may be out of reach by now.
    init = SCRATCH if has_checkpoint(run.folder) else run.init
    model, processor = build(recipe.model, run.data.labels, init)
    names = ["train", "validation"]
    if recipe.control.selection == "robust-auroc":
        names.append(CORRUPTED)
    if LEFT_OUT in run.data.splits:
        names.append(LEFT_OUT)
    if recipe.evaluation.test and "test" in run.data.splits:
        names.append("test")
    with accelerator.main_process_first():
        splits = load_pixels(run.data, processor, threads, names)
        if recipe.needs_lungs:
            splits["train"].lungs = lung_masks_of(run.data.splits["train"], splits["train"].pixels)
    external = None
    if main and args.also:  # before training: what is refused should be refused now
        external = load_external(
            args.also, args.also_labels, run.data, splits, processor, threads, args.also_drop_copies
        )
    normalise = Normaliser(*normalisation(processor), accelerator.device)
    accelerator.init_trackers("tensorboard" if recipe.training.tracker == "tensorboard" else "chest-xray")
    if main:
        print_plan(run, splits, accelerator.device)
    with ShutdownSignal() if alone else nullcontext(lambda: 0) as interrupted:
        inputs = TrainingInputs(
            recipe, model, splits, normalise, run.folder, run.seed, run.max_steps, run.identity,
            ask=ask_person if alone else None, interrupted=interrupted,
        )  # fmt: skip
        fit = Trainer(accelerator, inputs).run()
    results = None
    if main:
        save(model, processor, run.folder)
        results = finish_run(run, fit, splits, accelerator.device, external)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return results


def print_next_steps(args: Namespace) -> None:
    """Print the commands that use the run."""
    run = shlex.quote(str(args.output))
    print("\nnext:")
    print(f"  predict  python -m train.predict {run} IMAGES --output predictions.csv")
    print(f"  serve    python app.py --model {run}")
    print(f"  share    python -m hub.push model {run} USER/NAME")
