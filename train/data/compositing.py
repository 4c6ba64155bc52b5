"""Lungs cut out of their surroundings, and laid on another image's; outer frames: of whole batches, on any device.

Training uses it so that surroundings teach nothing, evaluation to test whether they did. Neither ever fills the place
of lungs with one gray level: the occlusion controls (`train.attention.occlusion_controls`) do, and a network that
was trained on such holes would pass them.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Shares of the image that lungs may fill: a mask outside of these has missed the lungs, or much beside them.
PLAUSIBLE_AREA = (0.05, 0.6)
# Cells a side of the grids on which edges are softened and gaps are filled: a fortieth of the side is about a rib.
EDGE_GRID, FILL_GRID = 40, 20
TAIL = 0.01  # share of the lungs' area that may lie outside their box on each side: specks of a mask do not move it
LARGEST_SCALE = 2.0  # of a donor along an axis
LARGEST_GAIN = 2.0  # of the pasted lungs


def plausible(lungs: np.ndarray) -> np.ndarray:
    """Which masks can be lungs, judged by their area.

    Args:
        lungs: (N, H, W) uint8, 255 = lung.

    Returns:
        (N,) bool.
    """
    share = np.array([(mask == 255).mean() for mask in lungs])
    return (share >= PLAUSIBLE_AREA[0]) & (share <= PLAUSIBLE_AREA[1])


def soften(lungs: Tensor) -> Tensor:
    """Lungs with soft edges: 1 on the lungs, falling to 0 over about a twentieth of the side beside them.

    Args:
        lungs: (B, 1, H, W) float, 1 on lungs and 0 elsewhere.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    coarse = F.avg_pool2d(F.adaptive_avg_pool2d(lungs, EDGE_GRID), 3, stride=1, padding=1)
    return torch.maximum((2 * _enlarge(coarse, lungs)).clamp(max=1), lungs)  # tips of lungs, too


def blur_beside(images: Tensor, kept: Tensor) -> Tensor:
    """A strong blur of what is kept of each image, which goes on smoothly where nothing is kept.

    Args:
        images: (B, 1, H, W) float.
        kept: (B, 1, H, W) in [0, 1]: how much each pixel counts.

    Returns:
        (B, 1, H, W) float; sigma is about an eighth of the side.
    """
    both = F.adaptive_avg_pool2d(torch.cat([images * kept, kept], dim=1), FILL_GRID)
    for _ in range(3):  # box filters, together near a Gaussian
        both = F.avg_pool2d(both, 5, stride=1, padding=2)
    return _enlarge(both[:, :1] / both[:, 1:].clamp(min=1e-4), images)


def swap_surroundings(images: Tensor, lungs: Tensor, donors: Tensor, donor_lungs: Tensor) -> Tensor:
    """Lay the lungs of images on the surroundings of others.

    A donor is stretched and moved so that the box of its lungs lies on the box of the new ones. What is still to be
    seen of its lungs is filled from its surroundings. The pasted lungs are multiplied so that the tissue at their rim
    is as bright as the donor's there. So neither a step in brightness nor the exposure of the first image tells
    which image the lungs are from, while their contrast with the tissue beside them stays.

    Args:
        images: (B, 1, H, W) float in [0, 1].
        lungs: (B, 1, H, W) float, 1 on their lungs and 0 elsewhere; not empty.
        donors: (B, 1, H, W) float in [0, 1]: the surroundings.
        donor_lungs: (B, 1, H, W) float, of the donors.

    Returns:
        (B, 1, H, W) float in [0, 1].
    """
    donors, donor_lungs = _align(donors, donor_lungs, lungs)
    hole = (2 * soften(donor_lungs)).clamp(max=1)  # generous: dark rims of old lungs would be seen
    ground = torch.lerp(donors, blur_beside(donors, 1 - hole), hole)
    soft = soften(lungs)
    rim = soft * (1 - lungs)
    level, wanted = ((rim * side).sum(dim=(2, 3), keepdim=True) for side in (images, ground))
    gain = (wanted / level.clamp(min=1e-4)).clamp(1 / LARGEST_GAIN, LARGEST_GAIN)
    return torch.lerp(ground, (images * gain).clamp(max=1), soft)


def outer_frame(widths: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in the outer frame of an image.

    Args:
        widths: (B, 4): the frame's width on the left, right, top and bottom, as a share of the side.
        height, width: Of the images, in pixels.

    Returns:
        (B, 1, H, W) bool.
    """
    left, right, above, below = widths.view(-1, 4, 1, 1, 1).unbind(1)
    y, x = ((torch.arange(side, device=widths.device) + 0.5) / side for side in (height, width))
    x, y = x.view(1, 1, 1, -1), y.view(1, 1, -1, 1)
    return (x < left) | (x > 1 - right) | (y < above) | (y > 1 - below)


def _align(donors: Tensor, donor_lungs: Tensor, lungs: Tensor) -> tuple[Tensor, Tensor]:
    """The donors and their lungs, with the box of their lungs on that of `lungs`; mirrored where they end."""
    centre, extent = _boxes(lungs)
    donor_centre, donor_extent = _boxes(donor_lungs)
    scale = (donor_extent / extent).clamp(1 / LARGEST_SCALE, LARGEST_SCALE)
    theta = torch.diag_embed(scale)
    theta = torch.cat([theta, (donor_centre - scale * centre).unsqueeze(2)], dim=2)
    grid = F.affine_grid(theta, list(donors.shape), align_corners=False)
    both = torch.cat([donors, donor_lungs], dim=1)
    moved = F.grid_sample(both, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return moved[:, :1], moved[:, 1:]


def _boxes(lungs: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and halved sides (B, 2) of the boxes around lungs, x and y, in coordinates from -1 to 1."""
    limits = []
    for across in (2, 3):
        share = lungs.sum(dim=(1, across)).cumsum(dim=1)
        share = share / share[:, -1:].clamp(min=1e-4)
        n = share.shape[1]
        first, last = (share < TAIL).sum(dim=1), (share < 1 - TAIL).sum(dim=1) + 1
        limits.append(torch.stack([first, last.clamp(max=n)], dim=1) * 2 / n - 1)
    box = torch.stack(limits, dim=1)  # (B, 2, 2): x and y, from and to
    return box.mean(dim=2), (box[..., 1] - box[..., 0]) / 2


def _enlarge(coarse: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(coarse, like.shape[2:], mode="bilinear", align_corners=False)
