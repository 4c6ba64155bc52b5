"""The training loop on top of accelerate.

Every random number is a function of the run's seed and the step, so a run resumed from a checkpoint draws what
the run that was never interrupted would have drawn.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from space.errors import UsageError
from train.batches.augmentation import Augmenter
from train.batches.sampler import AUGMENTATION, DROPOUT, random_seed
from train.batches.training_batches import Batch, TrainingBatches
from train.common.checkpoint_folder import checkpoints_of
from train.engine import checkpoint as disk
from train.engine.control import Control, ControlState, Decision, Row
from train.engine.cpu_kernels import avoid_slow_kernels
from train.engine.optim import build_optimizer, rate_factor
from train.engine.progress import Progress
from train.engine.shutdown import Interrupted
from train.engine.training_inputs import TrainingInputs
from train.engine.validation import validate
from train.models.freezing import check_batch_norm, freeze, train_mode


@dataclass(frozen=True)
class Fit:
    """What training left behind, besides the kept weights in the model.

    Attributes:
        history: One row per epoch, as `space.results.training_records.EpochRecord` has it.
        kept: The row whose weights were kept.
        stopped: Why training ended early; "" if it did not.
    """

    history: list[Row]
    kept: Row
    stopped: str


class Trainer:
    """Trains a model; `run()` does it all.

    Args:
        accelerator: Where and in which precision to compute.
        inputs: What to train.
    """

    def __init__(self, accelerator: Accelerator, inputs: TrainingInputs):
        training = inputs.recipe.training
        self.accelerator, self.inputs, self.training = accelerator, inputs, training
        freeze(inputs.model, inputs.recipe.model.trainable)
        ranks = (accelerator.process_index, accelerator.num_processes)
        augmentation = inputs.recipe.augmentation
        self.batches = TrainingBatches(
            inputs.splits["train"], training, inputs.seed, accelerator.device, *ranks, augmentation
        )
        check_batch_norm(inputs.model, self.batches.smallest)
        if (accelerator.device.type, accelerator.mixed_precision) == ("cpu", "bf16"):
            avoid_slow_kernels(inputs.model)
        model = inputs.model.to(memory_format=torch.channels_last)
        self.model, self.optimizer = accelerator.prepare(model, build_optimizer(model, training))
        self.network = accelerator.unwrap_model(self.model, keep_torch_compile=False)
        self.average = None
        if training.ema_decay:
            self.average = AveragedModel(
                self.network, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay), use_buffers=True
            )
        self.augment = Augmenter(inputs.recipe.augmentation, accelerator.device)
        weights = self.batches.weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).float().to(accelerator.device)
        planned = self._limit(training.epochs)
        warmup = min(round(training.warmup_epochs * self.batches.steps), planned // 2)
        self.factor = partial(rate_factor, training.schedule, warmup=warmup, total=planned)
        self.control = Control(inputs.recipe, inputs.ask)
        self.step = 0
        self.history: list[Row] = []
        self.losses: list[Tensor] = []  # of the epoch so far
        self.seconds = 0.0  # of the epoch so far, before this process took over
        self.kept: Row = {}
        self.kept_file: dict[str, str] | None = None

    @property
    def total(self) -> int:
        """Optimiser steps, as things stand."""
        return self._limit(self.control.state.epochs)

    @property
    def evaluated(self) -> nn.Module:
        """The weights that are validated and kept: the averaged ones, where there is an average."""
        return self.average.module if self.average else self.network

    def run(self) -> Fit:
        """Train to the end, from a checkpoint in the run's folder if there is one; the model then has the kept weights.

        Raises:
            ChestXrayError: Training diverged, or its state could not be saved.
            Interrupted: The process was asked to end.
        """
        self._resume()
        with Progress(self.step, self.total, self.accelerator.is_main_process) as self.progress:
            while self._continues():
                self._epoch()
        self._load_kept(self.network)
        self.accelerator.wait_for_everyone()
        return Fit(self.history, self.kept, self.control.state.stopped)

    def _continues(self) -> bool:
        """Whether another epoch is due, after asking a person if that is due; the state is saved already."""
        self._check_interrupted()
        if self.control.ask_if_due():
            if stopped := self.control.state.stopped:
                self.progress.note(f"stopped after epoch {len(self.history)}: {stopped}")
            self.progress.bar.total = self.total
            self._save()
            self._check_interrupted()
        return not self.control.state.stopped and len(self.history) * self.batches.steps < self.total

    def _limit(self, epochs: int) -> int:
        return min(self.batches.steps * epochs, self.inputs.max_steps or math.inf)

    def _epoch(self) -> None:
        """Train to the end of the present epoch, validate, and do what the control says."""
        started = time.perf_counter() - self.seconds
        train_mode(self.model)
        begin = len(self.history) * self.batches.steps
        end = min(begin + self.batches.steps, self.total)
        for batches in islice(self.batches.epoch(len(self.history), self.step - begin), end - self.step):
            self._optimise(batches)
            self.seconds = time.perf_counter() - started
            self._save_if_due()
        losses = self._shared_losses()
        # A step that fp16 had to skip may have no finite loss.
        row = {"epoch": len(self.history) + 1, "step": self.step, "train_loss": float(losses[losses.isfinite()].mean())}
        row["learning_rate"] = self._rate(self.step - 1)
        row |= validate(self.accelerator, self.evaluated, self.inputs.splits, self.inputs.normalise)
        row["seconds"] = time.perf_counter() - started
        self.history.append(row)
        self.losses, self.seconds = [], 0.0
        self._follow(self.control.after_epoch(row))

    def _follow(self, decision: Decision) -> None:
        """Keep the epoch's weights or go back to those kept before, and save."""
        row = self.history[-1]
        if decision.keep:
            self.kept = row
            self.kept_file = self._write(
                disk.save_weights, f"kept-{self.step:09}.safetensors", self.evaluated.state_dict()
            )
        if decision.rollback:
            for module in {self.network, self.evaluated}:
                self._load_kept(module)
        self._report(row, decision.notes)
        self._save()

    def _optimise(self, batches: list[Batch]) -> None:
        """One optimiser step: the batches' gradients together."""
        rank = self.accelerator.process_index
        rate = self._rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(random_seed(self.inputs.seed, DROPOUT, self.step, rank))
        loss = torch.zeros((), device=self.accelerator.device)
        for number, batch in enumerate(batches):
            is_last = number + 1 == len(batches)  # processes exchange gradients once a step
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                loss = loss + self._backward(batch, number)
        if self.training.clip_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.training.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average:
            self.average.update_parameters(self.network)
        self.losses.append(loss)
        self.step += 1
        self.progress.step(loss)

    def _backward(self, batch: Batch, number: int) -> Tensor:
        """Forward and backward pass of one batch; returns its share of the step's loss, detached."""
        seed = random_seed(self.inputs.seed, AUGMENTATION, self.step, number)
        pixels = self.augment(batch.pixels, seed, batch.place, batch.total, batch.lungs)
        if batch.augmented is not None:
            pixels = torch.where(batch.augmented.view(-1, 1, 1, 1), pixels, batch.pixels.float() / 255)
        with self.accelerator.autocast():
            logits = self.model(pixel_values=self.inputs.normalise(pixels)).logits
        summed = F.cross_entropy(
            logits.float(), batch.labels, weight=self.class_weights, reduction="sum",
            label_smoothing=self.training.label_smoothing,
        )  # fmt: skip
        # Processes average their gradients: with the sum over all images as divisor the mean is that of one process.
        loss = summed / batch.divisor * self.accelerator.num_processes
        self.accelerator.backward(loss)
        return loss.detach()

    def _rate(self, step: int) -> float:
        return self.training.learning_rate * self.control.state.rate_scale * self.factor(step)

    def _report(self, row: Row, notes: list[str]) -> None:
        """Send an epoch to the tracker and print it."""
        numbers = {name: value for name, value in row.items() if name not in ("epoch", "step", "origin_auroc")}
        numbers |= {f"origin_auroc/{name}": value for name, value in row["origin_auroc"].items()}
        self.accelerator.log(numbers, step=row["step"])
        self.progress.epoch(row, self.control.metric, self.kept, self.total)
        for note in notes:
            self.progress.note(note)

    def _save_if_due(self) -> None:
        """Save between epochs, every so many steps and when the process is asked to end."""
        every = self.inputs.recipe.control.checkpoint_steps
        if self.inputs.interrupted() or (every and self.step % every == 0):
            self._save()
        self._check_interrupted()

    def _check_interrupted(self) -> None:
        """End if a signal asked for it; the state is saved already."""
        if self.step and (signal := self.inputs.interrupted()):
            raise Interrupted(self.step, signal)

    def _shared_losses(self) -> Tensor:
        """The losses of the epoch so far, (steps,); each process knows only its share of them."""
        return self.accelerator.reduce(torch.stack(self.losses), "mean") if self.losses else torch.zeros(0)

    def _save(self) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= disk.flatten_optimizer(self.optimizer.state_dict()["state"])
        if self.average:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        facts = {
            "identity": self.inputs.identity,
            "control": asdict(self.control.state),
            "history": self.history,
            "kept": self.kept_file,
            "kept_row": self.kept,
            "losses": self._shared_losses().tolist(),
            "seconds": self.seconds,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }
        self._write(disk.save_checkpoint, disk.Checkpoint(self.step, tensors, facts))

    def _write(self, write: Callable, *values: Any) -> Any:
        """Write to the checkpoints' folder on the main process."""
        return write(checkpoints_of(self.inputs.folder), *values) if self.accelerator.is_main_process else None

    def _from_main(self, read: Callable[[], Any]) -> Any:
        """What the main process reads, on every process: others may not see its disk."""
        values = [read() if self.accelerator.is_main_process else None]
        return broadcast_object_list(values)[0]

    def _load_kept(self, module: nn.Module) -> None:
        folder = checkpoints_of(self.inputs.folder)
        module.load_state_dict(self._from_main(lambda: load_file(folder / self.kept_file["file"])))

    def _resume(self) -> None:
        """Restore the state of the last checkpoint, if there is one."""
        folder = checkpoints_of(self.inputs.folder)
        saved = self._from_main(lambda: disk.load_checkpoint(folder))
        if saved is None:
            return
        facts = saved.facts
        different = [name for name, value in facts["identity"].items() if value != self.inputs.identity.get(name)]
        if different:
            raise UsageError(
                f"--resume: the interrupted run was started with another {', '.join(different)}. Repeat the command "
                f"that started it, or delete {folder.parent} to start again."
            )
        self.step, self.history, self.kept = saved.step, facts["history"], facts["kept_row"]
        self.kept_file, self.seconds = facts["kept"], facts["seconds"]
        self.losses = [torch.tensor(loss, device=self.accelerator.device) for loss in facts["losses"]]
        self.control.state = ControlState(**facts["control"])
        self.network.load_state_dict(_part(saved.tensors, "model"))
        disk.restore_optimizer(self.optimizer.optimizer, saved.tensors)
        if self.average:
            self.average.load_state_dict(_part(saved.tensors, "average"))
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        if self.accelerator.is_main_process:
            print(f"resuming after step {self.step} (epoch {len(self.history) + 1})")


def _part(tensors: dict[str, Tensor], owner: str) -> dict[str, Tensor]:
    """The tensors of one owner, by their own names."""
    return {name.removeprefix(f"{owner}."): tensor for name, tensor in tensors.items() if name.startswith(f"{owner}.")}
