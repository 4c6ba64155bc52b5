"""Which weights training may change."""

from typing import get_args

from timm.models import group_parameters
from torch import nn

from space.errors import UsageError
from train.config.recipe import Trainable
from train.models.explained import network_of
from train.models.modeling_chest_cnn import ChestCnnForImageClassification

TRAINABLE = get_args(Trainable)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze(model: nn.Module, trainable: str) -> None:
    """Choose which weights training may change; call it before the optimiser is made.

    Args:
        model: A model that `build` made.
        trainable: One of `TRAINABLE`. "head": the last linear layer, or all dense layers of a chest CNN. "last-stage":
            also what timm counts as the last stage of the features (MobileNetV2: the last block stage with conv_head
            and its norm; DenseNet: the last dense block and norm), or the last convolution block of a chest CNN.

    Raises:
        UsageError: `trainable` is none of these.
    """
    if trainable not in TRAINABLE:
        raise UsageError(f"trainable = {trainable!r}; it must be one of: {', '.join(TRAINABLE)}.")
    chosen = {id(parameter) for parameter in _parameters(model, trainable)}
    for parameter in model.parameters():
        parameter.requires_grad = id(parameter) in chosen


def _parameters(model: nn.Module, trainable: str) -> list[nn.Parameter]:
    """The parameters of one of `TRAINABLE`."""
    net = network_of(model)
    if trainable == "all":
        return list(net.parameters())
    if isinstance(net, ChestCnnForImageClassification):
        stages = [net.head] if trainable == "head" else [net.head, net.features[-1]]
        return [parameter for stage in stages for parameter in stage.parameters()]
    if trainable == "head":
        return list(net.get_classifier().parameters())
    # timm's last group is the head with whatever follows the stages, such as a norm; the one before, the last stage.
    groups = group_parameters(net, net.group_matcher(coarse=True), return_values=True)
    return [parameter for group in sorted(groups)[-2:] for parameter in groups[group]]


def train_mode(model: nn.Module) -> None:
    """Put a model in training mode, all but its frozen batch norms: their running statistics must not move."""
    model.train()
    for module in model.modules():
        weights = list(module.parameters()) if isinstance(module, BATCH_NORMS) else []
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


def check_batch_norm(model: nn.Module, images: int) -> None:
    """Refuse batches of one image where batch norm would take its statistics from it.

    Args:
        model: After `freeze`.
        images: In the smallest batch of one process.

    Raises:
        UsageError: There are too few.
    """
    trained = (
        m for m in model.modules() if isinstance(m, BATCH_NORMS) and any(w.requires_grad for w in m.parameters())
    )
    if images < 2 and any(trained):
        raise UsageError(
            "batch norm needs at least two images in every batch of every process; raise batch_size (or use fewer "
            "processes or accumulation_steps)."
        )
