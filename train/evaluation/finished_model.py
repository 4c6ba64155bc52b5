"""A run folder's model, ready to be evaluated."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from train.data.pixel_cache import Normaliser
from train.models.explained import ExplainedModel
from train.models.load import load_saved
from train.models.preprocessing import normalisation


@dataclass(frozen=True)
class FinishedModel:
    """What evaluation needs of a run folder.

    Attributes:
        model: The classifier, in evaluation mode.
        processor: Its image processor.
        normalise: Pixels -> its input, on its device.
    """

    model: nn.Module
    processor: object
    normalise: Normaliser

    @cached_property
    def explained(self) -> ExplainedModel:
        """The same classifier, weights shared, with the maps that explain it."""
        return ExplainedModel(self.model, self.processor).to(self.normalise.device)


def load_finished(folder: Path, device: torch.device | None = None) -> FinishedModel:
    """Load the model of a run folder, to be evaluated in fp32.

    Args:
        folder: The run folder.
        device: Where to compute; None for the GPU if there is one, else the CPU.

    Raises:
        UsageError: The model is damaged, or not there.
    """
    torch.backends.cudnn.allow_tf32 = False  # on a GPU "fp32" would else compute convolutions with 10 bits of mantissa
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, processor = load_saved(folder)
    return FinishedModel(model.to(device), processor, Normaliser(*normalisation(processor), device))
