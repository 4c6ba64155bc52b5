"""What a training run was asked for."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from space.errors import UsageError
from train.batches.sampler import epoch_length
from train.common.arguments import public_name
from train.config.recipe import Recipe
from train.config.recipe_file import RECIPES
from train.data.compositing import plausible
from train.data.dataset import Data
from train.data.pixel_cache import PixelDataset


@dataclass(frozen=True)
class RunSpec:
    """What was asked for.

    Raises:
        UsageError: The recipe's positive label is not a class of the dataset, or is set for more than two classes.

    Attributes:
        folder: Where the run folder is being written.
        recipe: The recipe, read from `recipe_path` with `changes` made to it.
        changes: The command line's `--set key=value`.
        data: The dataset.
        seed, init, max_steps: As on the command line.
        mixed_precision: As accelerate names it: "no", "bf16" or "fp16".
        processes: Number of processes; each takes its own batches.
        with_samples: Whether images of single patients may be published with the run.
        init_sha256: Of starting weights that are a local file or run folder; "" for others.
    """

    folder: Path
    recipe: Recipe
    recipe_path: Path
    changes: tuple[str, ...]
    data: Data
    seed: int
    init: str
    max_steps: int | None
    mixed_precision: str
    processes: int
    with_samples: bool = False
    init_sha256: str = ""

    def __post_init__(self):
        wanted, labels = self.recipe.evaluation.positive_label, self.data.labels
        if len(labels) == 2 and wanted not in labels:
            raise UsageError(
                f"the recipe says positive_label = {wanted!r}, but the dataset has the classes "
                f"{', '.join(labels)}. Use a recipe for these classes, or add --set positive_label={labels[-1]!r}."
            )
        if len(labels) > 2 and (wanted or self.recipe.evaluation.operating_point != "argmax"):
            raise UsageError(
                f"the dataset has {len(labels)} classes: positive_label and operating_point need exactly two. Leave "
                'them out, or write positive_label = "" and operating_point = "argmax".'
            )

    @property
    def positive(self) -> int | None:
        """Index of the positive class of a binary task; None for more classes."""
        return self.data.labels.index(self.recipe.evaluation.positive_label) if len(self.data.labels) == 2 else None

    @property
    def precision_name(self) -> str:
        """The precision of training, as people name it."""
        return "fp32" if self.mixed_precision == "no" else self.mixed_precision

    @property
    def recipe_name(self) -> str:
        """The recipe as a command names it: by its name, or by its file where it is not one of ours."""
        return self.recipe.name if self.recipe_path.resolve().parent == RECIPES else self.recipe_path.name

    @property
    def init_name(self) -> str:
        """The starting weights, a local file or folder by its name alone."""
        return public_name(self.init)

    @property
    def command(self) -> str:
        """The command that made the run, with folder names only: local paths do not belong on a card."""
        alone = ["accelerate", "launch", "--quiet"]
        words = alone if self.processes == 1 else ["torchrun", "--nproc_per_node", str(self.processes)]
        words = [*words, "train/finetune.py", "--recipe", self.recipe_name, "--dataset", self.data.name]
        words += ["--output", self.folder.name.removesuffix(".partial")]
        words += ["--seed", str(self.seed), "--init", self.init_name]
        words += ["--max-steps", str(self.max_steps)] if self.max_steps else []
        return shlex.join(words + [word for change in self.changes for word in ("--set", change)])

    @property
    def identity(self) -> dict:
        """What must be the same for an interrupted run to be resumed, as JSON values."""
        settings = {"seed": self.seed, "init": self.init, "max_steps": self.max_steps}
        where = {"precision": self.mixed_precision, "processes": self.processes}
        return {"recipe": self.recipe.to_dict(), "dataset": self.data.fingerprint} | settings | where

    def recipe_text(self) -> str:
        """The recipe as it was run, as a recipe file: the story of the file it came from, then every key."""
        story = [line for line in self.recipe_path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        story += [f"# Changed here: {' '.join(change.split())}" for change in self.changes]
        return "\n".join([*story, "", self.recipe.to_toml()])


def print_plan(run: RunSpec, splits: dict[str, PixelDataset], device: torch.device) -> None:
    """Say what is about to happen, before anything long starts."""
    model, training = run.recipe.model, run.recipe.training
    train, labels = splits["train"].labels.numpy(), run.data.labels
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    classes = ", ".join(f"{label} {n:,}" for label, n in zip(labels, np.bincount(train), strict=True))
    steps = epoch_length(train, training.class_balance) // (
        training.batch_size * training.accumulation_steps * run.processes
    )
    limit = f", at most {run.max_steps} steps" if run.max_steps else ""
    batches = f"{training.batch_size} x {run.processes} x {training.accumulation_steps}"
    print(f"model    {model.architecture}, {model.image_size} px, {' / '.join(labels)}; start: {run.init}")
    print(f"images   {counts}; training: {classes}")
    if any(splits["train"].origins):
        origins, numbers = np.unique(splits["train"].origins, return_counts=True)
        listed = ", ".join(f"{name or 'unknown'} {n:,}" for name, n in zip(origins, numbers, strict=True))
        print(f"origins  {listed}" + (f"; left out: {', '.join(run.data.left_out)}" if run.data.left_out else ""))
    if (lungs := splits["train"].lungs) is not None:
        print(f"lungs    {plausible(lungs).sum():,} training images have a lung mask that can be right")
    print(f"training {training.epochs} epochs of {max(1, steps)} steps, batches of {batches}{limit}; seed {run.seed}")
    print(f"         {training.optimizer}, {training.schedule} schedule, class balance: {training.class_balance}")
    print(f"device   {device}, {run.processes} process(es), {run.precision_name}, {torch.get_num_threads()} threads")
