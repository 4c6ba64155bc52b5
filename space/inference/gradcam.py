"""Grad-CAM for every class from one forward pass, and its image on top of the radiograph.

Every model of this project splits as features -> head. The gradient of a logit with respect to the last feature map
flows through the head alone, so Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391) needs no hooks, no backward
pass through the backbone, and leaves nothing behind in the model.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

# Anchors of matplotlib's colour maps, at equal distances. All rise evenly in lightness, so they also read in gray;
# cividis was made to look the same to colour-blind people (Nunez et al., PLOS ONE 13(7), 2018).
_ANCHORS = {
    "inferno": [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)],
    "viridis": [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)],
    "cividis": [(0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56)],
}


def _palette(anchors: list[tuple[int, int, int]]) -> bytes:
    channels = [np.interp(np.linspace(0, 4, 256), range(5), channel) for channel in np.array(anchors).T]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()


PALETTES = {name: _palette(anchors) for name, anchors in _ANCHORS.items()}  # 256 x RGB each


def network_of(model: nn.Module) -> nn.Module:
    """The timm network inside transformers' TimmWrapper, or the model itself."""
    return getattr(model, "timm_model", model)


def split_network(model: nn.Module) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Split a classifier into features and head.

    Args:
        model: A timm model inside transformers' TimmWrapper, or any module with `forward_features` and `forward_head`.

    Returns:
        features: normalised pixels (B, 3, H, W) -> feature map (B, C, h, w).
        head: feature map (B, C, h, w) -> logits (B, K).
    """
    net = network_of(model)
    return net.forward_features, net.forward_head


def class_activation_maps(model: nn.Module, pixel_values: Tensor, relu: bool = True) -> tuple[Tensor, Tensor]:
    """Compute the logits and the exact Grad-CAM of all classes.

    Args:
        model: Classifier in evaluation mode (see `split_network`).
        pixel_values: Normalised images (B, 3, H, W).
        relu: Whether evidence against a class is cut off, as Grad-CAM does; without it maps have both signs.

    Returns:
        Logits (B, K), and maps (B, K, h, w), not scaled; after the ReLU a map may be zero everywhere.
    """
    features_of, _ = split_network(model)
    with torch.no_grad():
        features = features_of(pixel_values)
    return maps_of_features(model, features, relu)


def maps_of_features(model: nn.Module, features: Tensor, relu: bool = True) -> tuple[Tensor, Tensor]:
    """Like `class_activation_maps`, from feature maps (B, C, h, w) that are computed already."""
    _, head = split_network(model)
    with torch.enable_grad():
        features = features.detach().requires_grad_(True)
        logits = head(features)
        gradients = [torch.autograd.grad(of_class.sum(), features, retain_graph=True)[0] for of_class in logits.T]
    weights = torch.stack([gradient.mean(dim=(2, 3)) for gradient in gradients], dim=1)
    maps = weigh(features.detach(), weights)
    return logits.detach(), F.relu(maps) if relu else maps


def weigh(features: Tensor, weights: Tensor) -> Tensor:
    """Sums of feature maps (B, C, h, w), weighted for every class, (K, C) or (B, K, C): maps (B, K, h, w), unscaled."""
    return (weights @ features.flatten(2)).unflatten(2, features.shape[2:])


def constant_weights(model: nn.Module, features: Tensor) -> Tensor | None:
    """Grad-CAM's weights of a head that averages each feature map and goes on linearly: the same for every image.

    Args:
        model: Classifier in evaluation mode (see `split_network`).
        features: Feature maps (B, C, h, w) of any images, on which it is tried whether the head is such a one.

    Returns:
        (K, C), or None for any other head.
    """
    net, (_, head) = network_of(model), split_network(model)
    layer = net.get_classifier() if hasattr(net, "get_classifier") else None
    if not isinstance(layer, nn.Linear) or layer.in_features != features.shape[1]:
        return None
    with torch.no_grad():
        is_linear = torch.allclose(head(features), layer(features.mean(dim=(2, 3))), rtol=1e-4, atol=1e-5)
    return layer.weight.detach() / features[0, 0].numel() if is_linear else None


def overlay(image: Image.Image, activation: np.ndarray, opacity: float, colours: str = "inferno") -> Image.Image:
    """Lay a class activation map over its radiograph.

    The map is scaled by its own maximum; where it is zero the radiograph stays as it is.

    Args:
        image: Radiograph, mode "L".
        activation: Map (h, w), values >= 0; covers the whole image.
        opacity: Opacity at the map's maximum, in [0, 1].
        colours: Name of one of `PALETTES`.

    Returns:
        RGB image of the size of `image`.
    """
    peak = float(activation.max())
    scaled = (activation * (255 / peak) if peak > 0 else activation).astype(np.uint8)
    # Pillow blends in 8 bits: in floating point a large radiograph would take gigabytes.
    heat = Image.fromarray(scaled).resize(image.size, Image.Resampling.BICUBIC)
    colour = heat.copy()
    colour.putpalette(PALETTES[colours])
    mask = heat.point([round(opacity * value) for value in range(256)])
    return Image.composite(colour.convert("RGB"), image.convert("RGB"), mask)
