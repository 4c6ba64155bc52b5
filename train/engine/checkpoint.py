"""The state of training on disk: complete or absent, verified when read; the last two are kept."""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from space.errors import ChestXrayError
from train.common.checkpoint_folder import list_checkpoints

KEPT = 2
FACTS, TENSORS = "state.json", "state.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """The state of training after a step.

    Attributes:
        step: Optimiser steps done.
        tensors: Weights, averages, optimiser state, by name.
        facts: Everything else, as JSON has it.
    """

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and remove those that are no longer needed.

    Args:
        folder: See `checkpoints_of`.
        checkpoint: The state; `facts["kept"]` is what `save_weights` returned for the weights that it refers to.

    Raises:
        ChestXrayError: It could not be written; earlier ones are as they were.
    """
    target = folder / f"step-{checkpoint.step:09}"
    partial = folder / f"{target.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}, partial / TENSORS)
        content = {"step": checkpoint.step, "facts": checkpoint.facts, TENSORS: _digest(partial / TENSORS)}
        (partial / FACTS).write_text(json.dumps({"content": content, "digest": _text_digest(content)}))
        for path in (partial / TENSORS, partial / FACTS, partial):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _unsaved(folder, error) from error
    _prune(folder, checkpoint.facts["kept"])


def save_weights(folder: Path, name: str, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Write weights to `folder/name`, whole or not at all.

    Returns:
        Its name and digest: {"file", "sha256"}.

    Raises:
        ChestXrayError: They could not be written.
    """
    partial = folder / f"{name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, partial)
        _sync(partial)
        digest = _digest(partial)
        partial.rename(folder / name)
        return {"file": name, "sha256": digest}
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise _unsaved(folder, error) from error


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the latest checkpoint that is whole; a damaged one is passed over with a message.

    Returns:
        The checkpoint, its tensors on the CPU; None if there is none.

    Raises:
        ChestXrayError: There are checkpoints, but all are damaged.
    """
    steps, damaged = list_checkpoints(folder), []
    for path in reversed(steps):
        try:
            record = json.loads((path / FACTS).read_text())
            content = record["content"]
            whole = _text_digest(content) == record["digest"] and _digest(path / TENSORS) == content[TENSORS]
            kept = content["facts"]["kept"]
            if whole and (kept is None or _digest(folder / kept["file"]) == kept["sha256"]):
                for other in damaged:  # else it would count as one of the last two
                    shutil.rmtree(other, ignore_errors=True)
                return Checkpoint(content["step"], load_file(path / TENSORS), content["facts"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            pass  # reported below, whatever does not fit
        print(f"checkpoint {path.name} is damaged and skipped", file=sys.stderr)
        damaged.append(path)
    if steps:
        raise ChestXrayError(f"all checkpoints in {folder} are damaged. Delete {folder.parent} to start again.")
    return None


def flatten_optimizer(state: dict[int, dict[str, Any]]) -> dict[str, Tensor]:
    """Name the tensors of an optimiser's `state_dict()["state"]`: {"optimizer.<index>.<key>": tensor}."""
    return {
        f"optimizer.{index}.{key}": value
        for index, entry in state.items()
        for key, value in entry.items()
        if torch.is_tensor(value)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `flatten_optimizer` named."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            like = parameters[int(index)]
            # Fused kernels walk through memory: the layout has to be the parameter's, such as channels last.
            value = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape and tensor.ndim else tensor
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _prune(folder: Path, kept: dict[str, str] | None) -> None:
    """Remove all but the last checkpoints, and the weights that none of them refers to."""
    steps = list_checkpoints(folder)
    for path in steps[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    needed = [kept]
    for path in steps[-KEPT:]:
        try:
            needed.append(json.loads((path / FACTS).read_text())["content"]["facts"]["kept"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged checkpoint needs nothing
    names = {weights["file"] for weights in needed if weights}
    for path in folder.glob("kept-*"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _unsaved(folder: Path, error: Exception) -> ChestXrayError:
    return ChestXrayError(
        f"the state of training could not be saved in {folder}: {error}. Free some space and continue with --resume; "
        "earlier checkpoints are intact."
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text_digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    """Make sure that a file or folder is on the disk, so that a rename after it cannot come before it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
