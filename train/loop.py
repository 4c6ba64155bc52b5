"""The training loop on top of accelerate."""

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from space.errors import ChestXrayError, UsageError
from train.batches import Augmenter, Normaliser, PixelDataset
from train.metrics import auroc
from train.recipe import Recipe, TrainingRecipe


@dataclass(frozen=True)
class Fit:
    """What training left behind (the weights themselves lie in the run folder).

    Attributes:
        history: One row per epoch: epoch, step, learning_rate, train_loss, validation_loss, validation_auroc, seconds.
        kept: The row whose weights were kept.
    """

    history: list[dict[str, float]]
    kept: dict[str, float]


def use_all_cores() -> int:
    """Give this process its share of the usable cores; returns the number of threads.

    On CPU accelerate's launcher sets OMP_NUM_THREADS=1, which halves the speed on two cores.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    torch.set_num_threads(threads)
    return threads


def mixed_precision(wanted: str, device: torch.device) -> str:
    """Choose accelerate's mixed precision.

    Args:
        wanted: A recipe's `precision`.
        device: Where training runs.

    Returns:
        "no" (fp32), "bf16" or "fp16"; for "auto" bf16 where the processor computes in it.

    Raises:
        UsageError: fp16 on a CPU, where accelerate would silently train in fp32.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError('precision = "fp16" needs a GPU; on a CPU use "auto", "bf16" or "fp32".')
    if wanted != "auto":
        return {"fp32": "no"}.get(wanted, wanted)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    cpu = torch.cpu.get_capabilities()
    return "bf16" if cpu.get("avx512_bf16") or cpu.get("amx_bf16") else "no"


def learning_rate_factor(step: int, warmup: int, total: int) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def fit(
    accelerator: Accelerator,
    model: nn.Module,
    recipe: Recipe,
    splits: dict[str, PixelDataset],
    normalise: Normaliser,
    folder: Path,
    seed: int,
    max_steps: int | None = None,
) -> Fit:
    """Fine-tune a model and keep its best weights in `folder`.

    Args:
        accelerator: Where and in which precision to compute.
        model: A transformers image classifier.
        recipe: Optimiser, schedule and augmentation.
        splits: The splits "train" and "validation".
        normalise: Pixels -> the model's input.
        folder: Where `save_pretrained` writes the weights of the kept epoch.
        seed: Seed of the augmentation (shuffling follows torch's global seed).
        max_steps: Stop after this many optimiser steps.

    Returns:
        The history and the epoch that was kept.
    """
    training = recipe.training
    model = model.to(memory_format=torch.channels_last)
    model, optimizer, loader, validation = accelerator.prepare(
        model,
        _optimizer(model, training),
        _loader(splits["train"], training.batch_size, shuffle=True),
        _loader(splits["validation"], 2 * training.batch_size, shuffle=False),
    )
    total = min(len(loader) * training.epochs, max_steps or math.inf)
    warmup = min(round(training.warmup_epochs * len(loader)), total // 2)
    factor = partial(learning_rate_factor, warmup=warmup, total=total)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer.optimizer, factor)
    augment = Augmenter(recipe.augmentation, accelerator.device, seed + accelerator.process_index)
    step = _Step(accelerator, model, optimizer, schedule, lambda pixels: normalise(augment(pixels)), training)
    history: list[dict[str, float]] = []
    kept: dict[str, float] = {}
    with tqdm(total=total, desc="training", unit="step", disable=not accelerator.is_main_process) as progress:
        while (done := schedule.last_epoch) < total:
            started = time.perf_counter()
            loss = _train_epoch(step, islice(loader, total - done), progress, kept.get("validation_auroc"))
            row = {"epoch": len(history) + 1, "step": schedule.last_epoch, "train_loss": loss}
            row["learning_rate"] = schedule.get_last_lr()[0]
            row |= _validate(accelerator, model, validation, normalise)
            row["seconds"] = time.perf_counter() - started
            history.append(row)
            highest = max(entry["validation_auroc"] for entry in history)
            if row["validation_auroc"] >= highest - training.selection_tolerance:
                kept = row
                if accelerator.is_main_process:
                    accelerator.unwrap_model(model).save_pretrained(folder)
            _report(accelerator, progress, row, is_kept=kept is row)
    accelerator.wait_for_everyone()
    return Fit(history, kept)


