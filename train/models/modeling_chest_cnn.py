"""Small convolutional networks for chest X-rays, trained from scratch in two studies published on Kaggle.

This file is copied into every model repository and runs there as remote code
(`pipeline("image-classification", model=..., trust_remote_code=True)`), so it needs torch and transformers, no more.
"""

from collections import OrderedDict
from itertools import count

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

KERNEL = 3
# Keras's defaults, which both studies used: epsilon 1e-3, momentum 0.99 (torch counts it from the other end).
BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}


class ChestCnnConfig(PreTrainedConfig):
    """Shape of the network; the defaults are the network for covid19-image-dataset.

    Attributes:
        image_size: Height and width of the input in pixels.
        num_channels: 3, or 1 for a network on gray pictures: the three equal channels of the input are then averaged.
        widths: Output channels of each block's 3x3 convolution. Every block ends in a 2x2 max-pool.
        paddings: Zero pixels around each block's input, 1 ("same" in Keras) or 0 ("valid").
        block_dropouts: Dropout rate of each block, in [0, 1).
        dropout_after_pool: Where in a block dropout stands: after the max-pool, or right after the ReLU.
        batch_norm: Whether each block normalises what its max-pool reads.
        pool_ceil: Whether max-pools keep an odd last row and column ("same" in Keras) or drop them ("valid").
        hidden_sizes: Widths of the dense layers before the last one, each with a ReLU.
        hidden_dropouts: Dropout rate after each of them, in [0, 1).
        gradcam_layer: Name of the module whose output is the last feature map; the model fills it in.

    Raises:
        ValueError: A value is out of range, or the lists of one kind of layer differ in length.
    """

    model_type = "chest_cnn"

    image_size: int = 256
    num_channels: int = 3
    widths: list[int] | tuple[int, ...] = (16, 64, 128, 128)
    paddings: list[int] | tuple[int, ...] = (0, 1, 1, 1)
    block_dropouts: list[float] | tuple[float, ...] = (0.0, 0.25, 0.3, 0.4)
    dropout_after_pool: bool = True
    batch_norm: bool = False
    pool_ceil: bool = False
    hidden_sizes: list[int] | tuple[int, ...] = (128, 64)
    hidden_dropouts: list[float] | tuple[float, ...] = (0.25, 0.0)
    gradcam_layer: str | None = None

    def __post_init__(self, **kwargs):
        for name in ("widths", "paddings", "block_dropouts", "hidden_sizes", "hidden_dropouts"):
            setattr(self, name, list(getattr(self, name)))  # as JSON gives them back
        self._check_lengths()
        self._check_ranges()
        if self.pooled_size(self.image_size) == 0:
            smallest = next(size for size in count(1) if self.pooled_size(size) > 0)
            raise ValueError(f"image_size = {self.image_size}; these blocks need at least {smallest} pixels.")
        super().__post_init__(**kwargs)

    def _check_lengths(self) -> None:
        for first, *others in (("widths", "paddings", "block_dropouts"), ("hidden_sizes", "hidden_dropouts")):
            for other in others:
                wanted, got = len(getattr(self, first)), len(getattr(self, other))
                if wanted != got:
                    raise ValueError(f"{other} has {got} values; it must have {wanted}, one for each of {first}.")
        if not self.widths:
            raise ValueError("widths is empty; it must name the channels of at least one block.")

    def _check_ranges(self) -> None:
        if self.num_channels not in (1, 3):
            raise ValueError(f"num_channels = {self.num_channels}; it must be 1 (gray) or 3.")
        for name in ("widths", "hidden_sizes"):
            if any(size < 1 for size in getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)}; every value must be at least 1.")
        if any(padding not in (0, 1) for padding in self.paddings):
            raise ValueError(f"paddings = {self.paddings}; every value must be 0 or 1.")
        for name in ("block_dropouts", "hidden_dropouts"):
            if any(not 0 <= rate < 1 for rate in getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)}; every value must lie in [0, 1).")

    def pooled_size(self, size: int) -> int:
        """Height and width of the map that the dense layers read, for pictures of `size` pixels; 0 if none is left."""
        for padding in self.paddings:
            size = max(0, size + 2 * padding - (KERNEL - 1))
            size = (size + self.pool_ceil) // 2
        return size


