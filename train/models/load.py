"""Saved models, opened: safetensors alone, and our own networks with our own code."""

from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, PilBackend
from transformers.utils.logging import disable_progress_bar

from space.errors import UsageError, first_line
from train.models.modeling_chest_cnn import ChestCnnConfig, ChestCnnForImageClassification

# So that a run folder opens in this project without remote code; elsewhere its own copy of the code is used.
AutoConfig.register(ChestCnnConfig.model_type, ChestCnnConfig)
AutoModelForImageClassification.register(ChestCnnConfig, ChestCnnForImageClassification)
# Pillow resizes, whichever backend is asked for: torchvision's result differs from it by one gray level.
AutoImageProcessor.register(ChestCnnConfig, image_processor_classes={"pil": PilBackend, "torchvision": PilBackend})


def load_saved(folder: Path) -> tuple[nn.Module, object]:
    """Open the model, in evaluation mode, and the image processor of a model repository's folder.

    No code of the folder is run: chest CNNs are this project's own.

    Raises:
        UsageError: They are damaged, not there, or no classifier of one of two or more labels.
    """
    disable_progress_bar()  # one for the weights, which are read in a moment
    options = {"trust_remote_code": False}
    try:
        model, loading = AutoModelForImageClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **options
        )
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UsageError(f"the model in {folder} cannot be loaded: {first_line(error)}") from None
    if missing := loading["missing_keys"]:
        raise UsageError(
            f"the model in {folder} cannot be used: its weights lack {len(missing)} tensors, which would be random; "
            f"first {min(missing)!r}."
        )
    if model.config.num_labels < 2 or model.config.problem_type not in (None, "single_label_classification"):
        raise UsageError(f"the model in {folder} cannot be used: it must choose one of two or more labels.")
    return model.eval(), processor
