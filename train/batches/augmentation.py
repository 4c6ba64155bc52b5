"""Augmentation of whole batches on the training device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from train.config.recipe import AugmentationRecipe
from train.data.compositing import blur_beside, outer_frame, soften

CURVE_PARTS = 8
MOST_NOISE = 0.25  # standard deviation of what parts of an image are filled with, in units of the full range


class Augmenter:
    """Random geometry and intensity, each image with its own parameters, one interpolation.

    Args:
        recipe: Ranges.
        device: Where the batches live.
    """

    def __init__(self, recipe: AugmentationRecipe, device: torch.device):
        self.recipe = recipe
        self.random = torch.Generator(device)
        self.device = device
        self.place, self.total = slice(0, 0), 0

    def __call__(
        self, pixels: Tensor, seed: int, place: slice | None = None, total: int | None = None,
        lungs: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Augment a batch.

        Args:
            pixels: (B, 1, H, W) uint8.
            seed: Decides all random numbers.
            place: Where these images stand in the batch of all processes, which are given random numbers by their
                place: however many processes share a batch, an image is changed in the same way. None: this is all.
            total: Images in the batch of all processes.
            lungs: (B, 1, H, W) uint8, 255 = lung; images without any keep their surroundings.

        Returns:
            (B, 1, H, W) float32 in [0, 1].
        """
        self.random.manual_seed(seed)
        self.place, self.total = place or slice(0, len(pixels)), total or len(pixels)
        recipe = self.recipe
        images = pixels.float() / 255
        if lungs is not None and (recipe.blur_surroundings or recipe.fill_surroundings):
            images = self._hide_surroundings(images, (lungs == 255).float())
        if recipe.frame_blackout:
            images = self._hide_frame(images)
        images = self._geometry(images)
        if recipe.tone_curve:
            images = self._bend_tones(images)
        images = self._intensity(images)
        if recipe.blur_sigma:
            images = self._blur(images)
        if recipe.noise_std:
            images = images + self._normal(*images.shape[1:]) * self._uniform(0, recipe.noise_std)
        if recipe.erase_probability:
            images = self._erase(images)
        return images.clamp_(0, 1)

    def _uniform(self, low: float, high: float) -> Tensor:
        """(B, 1, 1, 1) uniform values."""
        values = torch.rand(self.total, generator=self.random, device=self.device)[self.place]
        return (values * (high - low) + low).view(-1, 1, 1, 1)

    def _normal(self, *shape: int) -> Tensor:
        """(B, *shape) values of the standard normal distribution."""
        return torch.randn((self.total, *shape), generator=self.random, device=self.device)[self.place]

    def _chosen(self, chance: float) -> Tensor:
        """(B, 1, 1, 1) bool, True with this chance."""
        return self._uniform(0, 1) < chance

    def _filling(self, images: Tensor) -> Tensor:
        """Noise of a random level and strength, (B, 1, H, W): what hidden parts of images are replaced by.

        Never the mean of an image, which the occlusion controls of evaluation fill with.
        """
        noise = self._normal(*images.shape[1:]) * self._uniform(0, MOST_NOISE)
        return (self._uniform(0, 1) + noise).clamp(0, 1)

    def _hide_surroundings(self, images: Tensor, lungs: Tensor) -> Tensor:
        """Blur all but the lungs, or replace it by noise, in a share of the images."""
        recipe, soft = self.recipe, soften(lungs)
        usable = lungs.amax(dim=(1, 2, 3), keepdim=True) > 0
        if recipe.blur_surroundings:
            chosen = self._chosen(recipe.blur_surroundings) & usable
            images = torch.where(chosen, torch.lerp(blur_beside(images, 1 - soft), images, soft), images)
        if recipe.fill_surroundings:
            chosen = self._chosen(recipe.fill_surroundings) & usable
            images = torch.where(chosen, torch.lerp(self._filling(images), images, soft), images)
        return images

    def _hide_frame(self, images: Tensor) -> Tensor:
        """Replace a frame of random widths by black or by noise, in a share of the images."""
        widths = torch.cat([self._uniform(*self.recipe.frame_width).flatten(1) for _ in range(4)], dim=1)
        frame = outer_frame(widths, *images.shape[2:])
        filling = torch.where(self._chosen(0.5), 0.0, self._filling(images))
        return torch.where(frame & self._chosen(self.recipe.frame_blackout), filling, images)

    def _bend_tones(self, images: Tensor) -> Tensor:
        """Change intensities by a rising curve of straight parts, which maps 0 to 0 and 1 to 1."""
        slopes = (self._normal(CURVE_PARTS) * self.recipe.tone_curve).exp()
        knots = F.pad((slopes / slopes.sum(dim=1, keepdim=True)).cumsum(dim=1), (1, 0))
        scaled = (images.clamp(0, 1) * CURVE_PARTS).flatten(1)
        part = scaled.long().clamp(max=CURVE_PARTS - 1)
        low, high = knots.gather(1, part), knots.gather(1, part + 1)
        return torch.lerp(low, high, scaled - part).view_as(images)

    def _log_uniform(self, limits: tuple[float, float]) -> Tensor:
        return self._uniform(math.log(limits[0]), math.log(limits[1])).exp()

    def _geometry(self, images: Tensor) -> Tensor:
        """Rotation, flip, zoom, stretch and shift in one resampling; outside the image is black."""
        recipe = self.recipe
        angle = self._uniform(-recipe.rotation_degrees, recipe.rotation_degrees).deg2rad().flatten()
        zoom = self._log_uniform(recipe.zoom).flatten()
        stretch = self._log_uniform(recipe.stretch).sqrt().flatten()
        flip = torch.where(self._uniform(0, 1).flatten() < recipe.flip_probability, -1.0, 1.0)
        shift = [2 * self._uniform(-recipe.shift, recipe.shift).flatten() for _ in range(2)]
        if recipe.zoom == recipe.stretch == (1.0, 1.0) and not (recipe.rotation_degrees or recipe.shift):
            return torch.where(flip.view(-1, 1, 1, 1) < 0, images.flip(-1), images)
        # The grid maps output to input, so a magnification divides; its coordinates span 2, so a share doubles.
        across, down = 1 / (zoom * stretch), stretch / zoom
        cos, sin = angle.cos(), angle.sin()
        x, y = (((torch.arange(side, device=self.device) + 0.5) * 2 / side - 1) for side in images.shape[:1:-1])
        x, y = x.view(1, 1, -1, 1), y.view(1, -1, 1, 1)
        from_x = torch.stack([flip * cos * across, sin * across], dim=1).view(-1, 1, 1, 2)
        from_y = torch.stack([-flip * sin * down, cos * down], dim=1).view(-1, 1, 1, 2)
        # As F.affine_grid with align_corners=False, at a quarter of its time on a CPU.
        grid = torch.addcmul(x * from_x + torch.stack(shift, dim=1).view(-1, 1, 1, 2), y, from_y)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _intensity(self, images: Tensor) -> Tensor:
        """Gamma, then contrast around the image's mean, then brightness."""
        recipe = self.recipe
        if recipe.gamma != (1.0, 1.0):
            images = images.clamp(1e-4, 1) ** self._log_uniform(recipe.gamma)
        if not (recipe.contrast or recipe.brightness):
            return images
        mean = images.mean(dim=(2, 3), keepdim=True)
        contrast = self._uniform(1 - recipe.contrast, 1 + recipe.contrast)
        brightness = self._uniform(-recipe.brightness, recipe.brightness)
        return images * contrast + (mean * (1 - contrast) + brightness)

    def _blur(self, images: Tensor) -> Tensor:
        """Separable Gaussian blur with one sigma per image (images stand as groups of one convolution)."""
        n, radius = len(images), math.ceil(2 * self.recipe.blur_sigma)
        offsets = torch.arange(-radius, radius + 1, device=self.device, dtype=torch.float32)
        sigma = self._uniform(0.05, self.recipe.blur_sigma).view(-1, 1)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = (kernel / kernel.sum(dim=1, keepdim=True)).view(n, 1, 1, -1)
        batch = F.pad(images.transpose(0, 1), (radius,) * 4, mode="replicate")
        batch = F.conv2d(batch, kernel, groups=n)
        return F.conv2d(batch, kernel.transpose(2, 3), groups=n).transpose(0, 1)

    def _erase(self, images: Tensor) -> Tensor:
        """Replace one rectangle by noise, in a share of the images."""
        recipe, (_, _, height, width) = self.recipe, images.shape
        side = self._uniform(*recipe.erase_area).sqrt()
        ratio = self._log_uniform((0.5, 2.0)).sqrt()
        across, down = side * ratio, side / ratio
        x0, y0 = self._uniform(0, 1) * (1 - across), self._uniform(0, 1) * (1 - down)
        x = ((torch.arange(width, device=self.device) + 0.5) / width).view(1, 1, 1, width)
        y = ((torch.arange(height, device=self.device) + 0.5) / height).view(1, 1, height, 1)
        chosen = self._chosen(recipe.erase_probability)
        inside = ((x >= x0) & (x < x0 + across) & chosen) & ((y >= y0) & (y < y0 + down))
        return torch.where(inside, self._filling(images), images)
