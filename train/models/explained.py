"""The model that is exported: 8-bit pixels in; probabilities, embedding and exact Grad-CAM of every class out.

Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391) weighs each channel of the last feature map by the mean
gradient of a logit. That gradient flows through the head alone. Where the head is a pooling and linear layers with
ReLUs between them, it is a product of weight matrices, with zeros where a ReLU is off. So one forward pass gives the
maps of all classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from space.errors import UsageError
from space.inference.graph import Outputs
from train.models.modeling_chest_cnn import ChestCnnForImageClassification
from train.models.pillow_resize import resize
from train.models.preprocessing import normalisation, resizing


class ExplainedHead(nn.Module):
    """A network's head, written so that it returns the gradients of its logits as well.

    Args:
        pool: Feature map (N, C, h, w) -> (N, C, p, q): the mean over all places, or a max-pool.
        layers: Linear layers from the flattened result to the logits, with a ReLU after each but the last.
        channels: C.
    """

    def __init__(self, pool: nn.Module, layers: Sequence[nn.Linear], channels: int):
        super().__init__()
        self.pool, self.layers, self.channels = pool, nn.ModuleList(layers), channels

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits (N, K), and the means over places of their gradients by the features, (N or 1, K, C)."""
        hidden, active = self.pool(features).flatten(1), []
        for layer in self.layers[:-1]:
            hidden = F.relu(layer(hidden))
            active.append((hidden > 0).float().unsqueeze(1))
        logits = self.layers[-1](hidden)
        # A pooled value hands its gradient on whole, evenly or to the maximum, so places may be summed up beforehand.
        first, *others = (layer.weight for layer in self.layers)
        weights = [first.unflatten(1, (self.channels, -1)).sum(2), *others]
        gradients = weights.pop().unsqueeze(0)
        while weights:
            gradients = (gradients * active.pop()) @ weights.pop()
        return logits, gradients / (features.shape[2] * features.shape[3])


class ExplainedModel(nn.Module):
    """A classifier together with its preprocessing and its explanations.

    Args:
        model: A timm network in transformers' TimmWrapper, or a chest CNN. Its weights are shared, not copied, and it
            is put in evaluation mode.
        processor: Its image processor.

    Raises:
        UsageError: The head is not a pooling and linear layers, or images are resized in an unsupported way.
    """

    def __init__(self, model: nn.Module, processor):
        super().__init__()
        self.network, self.resizing = network_of(model), resizing(processor)
        for name, values in zip(("mean", "std"), normalisation(processor), strict=True):
            self.register_buffer(name, values, persistent=False)
        self.head = explain_head(model, self.resizing.size)
        self.eval()

    def forward(self, pixels: Tensor) -> Outputs:
        """Explain radiographs of any size: (N, 1, H, W) uint8."""
        return self.explain_resized(resize(pixels, self.resizing))

    def explain_resized(self, levels: Tensor) -> Outputs:
        """Explain radiographs of the model's own size: (N, 1, size, size) float32, gray levels from 0 to 255."""
        return self.explain((levels / 255 - self.mean) / self.std)

    def explain(self, pixel_values: Tensor) -> Outputs:
        """Explain what the model's image processor returns: (N, 3, size, size) float32."""
        features = self.network.forward_features(pixel_values)
        logits, gradients = self.head(features)
        cams = (gradients @ features.flatten(2)).unflatten(2, features.shape[2:])
        return Outputs(logits, logits.softmax(dim=1), features.mean(dim=(2, 3)), cams)


def network_of(model: nn.Module) -> nn.Module:
    """The timm network inside transformers' TimmWrapper, or the model itself."""
    return getattr(model, "timm_model", model)


def explain_head(model: nn.Module, size: int) -> ExplainedHead:
    """Write a model's head anew, with the same weights.

    Args:
        model: See `ExplainedModel`. It is left in its mode.
        size: Height and width of its input in pixels.

    Raises:
        UsageError: See `ExplainedModel`.
    """
    network = network_of(model)
    if isinstance(network, ChestCnnForImageClassification):
        pool, layers = network.head.pool, [layer for layer in network.head if isinstance(layer, nn.Linear)]
    else:
        pool, layers = nn.AdaptiveAvgPool2d(1), [network.get_classifier()]
    was_training = network.training
    noise = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            features = network.eval().forward_features(noise.to(next(network.parameters()).device))
            head = ExplainedHead(pool, layers, features.shape[1])
            fits = torch.allclose(head(features)[0], network.forward_head(features), rtol=1e-4, atol=1e-5)
    except (RuntimeError, AttributeError, IndexError):  # a layer of another kind, or features of another shape
        fits = False
    network.train(was_training)
    if not fits:
        raise UsageError(
            f"{type(network).__name__} cannot be explained: Grad-CAM of all classes needs a network that averages its "
            "last feature map and ends in one linear layer. Use, for example, a MobileNetV2, DenseNet, ResNet or "
            "EfficientNet."
        )
    return head
