"""A small U-Net (Ronneberger et al., MICCAI 2015, arXiv:1505.04597) that finds the lungs in a frontal radiograph."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Channels at each resolution: at half the image's resolution, a quarter, and so on. The full resolution, where most of
# the time would go, is folded into channels.
WIDTHS = (12, 24, 48, 80)
FOLD = 2


class LungUNet(nn.Module):
    """Gray levels in, the logit of "this pixel is lung" out.

    Every image is first brought to mean 0 and deviation 1, so its brightness and contrast hardly matter.

    Args:
        widths: Channels at each resolution; each is half as fine as the one before.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        self.widths = widths
        self.down = nn.ModuleList(map(_block, (FOLD**2, *widths[:-1]), widths))
        self.up = nn.ModuleList(map(_block, (a + b for a, b in pairwise(widths)), widths[:-1]))
        self.last = nn.Conv2d(widths[0], FOLD**2, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the pixels.

        Args:
            pixels: (N, 1, H, W), uint8, or float from 0 to 255; both sides multiples of 2 ** len(widths).

        Returns:
            (N, 1, H, W) logits.
        """
        levels = pixels.float()
        centred = levels - levels.mean(dim=(2, 3), keepdim=True)
        # At least one gray level: the noise of a blank image stays small.
        scale = centred.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp(min=1)
        features = F.pixel_unshuffle(centred / scale, FOLD)
        kept = []
        for block in self.down[:-1]:
            features = block(features)
            kept.append(features)
            features = F.max_pool2d(features, 2)
        features = self.down[-1](features)
        for block, finer in zip(reversed(self.up), reversed(kept), strict=True):
            features = block(torch.cat([finer, _doubled(features)], dim=1))
        return F.pixel_shuffle(self.last(features), FOLD)


def _block(channels: int, width: int) -> nn.Sequential:
    layers = []
    for inputs in (channels, width):
        layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def _doubled(features: Tensor) -> Tensor:
    """Every pixel as 2 x 2 pixels: (N, C, h, w) -> (N, C, 2h, 2w).

    Written as an expansion, because runtimes do not agree on what ONNX's Resize computes.
    """
    n, channels, height, width = features.shape
    wide = features[:, :, :, None, :, None].expand(n, channels, height, 2, width, 2)
    return wide.reshape(n, channels, 2 * height, 2 * width)
