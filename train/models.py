"""From a recipe to a model and its image processor; the only place that knows architectures."""

import json
import tempfile
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import timm
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import save_for_hf
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModelForImageClassification

from space.errors import ChestXrayError, UsageError, check_local, first_line
from train.recipe import ModelRecipe

IMAGENET = "imagenet"
SCRATCH = "scratch"
# The layer whose output is the last feature map; packages that work with hooks need its name.
GRADCAM_LAYERS = {"mobilenetv2": "timm_model.bn2", "densenet": "timm_model.features.norm5"}


def build(recipe: ModelRecipe, labels: list[str], init: str = IMAGENET):
    """Build a model and its processor.

    Args:
        recipe: Architecture and picture size.
        labels: Class names in the order of the logits.
        init: "imagenet" (from the Hub), "scratch", a .safetensors file, a run folder, or a Hub repository.

    Returns:
        A `TimmWrapperForImageClassification` and its image processor.

    Raises:
        UsageError: The architecture or the starting weights do not exist or do not fit.
        ChestXrayError: The Hub could not be reached for the starting weights.
    """
    if not timm.is_model(recipe.architecture):
        similar = ", ".join(get_close_matches(recipe.architecture, timm.list_models(), n=6))
        raise UsageError(f"timm has no model {recipe.architecture!r}. Similar names: {similar or 'none'}.")
    net = timm.create_model(recipe.architecture, num_classes=len(labels), drop_rate=recipe.dropout, pretrained=False)
    # timm's own last layer is drawn the wider, the fewer the classes: with two, training would start at a loss of 4.
    head = net.get_classifier()
    if not isinstance(head, nn.Linear):
        kind = type(head).__name__
        raise UsageError(f"{recipe.architecture} ends in a {kind}; take an architecture that ends in a linear layer.")
    nn.init.trunc_normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    if init != SCRATCH:
        _load_backbone(net, _start_weights(net, init), init)
    with tempfile.TemporaryDirectory() as folder:
        _save_for_transformers(net, labels, recipe, Path(folder))
        model = AutoModelForImageClassification.from_pretrained(folder)
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    family = next((name for name in GRADCAM_LAYERS if recipe.architecture.startswith(name)), None)
    model.config.gradcam_layer = GRADCAM_LAYERS.get(family)
    model.config.problem_type = "single_label_classification"
    return model, processor


def _save_for_transformers(net: nn.Module, labels: list[str], recipe: ModelRecipe, folder: Path) -> None:
    """Write a timm model as a folder that `from_pretrained` opens with its weights untouched.

    Building TimmWrapper from a bare config would re-initialise every convolution with a far smaller deviation. Pictures
    are squeezed whole ("squash"): timm's default crop of 0.875 cuts the lungs' edges.
    """
    size = (3, recipe.image_size, recipe.image_size)
    data_config = {"input_size": size, "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear"}
    save_for_hf(net, folder, model_config={"label_names": labels}, safe_serialization=True, data_config=data_config)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["pretrained_cfg"].pop("tag", None)  # it names ImageNet weights, which these are not
    config["model_args"] = {"drop_rate": recipe.dropout}  # timm also writes num_classes here: transformers then fails
    path.write_text(json.dumps(config))


def _start_weights(net: nn.Module, init: str) -> dict[str, Tensor]:
    """Find and read the starting weights: {name: tensor}, in timm's naming."""
    check_local(init, "--init")
    path = Path(init)
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise UsageError(f"--init {init}: the folder has no model.safetensors.")
    elif path.suffix and path.exists() and path.suffix != ".safetensors":
        raise UsageError(f"--init {init}: weights are read from .safetensors files only.")
    if not path.is_file():
        path = _download(net.pretrained_cfg.get("hf_hub_id", ""), init)
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise UsageError(f"--init {init}: {path.name} is not a readable safetensors file ({error}).") from None
    return {name.removeprefix("timm_model."): tensor for name, tensor in weights.items()}


def _download(imagenet_repo: str, init: str) -> Path:
    repo = imagenet_repo if init == IMAGENET else init
    if not repo:
        raise UsageError("timm knows no ImageNet weights for this model: use --init scratch or --init PATH.")
    what = f"ImageNet weights ({repo})" if init == IMAGENET else f"--init {init}"
    try:
        return Path(hf_hub_download(repo, "model.safetensors"))
    except HFValidationError:
        raise UsageError(f"{what}: there is no such file or folder, and it is no OWNER/NAME on the Hub.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ChestXrayError(
            f"{what}: could not be had from the Hugging Face Hub ({first_line(error)}) Check the network, or use "
            "--init scratch (random weights) or --init PATH (a .safetensors file or a run folder)."
        ) from error


def _load_backbone(net: nn.Module, weights: dict[str, Tensor], init: str) -> None:
    """Load all weights that fit; the head may differ in its number of classes and then stays fresh."""
    head = f"{net.pretrained_cfg['classifier']}."
    own = net.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name in own and tensor.shape == own[name].shape}
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    lacking = [name for name in own if name not in fitting and not name.startswith(head) and name not in counters]
    if lacking:
        raise UsageError(
            f"--init {init}: the weights do not fit this architecture; {len(lacking)} of {len(own)} tensors are "
            f"missing or of another shape, first {lacking[0]!r}. Use weights of the recipe's architecture."
        )
    net.load_state_dict(fitting, strict=False)


def classifier_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer: the one whose output is the logits."""
    return model.timm_model.get_classifier()


def normalisation(processor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, (1, 3, 1, 1) each, on intensities in [0, 1]."""
    config = processor.data_config
    return tuple(torch.tensor(config[key], dtype=torch.float32).view(1, 3, 1, 1) for key in ("mean", "std"))


def input_size(processor) -> int:
    """Height and width in pixels of the model's input."""
    return processor.data_config["input_size"][-1]


def resize(processor, image: Image.Image) -> np.ndarray:
    """Resize a radiograph exactly as the saved processor does, without its normalisation.

    Args:
        processor: The model's image processor.
        image: Radiograph, mode "L".

    Returns:
        (H, W) uint8. The processor itself does the work, so evaluation in training equals `pipeline()`.
    """
    mean, std = normalisation(processor)
    pixels = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    return ((pixels * std + mean) * 255).round().clamp(0, 255)[0, 0].to(torch.uint8).numpy()
