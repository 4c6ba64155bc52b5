"""Saved models, opened: safetensors alone, and our own networks with our own code."""

from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, PilBackend

from space.errors import UsageError, first_line
from train.models.modeling_chest_cnn import ChestCnnConfig, ChestCnnForImageClassification

# So that a run folder opens in this project without remote code; elsewhere its own copy of the code is used.
AutoConfig.register(ChestCnnConfig.model_type, ChestCnnConfig)
AutoModelForImageClassification.register(ChestCnnConfig, ChestCnnForImageClassification)
# Pillow resizes, whichever backend is asked for: torchvision's result differs from it by one gray level.
AutoImageProcessor.register(ChestCnnConfig, image_processor_classes={"pil": PilBackend, "torchvision": PilBackend})


def load_saved(folder: Path) -> tuple[nn.Module, object]:
    """Open the model and the image processor of a run folder.

    Raises:
        UsageError: They are damaged, or not there.
    """
    try:
        model = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True)
        return model, AutoImageProcessor.from_pretrained(folder, backend="pil")
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UsageError(f"the model in {folder} cannot be loaded: {first_line(error)}") from None
