"""The training loop of a lung segmenter."""

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import trange

from train.batches.augmentation import Augmenter
from train.config.recipe import AugmentationRecipe
from train.data.lung_masks import IGNORED, LUNG
from train.engine.optim import rate_factor
from train.segmentation.dice import dice
from train.segmentation.mask_sets import MaskSet
from train.segmentation.unet import LungUNet

BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 16, 4e-3, 1e-4
# Strong, because the masks are of one hospital's children, and the segmenter is used on other hospitals' adults.
GEOMETRY = AugmentationRecipe(
    rotation_degrees=20.0, shift=0.1, zoom=(0.7, 1.3), stretch=(0.75, 1.33), flip_probability=0.5
)
AUGMENTATION = replace(
    GEOMETRY, gamma=(0.5, 2.0), contrast=0.4, brightness=0.25, blur_sigma=1.5, noise_std=0.06,
    erase_probability=0.3, erase_area=(0.02, 0.12),
)  # fmt: skip


def fit(train: MaskSet, validation: MaskSet, epochs: int, seed: int) -> tuple[LungUNet, int]:
    """Train a segmenter on the CPU.

    Args:
        train: What it learns from.
        validation: What chooses the epoch.
        epochs: Passes over `train`.
        seed: Decides everything random.

    Returns:
        The network with the weights of the epoch with the highest Dice on `validation`, and that epoch, from 1.
    """
    torch.manual_seed(seed)
    network = LungUNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    order, device = np.random.default_rng(seed), torch.device("cpu")
    augment, move = Augmenter(AUGMENTATION, device), Augmenter(GEOMETRY, device)
    step, steps = 0, epochs * -(-len(train) // BATCH_SIZE)
    best, best_epoch, best_weights = -1.0, 0, {}
    with trange(1, epochs + 1, desc="training", unit="epoch") as bar:
        for epoch in bar:
            network.train()
            for rows in np.array_split(order.permutation(len(train)), steps // epochs):
                for group in optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * rate_factor("one-cycle", step, 0, steps)
                # Geometry draws its random numbers first: with one seed, both move alike.
                images = augment(torch.from_numpy(train.pixels[rows])[:, None], seed + step)
                moved = move(targets(train.masks[rows]), seed + step)
                optimizer.zero_grad(set_to_none=True)
                loss(network(images * 255), *moved.split(1, dim=1)).backward()
                optimizer.step()
                step += 1
            score = float(dice(predict(network, validation.pixels), validation.masks).mean())
            bar.set_postfix(dice=f"{score:.4f}")
            if score > best:
                best, best_epoch, best_weights = score, epoch, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)
    return network.eval().to(memory_format=torch.contiguous_format), best_epoch


def targets(masks: np.ndarray) -> Tensor:
    """Lung, and "does not count": (B, 2, H, W) uint8, 255 where it is so. What comes in from outside is background."""
    return torch.from_numpy(np.stack([masks == LUNG, masks == IGNORED], axis=1)).to(torch.uint8) * 255


def loss(logits: Tensor, lung: Tensor, ignored: Tensor) -> Tensor:
    """Mean cross-entropy of the pixels that count, plus 1 - the soft Dice of each image.

    Args:
        logits: (B, 1, H, W).
        lung: The same, in [0, 1].
        ignored: The same, in [0, 1].
    """
    counted = 1 - ignored
    entropy = (F.binary_cross_entropy_with_logits(logits, lung, reduction="none") * counted).sum() / counted.sum()
    share = logits.sigmoid() * counted
    truth = lung * counted
    overlap, total = (share * truth).sum(dim=(1, 2, 3)), (share + truth).sum(dim=(1, 2, 3))
    return entropy + 1 - (2 * overlap / total.clamp(min=1)).mean()


@torch.no_grad()
def predict(network: LungUNet, pixels: np.ndarray) -> np.ndarray:
    """Probabilities of lung, (N, SIZE, SIZE) float32 in [0, 1]; `network` is put in evaluation mode."""
    network.eval()
    batches = torch.from_numpy(pixels)[:, None].split(2 * BATCH_SIZE)
    return torch.cat([network(batch).sigmoid() for batch in batches])[:, 0].numpy()
