"""What results.json says of the training."""

import hashlib
import platform
from importlib.metadata import version

import torch

from space.results.training_records import RecipeRecord, Selection, TrainingRecord
from train.common.arguments import IMAGENET
from train.engine.control import METRICS
from train.engine.run_spec import RunSpec
from train.engine.trainer import Fit
from train.models.chest_cnns import CHEST_CNNS
from train.models.factory import base_model

PACKAGES = ("torch", "torchvision", "timm", "transformers", "accelerate", "datasets", "scikit-learn", "Pillow")


def record_training(run: RunSpec, fit: Fit, images: dict[str, int], device: torch.device) -> TrainingRecord:
    """Put down how a model was made.

    Args:
        run: What was asked for.
        fit: What training left behind.
        images: {split: how many were used}.
        device: Where it was trained.
    """
    metric, _ = METRICS[run.recipe.control.selection]
    return TrainingRecord(
        recipe=RecipeRecord(**run.recipe.to_dict()),
        recipe_sha256=hashlib.sha256(run.recipe_text().encode()).hexdigest(),
        labels=run.data.labels,
        remote_code=run.recipe.model.architecture in CHEST_CNNS,
        command=run.command,
        seed=run.seed,
        init=run.init_name,
        init_sha256=run.init_sha256,
        base_model=base_model(run.recipe.model.architecture) if run.init == IMAGENET else None,
        max_steps=run.max_steps,
        processes=run.processes,
        precision=run.precision_name,
        dataset=run.data.summary(with_test="test" in images),
        images=images,
        train_seconds=sum(row["seconds"] for row in fit.history),
        selection=Selection(metric=metric, stopped=fit.stopped, **fit.kept),
        history=fit.history,
        environment=environment(device),
    )


def environment(device: torch.device) -> dict[str, str]:
    """Device and package versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"
    return {"device": name, "python": platform.python_version()} | {package: version(package) for package in PACKAGES}
