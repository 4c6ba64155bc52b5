"""Scores on the validation split after an epoch, shared by several processes."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from space.errors import ChestXrayError
from train.data.origins import comparable_origins
from train.data.pixel_cache import CORRUPTED, Normaliser, PixelDataset
from train.engine.control import Row
from train.evaluation.inference import predict_logits
from train.evaluation.metrics import auroc


def validate(accelerator: Accelerator, model: nn.Module, splits: dict[str, PixelDataset], normalise: Normaliser) -> Row:
    """Loss, accuracy and AUROC on the validation split; AUROC of each origin, and on a corrupted copy if there is one.

    Returns:
        The part of the history's row that is measured here.

    Raises:
        ChestXrayError: The logits are not finite.
    """
    for buffer in model.buffers() if accelerator.num_processes > 1 else ():
        torch.distributed.broadcast(buffer, 0)  # batch norm statistics are each process's own until here
    labels, origins = splits["validation"].labels, splits["validation"].origins
    logits = _gathered_logits(accelerator, model, splits["validation"], normalise)
    scores = {
        "validation_loss": float(F.cross_entropy(logits, labels)),
        "validation_accuracy": float((logits.argmax(dim=1) == labels).float().mean()),
        "validation_auroc": auroc(labels.numpy(), logits.softmax(dim=1).numpy()),
    }
    rows_of = comparable_origins(origins, labels.numpy(), logits.shape[1])
    by_origin = {
        name: auroc(labels[rows].numpy(), logits[rows].softmax(dim=1).numpy()) for name, rows in rows_of.items()
    }
    scores["origin_auroc"] = {name: value for name, value in by_origin.items() if name}
    scores["worst_origin_auroc"] = min(by_origin.values())
    if CORRUPTED in splits:
        corrupted = _gathered_logits(accelerator, model, splits[CORRUPTED], normalise)
        scores["corrupted_auroc"] = auroc(labels.numpy(), corrupted.softmax(dim=1).numpy())
        scores["robust_auroc"] = (scores["validation_auroc"] + scores["corrupted_auroc"]) / 2
    return scores


def _gathered_logits(accelerator: Accelerator, model: nn.Module, split: PixelDataset, normalise: Normaliser) -> Tensor:
    """Logits (N, K) of a split, on the CPU of every process, each process having computed a part."""
    share = math.ceil(len(split) / accelerator.num_processes)
    rows = np.arange(share) + share * accelerator.process_index
    with accelerator.autocast():
        mine = predict_logits(model, split, normalise, rows.clip(max=len(split) - 1))
    # The last process repeats rows to have as many as the others; they are at the end.
    logits = accelerator.gather(torch.from_numpy(mine).to(accelerator.device))[: len(split)].cpu()
    if not logits.isfinite().all():
        raise ChestXrayError(
            "training diverged: the model's outputs are no longer finite. Lower learning_rate in the recipe, "
            'or set precision = "fp32".'
        )
    return logits
