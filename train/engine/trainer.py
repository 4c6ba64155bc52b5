"""The training loop on top of accelerate.

Every random number is a function of the run's seed and the step, so a run that goes on from a checkpoint draws what
the run that was never interrupted would have drawn.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
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
from tqdm import tqdm

from space.errors import UsageError
from train.batches.augmentation import Augmenter
from train.batches.sampler import AUGMENTATION, DROPOUT, random_seed
from train.batches.training_batches import Batch, TrainingBatches
from train.common.checkpoint_folder import checkpoints_of
from train.engine import checkpoint as disk
from train.engine.control import Control, ControlState, Decision
from train.engine.cpu_kernels import avoid_slow_kernels
from train.engine.job import Fit, Interrupted, TrainingInputs
from train.engine.optim import build_optimizer, rate_factor
from train.engine.validation import validate
from train.models.freezing import check_batch_norm, freeze, train_mode


class Trainer:
    """Trains a model; `run()` does it all.

    Args:
        accelerator: Where and in which precision to compute.
        job: What to train.
    """

    def __init__(self, accelerator: Accelerator, job: TrainingInputs):
        training = job.recipe.training
        self.accelerator, self.job, self.training = accelerator, job, training
        freeze(job.model, job.recipe.model.trainable)
        ranks = (accelerator.process_index, accelerator.num_processes)
        self.batches = TrainingBatches(job.splits["train"], training, job.seed, accelerator.device, *ranks)
        check_batch_norm(job.model, self.batches.smallest)
        if (accelerator.device.type, accelerator.mixed_precision) == ("cpu", "bf16"):
            avoid_slow_kernels(job.model)
        model = job.model.to(memory_format=torch.channels_last)
        self.model, self.optimizer = accelerator.prepare(model, build_optimizer(model, training))
        self.plain = accelerator.unwrap_model(self.model, keep_torch_compile=False)
        self.average = None
        if training.ema_decay:
            self.average = AveragedModel(
                self.plain, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay), use_buffers=True
            )
        self.augment = Augmenter(job.recipe.augmentation, accelerator.device)
        weights = self.batches.weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).float().to(accelerator.device)
        planned = self._limit(training.epochs)
        warmup = min(round(training.warmup_epochs * self.batches.steps), planned // 2)
        self.factor = partial(rate_factor, training.schedule, warmup=warmup, total=planned)
        self.control = Control(job.recipe, job.ask)
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.losses: list[Tensor] = []  # of the epoch so far
        self.seconds = 0.0  # of the epoch so far, before this process took over
        self.kept: dict[str, float] = {}
        self.kept_file: dict[str, str] | None = None

    @property
    def total(self) -> int:
        """Optimiser steps, as things stand."""
        return self._limit(self.control.state.epochs)

    @property
    def evaluated(self) -> nn.Module:
        """The weights that are validated and kept: the averaged ones, where there is an average."""
        return self.average.module if self.average else self.plain

    def run(self) -> Fit:
        """Train to the end, from a checkpoint in the job's folder if there is one; the model then has the kept weights.

        Raises:
            ChestXrayError: Training diverged, or its state could not be saved.
            Interrupted: The process was asked to end.
        """
        self._resume()
        with tqdm(
            total=self.total, initial=self.step, desc="training", unit="step",
            disable=not self.accelerator.is_main_process,
        ) as self.progress:  # fmt: skip
            while self._goes_on():
                self._epoch()
        self._load_kept(self.plain)
        self.accelerator.wait_for_everyone()
        return Fit(self.history, self.kept, self.control.state.stopped)

    def _goes_on(self) -> bool:
        """Whether another epoch is due, of which a person may have a say; the state is saved already."""
        self._check_interrupted()
        if self.control.ask_if_due():
            if (state := self.control.state).stopped and self.accelerator.is_main_process:
                self.progress.write(f"stopped after epoch {len(self.history)}: {state.stopped}")
            self.progress.total = self.total
            self._save()
            self._check_interrupted()
        return not self.control.state.stopped and len(self.history) * self.batches.steps < self.total

    def _limit(self, epochs: int) -> int:
        return min(self.batches.steps * epochs, self.job.max_steps or math.inf)

    def _epoch(self) -> None:
        """Train to the end of the epoch that `step` lies in, validate, and do what the control says."""
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
        row |= validate(self.accelerator, self.evaluated, self.job.splits, self.job.normalise)
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
            for module in {self.plain, self.evaluated}:
                self._load_kept(module)
        self._report(row, decision.notes)
        self._save()

    def _optimise(self, batches: list[Batch]) -> None:
        """One optimiser step: the batches' gradients together."""
        job, rank = self.job, self.accelerator.process_index
        rate = self._rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(random_seed(job.seed, DROPOUT, self.step, rank))
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
            self.average.update_parameters(self.plain)
        self.losses.append(loss)
        self.step += 1
        if self.step % 10 == 1:  # reading the loss waits for the device, so not at every step
            name = self.control.metric
            shown = {name.replace("validation", "val"): f"{self.kept[name]:.4f}"} if self.kept else {}
            self.progress.set_postfix(loss=f"{loss.item():.3f}", **shown, refresh=False)
        self.progress.update()

    def _backward(self, batch: Batch, number: int) -> Tensor:
        """Forward and backward pass of one batch; returns its share of the step's loss, detached."""
        pixels = self.augment(
            batch.pixels, random_seed(self.job.seed, AUGMENTATION, self.step, number), batch.place, batch.total
        )
        if batch.augmented is not None:
            pixels = torch.where(batch.augmented.view(-1, 1, 1, 1), pixels, batch.pixels.float() / 255)
        with self.accelerator.autocast():
            logits = self.model(pixel_values=self.job.normalise(pixels)).logits
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

    def _report(self, row: dict[str, float], notes: list[str]) -> None:
        """Send an epoch to the tracker and print it."""
        numbers = {name: value for name, value in row.items() if name not in ("epoch", "step")}
        self.accelerator.log(numbers, step=row["step"])
        if self.accelerator.is_main_process:
            shown = dict.fromkeys(["train_loss", "validation_loss", "validation_auroc", self.control.metric])
            values = ", ".join(f"{name.replace('_', ' ')} {row[name]:.4f}" for name in shown)
            kept = " (kept)" if self.kept is row else ""
            self.progress.write(f"epoch {row['epoch']}: {values}, {row['seconds']:.0f} s{kept}")
            for note in notes:
                self.progress.write(note)
        self.progress.total = self.total

    def _save_if_due(self) -> None:
        """Save between epochs, every so many steps and when the process is asked to end."""
        every = self.job.recipe.control.checkpoint_steps
        if self.job.interrupted() or (every and self.step % every == 0):
            self._save()
        self._check_interrupted()

    def _check_interrupted(self) -> None:
        """Give way to a signal; the state is saved already."""
        if self.step and (signal := self.job.interrupted()):
            raise Interrupted(self.step, signal)

    def _shared_losses(self) -> Tensor:
        """The losses of the epoch so far, (steps,); each process knows only its share of them."""
        return self.accelerator.reduce(torch.stack(self.losses), "mean") if self.losses else torch.zeros(0)

    def _save(self) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in self.plain.state_dict().items()}
        tensors |= disk.flatten_optimizer(self.optimizer.state_dict()["state"])
        if self.average:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        facts = {
            "identity": self.job.identity,
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
        return write(checkpoints_of(self.job.folder), *values) if self.accelerator.is_main_process else None

    def _from_main(self, read: Callable[[], Any]) -> Any:
        """What the main process reads, on every process: others may not see its disk."""
        values = [read() if self.accelerator.is_main_process else None]
        return broadcast_object_list(values)[0]

    def _load_kept(self, module: nn.Module) -> None:
        folder = checkpoints_of(self.job.folder)
        module.load_state_dict(self._from_main(lambda: load_file(folder / self.kept_file["file"])))

    def _resume(self) -> None:
        found = self._from_main(lambda: disk.load_checkpoint(checkpoints_of(self.job.folder)))
        if found is None:
            return
        facts = found.facts
        different = [name for name, value in facts["identity"].items() if value != self.job.identity[name]]
        if different:
            raise UsageError(
                f"--resume: the interrupted run has another {', '.join(different)} than this command. Give the command "
                "that it was started with, or delete its folder to start afresh."
            )
        self.step, self.history, self.kept = found.step, facts["history"], facts["kept_row"]
        self.kept_file, self.seconds = facts["kept"], facts["seconds"]
        self.losses = [torch.tensor(loss, device=self.accelerator.device) for loss in facts["losses"]]
        self.control.state = ControlState(**facts["control"])
        self.plain.load_state_dict(_part(found.tensors, "model"))
        disk.restore_optimizer(self.optimizer.optimizer, found.tensors)
        if self.average:
            self.average.load_state_dict(_part(found.tensors, "average"))
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        if self.accelerator.is_main_process:
            print(f"going on after step {self.step} (epoch {len(self.history) + 1})")


def _part(tensors: dict[str, Tensor], owner: str) -> dict[str, Tensor]:
    """The tensors of one owner, by their own names."""
    return {name.removeprefix(f"{owner}."): tensor for name, tensor in tensors.items() if name.startswith(f"{owner}.")}