@dataclass(frozen=True)
class _Step:
    """One optimiser step: pixels (B, 1, H, W) uint8 and labels (B,) -> loss, detached."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: AcceleratedOptimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    prepare: Callable[[Tensor], Tensor]
    training: TrainingRecipe

    def __call__(self, pixels: Tensor, labels: Tensor) -> Tensor:
        self.model.train()
        inputs = self.prepare(pixels)
        with self.accelerator.autocast():
            logits = self.model(pixel_values=inputs).logits
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.training.label_smoothing)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        return loss.detach()


def _train_epoch(step: _Step, batches: Iterable[tuple[Tensor, Tensor]], progress: tqdm, score: float | None) -> float:
    """Train on the batches of one epoch; returns their mean loss. `score` is shown beside the loss."""
    losses = []
    for pixels, labels in batches:
        losses.append(step(pixels, labels))
        if len(losses) % 10 == 1:  # reading the loss waits for the device, so not at every step
            shown = {} if score is None else {"val_auroc": f"{score:.4f}"}
            progress.set_postfix(loss=f"{losses[-1].item():.3f}", **shown, refresh=False)
        progress.update()
    return float(torch.stack(losses).mean())


def _report(accelerator: Accelerator, progress: tqdm, row: dict[str, float], is_kept: bool) -> None:
    """Send an epoch to the tracker and print it."""
    accelerator.log({name: value for name, value in row.items() if name not in ("epoch", "step")}, step=row["step"])
    if accelerator.is_main_process:
        progress.write(
            f"epoch {row['epoch']}: train loss {row['train_loss']:.4f}, validation loss {row['validation_loss']:.4f}, "
            f"validation AUROC {row['validation_auroc']:.4f}, {row['seconds']:.0f} s{' (kept)' if is_kept else ''}"
        )


def _optimizer(model: nn.Module, training: TrainingRecipe) -> torch.optim.Optimizer:
    """AdamW without weight decay on biases and norms."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def _loader(split: PixelDataset, batch_size: int, shuffle: bool) -> DataLoader:
    # A last batch of one picture would break batch norm, so training drops an incomplete one unless it is the only one.
    drop_last = shuffle and len(split) > batch_size
    return DataLoader(split, batch_size, shuffle=shuffle, drop_last=drop_last, collate_fn=_as_is)


def _as_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


@torch.no_grad()
def _validate(accelerator: Accelerator, model: nn.Module, loader: DataLoader, normalise: Normaliser) -> dict:
    """Loss and AUROC on the validation split, gathered over processes without duplicates."""
    model.eval()
    all_logits, all_labels = [], []
    for pixels, labels in loader:
        with accelerator.autocast():
            logits = model(pixel_values=normalise(pixels)).logits
        gathered = accelerator.gather_for_metrics((logits.float(), labels))
        all_logits.append(gathered[0].cpu())
        all_labels.append(gathered[1].cpu())
    logits, labels = torch.cat(all_logits), torch.cat(all_labels)
    if not logits.isfinite().all():
        raise ChestXrayError(
            "training diverged: the model's outputs are no longer finite. Lower learning_rate in the recipe, "
            'or set precision = "fp32".'
        )
    return {
        "validation_loss": float(F.cross_entropy(logits, labels)),
        "validation_auroc": auroc(labels.numpy(), logits.softmax(dim=1).numpy()),
    }


@torch.no_grad()
def predict_logits(model: nn.Module, split: PixelDataset, normalise: Normaliser, batch_size: int = 64) -> np.ndarray:
    """Classify a whole split in fp32 on one process.

    Returns:
        Logits (N, K) float32, in the order of the split.
    """
    model.eval()
    logits = []
    for start in range(0, len(split), batch_size):
        pixels, _ = split.__getitems__(list(range(start, min(start + batch_size, len(split)))))
        logits.append(model(pixel_values=normalise(pixels)).logits.float().cpu())
    return torch.cat(logits).numpy()
