"""From a recipe to a model and its image processor; the only place that knows architectures."""

import json
import tempfile
from difflib import get_close_matches
from pathlib import Path

import timm
from PIL import Image
from timm.models import save_for_hf
from torch import nn
from transformers import PilBackend

from space.errors import UsageError, first_line
from train.common.arguments import IMAGENET, SCRATCH
from train.config.recipe import ModelRecipe
from train.models.chest_cnns import CHEST_CNNS, default_init
from train.models.explained import explain_head, network_of
from train.models.load import load_saved
from train.models.modeling_chest_cnn import ChestCnnConfig, ChestCnnForImageClassification
from train.models.pretrained import load_start

# The layer whose output is the last feature map; packages that work with hooks need its name.
GRADCAM_LAYERS = {"mobilenetv2": "timm_model.bn2", "densenet": "timm_model.features.norm5"}


def build(recipe: ModelRecipe, labels: list[str], init: str | None = None):
    """Build a model and its processor.

    Args:
        recipe: Architecture and image size.
        labels: Class names in the order of the logits.
        init: "imagenet" (from the Hub), "scratch", a .safetensors file, a run folder, or a Hub repository; None for
            `default_init`.

    Returns:
        A `TimmWrapperForImageClassification` or `ChestCnnForImageClassification`, and its image processor.

    Raises:
        UsageError: The architecture or the starting weights do not exist or do not fit, or the architecture cannot be
            explained (see `train.models.explained`).
        ChestXrayError: The Hub could not be reached for the starting weights.
    """
    make = _build_chest_cnn if recipe.architecture in CHEST_CNNS else _build_timm
    model, processor = make(recipe, labels, default_init(recipe.architecture) if init is None else init)
    model.config.problem_type = "single_label_classification"
    explain_head(model, recipe.image_size)  # refuses what could not be exported once it is trained
    return model, processor


def _build_chest_cnn(recipe: ModelRecipe, labels: list[str], init: str):
    if recipe.output_stride:
        raise _fixed_stride(recipe)
    if recipe.dropout:
        raise UsageError(
            f"dropout = {recipe.dropout}: {recipe.architecture} has its study's dropout rates built in; "
            "write dropout = 0."
        )
    if init == IMAGENET:
        raise UsageError(
            f"--init imagenet: there are no ImageNet weights for {recipe.architecture}; use --init scratch (its "
            "default) or --init PATH."
        )
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    settings = CHEST_CNNS[recipe.architecture] | {"image_size": recipe.image_size}
    model = ChestCnnForImageClassification(ChestCnnConfig(**settings, **names))
    if init != SCRATCH:
        load_start(model, init, labels)
    processor = PilBackend(
        do_convert_rgb=True,
        do_resize=True,
        size={"height": recipe.image_size, "width": recipe.image_size},
        resample=Image.Resampling.BILINEAR,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
    )
    return model, processor


def _build_timm(recipe: ModelRecipe, labels: list[str], init: str):
    if not timm.is_model(recipe.architecture):
        similar = ", ".join(get_close_matches(recipe.architecture, [*CHEST_CNNS, *timm.list_models()], n=6))
        raise UsageError(
            f"unknown architecture {recipe.architecture!r}. Give the name of a timm model, or one of "
            f"{', '.join(CHEST_CNNS)}. Similar names: {similar or 'none'}."
        )
    try:
        net = timm.create_model(recipe.architecture, num_classes=len(labels), **_arguments(recipe))
    except TypeError:
        if not recipe.output_stride:
            raise
        raise _fixed_stride(recipe) from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"timm cannot build {recipe.architecture!r}: {first_line(error)}") from None
    # timm's own last layer is drawn the wider, the fewer the classes: with two, training would start at a loss of 4.
    head = net.get_classifier()
    if not isinstance(head, nn.Linear):
        kind = type(head).__name__
        raise UsageError(f"{recipe.architecture} ends in a {kind}. Use an architecture that ends in a linear layer.")
    nn.init.trunc_normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    if init != SCRATCH:
        load_start(net, init, labels, net.pretrained_cfg.get("hf_hub_id", ""))
    with tempfile.TemporaryDirectory() as folder:
        try:
            _save_for_transformers(net, labels, recipe, Path(folder))
        except ValueError as error:
            size = f"image_size = {recipe.image_size}"
            raise UsageError(f"{recipe.architecture} does not work with {size}: {first_line(error)}") from None
        model, processor = load_saved(Path(folder))
    family = next((name for name in GRADCAM_LAYERS if recipe.architecture.startswith(name)), None)
    model.config.gradcam_layer = GRADCAM_LAYERS.get(family)
    return model, processor


def _fixed_stride(recipe: ModelRecipe) -> UsageError:
    return UsageError(
        f"output_stride = {recipe.output_stride}: {recipe.architecture} has a fixed one. Leave output_stride out, or "
        "use a MobileNetV2, ResNet or EfficientNet."
    )


def _arguments(recipe: ModelRecipe) -> dict[str, float | int]:
    """What a timm network is built with, besides its classes; `from_pretrained` passes it on again."""
    stride = {"output_stride": recipe.output_stride} if recipe.output_stride else {}
    return {"drop_rate": recipe.dropout} | stride


def _save_for_transformers(net: nn.Module, labels: list[str], recipe: ModelRecipe, folder: Path) -> None:
    """Write a timm model as a folder that `from_pretrained` opens with its weights untouched.

    Building TimmWrapper from a bare config would re-initialise every convolution with a far smaller deviation. Images
    are squeezed whole ("squash"): timm's default crop of 0.875 cuts the lungs' edges.
    """
    size = (3, recipe.image_size, recipe.image_size)
    data_config = {"input_size": size, "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear"}
    save_for_hf(net, folder, model_config={"label_names": labels}, safe_serialization=True, data_config=data_config)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["pretrained_cfg"].pop("tag", None)  # it names ImageNet weights, which these are not
    config["model_args"] = _arguments(recipe)  # timm also writes num_classes here: transformers then fails
    path.write_text(json.dumps(config))


def save(model: nn.Module, processor, folder: Path) -> None:
    """Write a model and its processor as a model repository: config, safetensors, preprocessing, own code if any.

    A timm model's preprocessing is in its config.json, and its processor cannot be saved separately.
    """
    model.save_pretrained(folder)
    if isinstance(processor, PilBackend):
        processor.save_pretrained(folder)


def base_model(architecture: str) -> str | None:
    """The Hub repository of a timm architecture's ImageNet weights; None if there are none."""
    weights = timm.get_pretrained_cfg(architecture)
    return (weights.hf_hub_id or None) if weights else None


def classifier_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer: the one whose output is the logits."""
    return network_of(model).get_classifier()
