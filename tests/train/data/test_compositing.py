import numpy as np
import pytest
import torch

from train.data.compositing import blur_beside, plausible, soften, swap_surroundings

SIZE = 80


def lungs(left: int, top: int, width: int, height: int) -> torch.Tensor:
    """(1, 1, 80, 80): two lungs in a box, a fifth of it between them."""
    mask = torch.zeros(1, 1, SIZE, SIZE)
    each = 2 * width // 5
    for start in (left, left + width - each):
        mask[..., top : top + height, start : start + each] = 1
    return mask


def image(mask: torch.Tensor, inside: float, outside: float) -> torch.Tensor:
    return torch.where(mask > 0, inside, outside)


def test_lungs_lie_on_the_donors_surroundings_and_nothing_of_its_lungs_is_seen():
    own, other = lungs(20, 20, 40, 40), lungs(8, 12, 60, 56)
    swapped = swap_surroundings(image(own, 0.2, 0.6), own, image(other, 0.0, 0.6), other)
    assert torch.allclose(swapped[own > 0], torch.tensor(0.2), atol=0.02)
    beside = soften(own) == 0
    assert torch.allclose(swapped[beside], torch.tensor(0.6), atol=0.03)


def test_the_donor_is_moved_and_stretched_so_that_its_lungs_lie_under_the_new_ones():
    own, other = lungs(10, 30, 50, 40), lungs(20, 10, 40, 50)
    donor = image(other, 0.1, 0.5)
    donor[..., 64:, :] = 0.9  # below its lungs, from a twelfth of their height on
    swapped = swap_surroundings(image(own, 0.1, 0.5), own, donor, other)[0, 0]
    column = swapped[:, 35]  # between the lungs
    assert column[40:70].max() < 0.6
    assert column[76:].min() > 0.8


@pytest.mark.parametrize("exposure", [0.6, 1.0, 1.4])
def test_pasted_lungs_take_the_donors_exposure_and_keep_their_contrast(exposure):
    own, other = lungs(20, 20, 40, 40), lungs(16, 20, 48, 40)
    swapped = swap_surroundings(image(own, 0.2, 0.5) * exposure, own, image(other, 0.3, 0.6), other)
    assert float(swapped[own > 0].mean()) == pytest.approx(0.2 * 0.6 / 0.5, abs=0.01)


def test_a_swap_with_itself_changes_next_to_nothing():
    own = lungs(20, 20, 40, 40)
    before = image(own, 0.2, 0.5)
    assert (swap_surroundings(before, own, before, own) - before).abs().max() < 0.02


def test_edges_are_soft_outwards():
    own = lungs(20, 20, 40, 40)
    soft = soften(own)[0, 0, 40]
    assert torch.allclose(soft[22:34], torch.ones(12), atol=0.01)
    assert 0 < soft[17] < 1
    assert soft[:13].max() == 0


def test_a_blur_goes_on_smoothly_where_nothing_is_kept():
    own = lungs(20, 20, 40, 40)
    blurred = blur_beside(image(own, 0.0, 0.7), 1 - own)
    assert torch.allclose(blurred, torch.tensor(0.7), atol=1e-3)


def test_a_mask_is_plausible_by_its_area():
    masks = np.zeros((4, 10, 10), np.uint8)
    for mask, area in zip(masks, (0, 4, 30, 61), strict=True):
        mask.flat[:area] = 255
    assert plausible(masks).tolist() == [False, False, True, False]