class ChestCnnForImageClassification(PreTrainedModel):
    """Convolutional blocks (`features`), then dense layers (`head`).

    The last block's max-pool belongs to the head, so that the last feature map is as fine as it gets.
    """

    config_class = ChestCnnConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: ChestCnnConfig):
        super().__init__(config)
        *earlier, last = range(len(config.widths))
        blocks = {f"block{i + 1}": _convolution(config, i) | _pooling(config, i) for i in earlier}
        blocks[f"block{last + 1}"] = _convolution(config, last)
        self.features = nn.Sequential(OrderedDict((name, nn.Sequential(layers)) for name, layers in blocks.items()))
        self.head = nn.Sequential(_pooling(config, last) | _dense(config))
        config.gradcam_layer = f"features.block{last + 1}.{next(reversed(blocks[f'block{last + 1}']))}"
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Glorot's uniform distribution and zero biases, Keras's defaults and so those of both studies."""
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()

    def get_classifier(self) -> nn.Linear:
        """The layer whose output is the logits."""
        return self.head.classifier

    def forward_features(self, pixel_values: Tensor) -> Tensor:
        """Compute the last feature map, before its max-pool.

        Args:
            pixel_values: Pictures (B, 3, image_size, image_size), intensities in [0, 1]; networks on gray pictures
                also take (B, 1, image_size, image_size).

        Returns:
            (B, C, h, w).

        Raises:
            ValueError: The pictures have another shape.
        """
        channels, size = self.config.num_channels, self.config.image_size
        if pixel_values.shape[1:] not in ((channels, size, size), (3, size, size)):
            got = tuple(pixel_values.shape)
            raise ValueError(f"pixel_values has the shape {got}; it must be (B, 3, {size}, {size}).")
        if pixel_values.shape[1] != channels:
            pixel_values = pixel_values.mean(dim=1, keepdim=True)
        return self.features(pixel_values)

    def forward_head(self, features: Tensor) -> Tensor:
        """Feature map (B, C, h, w) -> logits (B, K)."""
        return self.head(features)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs) -> ImageClassifierOutput:
        """Classify pictures.

        Args:
            pixel_values: See `forward_features`.
            labels: Class indices (B,); with them the output has a loss.
            **kwargs: Switches that transformers hands to every model; none has a meaning here.

        Returns:
            Logits (B, K), and the cross-entropy if there are labels.
        """
        logits = self.forward_head(self.forward_features(pixel_values))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutput(loss=loss, logits=logits)


def _convolution(config: ChestCnnConfig, i: int) -> OrderedDict[str, nn.Module]:
    """What block i does before its max-pool."""
    channels = [config.num_channels, *config.widths]
    conv = nn.Conv2d(channels[i], channels[i + 1], KERNEL, padding=config.paddings[i])
    layers = OrderedDict(conv=conv, relu=nn.ReLU())
    if config.block_dropouts[i] and not config.dropout_after_pool:
        layers["dropout"] = nn.Dropout(config.block_dropouts[i])
    if config.batch_norm:
        layers["norm"] = nn.BatchNorm2d(config.widths[i], **BATCH_NORM)
    return layers


def _pooling(config: ChestCnnConfig, i: int) -> OrderedDict[str, nn.Module]:
    """Block i's max-pool and what follows it."""
    layers = OrderedDict(pool=nn.MaxPool2d(2, ceil_mode=config.pool_ceil))
    if config.block_dropouts[i] and config.dropout_after_pool:
        layers["dropout"] = nn.Dropout(config.block_dropouts[i])
    return layers


def _dense(config: ChestCnnConfig) -> OrderedDict[str, nn.Module]:
    """The dense layers, from the flattened map to the logits."""
    layers = OrderedDict(flatten=nn.Flatten())
    width = config.widths[-1] * config.pooled_size(config.image_size) ** 2
    for i, (size, rate) in enumerate(zip(config.hidden_sizes, config.hidden_dropouts, strict=True), start=1):
        layers[f"dense{i}"] = nn.Linear(width, size)
        layers[f"relu{i}"] = nn.ReLU()
        if rate:
            layers[f"dropout{i}"] = nn.Dropout(rate)
        width = size
    layers["classifier"] = nn.Linear(width, config.num_labels)
    return layers


ChestCnnConfig.register_for_auto_class("AutoConfig")
ChestCnnForImageClassification.register_for_auto_class("AutoModelForImageClassification")
