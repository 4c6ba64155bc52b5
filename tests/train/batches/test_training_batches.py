from dataclasses import replace

import numpy as np
import pytest
import torch

from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from tests.train.evaluation.fixtures import lungs
from train.batches.training_batches import TrainingBatches
from train.config.recipe import AugmentationRecipe
from train.config.recipe_file import load_recipe
from train.data.pixel_cache import PixelDataset

CPU = torch.device("cpu")
SWAPPED = AugmentationRecipe(swap_surroundings=1.0)
HALF = AugmentationRecipe(swap_surroundings=0.5, swap_frame=0.5)


def numbered(n: int, labels) -> PixelDataset:
    """Images that carry their own number as their gray level."""
    return PixelDataset(np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8), labels)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_processes_share_the_batches_of_one(accumulation):
    training = replace(load_recipe(TINY_RECIPE).training, batch_size=12, accumulation_steps=accumulation)
    split = numbered(100, np.arange(100) % 3)
    alone = TrainingBatches(split, training, 5, CPU, 0, 1)
    shared = [TrainingBatches(split, replace(training, batch_size=6), 5, CPU, rank, 2) for rank in range(2)]
    steps = list(alone.epoch(3))
    assert len(steps) == alone.steps == 100 // (12 * accumulation)
    for ours, theirs in zip(steps, zip(*(batches.epoch(3) for batches in shared), strict=True), strict=True):
        assert len(ours) == accumulation
        for batch, parts in zip(ours, zip(*theirs, strict=True), strict=True):
            assert torch.equal(torch.cat([part.pixels for part in parts]), batch.pixels)
            assert [part.place for part in parts] == [slice(0, 6), slice(6, 12)]
            assert {(part.total, part.divisor) for part in parts} == {(12, 12.0 * accumulation)}
            assert (batch.pixels[:, 0, 0, 0] % 3 == batch.labels).all()


def test_an_epoch_goes_on_where_it_was_left_and_differs_from_the_next():
    split, training = numbered(64, np.arange(64) % 2), load_recipe(TINY_RECIPE).training

    def shown(epoch, first=0, seed=1):
        batches = TrainingBatches(split, training, seed, CPU, 0, 1).epoch(epoch, first)
        return [int(value) for (batch,) in batches for value in batch.pixels[:, 0, 0, 0]]

    assert sorted(shown(0)) == list(range(64))
    assert shown(0)[32:] == shown(0, first=2)
    assert len({tuple(shown(0)), tuple(shown(1)), tuple(shown(0, seed=2))}) == 3


def test_one_small_batch_is_not_left_out_and_too_few_images_for_the_processes_are_refused():
    training = replace(load_recipe(TINY_RECIPE).training, batch_size=32)
    batches = TrainingBatches(numbered(10, np.arange(10) % 2), training, 0, CPU, 0, 1)
    assert [len(batch.labels) for (batch,) in batches.epoch(0)] == [10]
    with pytest.raises(UsageError, match="10 training images are too few for 16 processes"):
        TrainingBatches(numbered(10, np.arange(10) % 2), training, 0, CPU, 0, 16)


def surrounded(n: int) -> PixelDataset:
    """Lungs of gray level 100 + the image's number, surroundings of 10 + it; the last image has no mask."""
    cut = lungs(n)
    numbers = np.arange(n, dtype=np.uint8)[:, None, None]
    masks = cut.astype(np.uint8) * 255
    masks[-1] = 0
    return PixelDataset(np.where(cut, 100 + numbers, numbers + 10).astype(np.uint8), np.arange(n) % 2, lungs=masks)


def test_lungs_get_the_surroundings_of_images_of_any_class_and_keep_their_label():
    training, split = replace(load_recipe(TINY_RECIPE).training, batch_size=16), surrounded(48)
    batches = TrainingBatches(split, training, 5, CPU, 0, 1, SWAPPED)
    pairs = []
    for (batch,) in batches.epoch(0):
        for pixels, mask, label in zip(batch.pixels[:, 0], batch.lungs[:, 0], batch.labels, strict=True):
            around = int(pixels[0, 0]) - 10
            if not mask.any():
                assert around == 47
                continue
            assert 0 <= around < 47  # the image without a mask gives no surroundings
            pairs.append((int(label), around % 2))
    assert len(pairs) == 47
    agreeing = np.mean([ours == theirs for ours, theirs in pairs])
    assert 0.25 < agreeing < 0.75


@pytest.mark.parametrize("accumulation", [1, 2])
def test_surroundings_are_swapped_alike_whichever_process_has_the_image_and_whenever_it_is_asked(accumulation):
    training = replace(load_recipe(TINY_RECIPE).training, batch_size=12, accumulation_steps=accumulation)
    split = surrounded(60)
    whole = [torch.cat([batch.pixels for batch in step]) for step in _epoch(split, training, 0, 1)]
    parts = [_epoch(split, replace(training, batch_size=6), rank, 2) for rank in range(2)]
    for ours, theirs in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat([part.pixels for pair in zip(*theirs, strict=True) for part in pair]), ours)
    later = next(iter(TrainingBatches(split, training, 5, CPU, 0, 1, HALF).epoch(1, first=1)))
    assert torch.equal(torch.cat([batch.pixels for batch in later]), whole[1])


def _epoch(split: PixelDataset, training, rank: int, processes: int) -> list:
    return list(TrainingBatches(split, training, 5, CPU, rank, processes, HALF).epoch(1))


def test_frames_come_from_images_of_any_class_and_the_middle_stays():
    training, split = replace(load_recipe(TINY_RECIPE).training, batch_size=16), surrounded(48)
    framed = AugmentationRecipe(swap_frame=1.0, frame_width=(0.1, 0.1))
    pairs = []
    for (batch,) in TrainingBatches(split, training, 5, CPU, 0, 1, framed).epoch(0):
        for pixels, label in zip(batch.pixels[:, 0].numpy(), batch.labels, strict=True):
            side = len(pixels)
            inner = slice(round(0.1 * side), side - round(0.1 * side))
            assert any(np.array_equal(pixels[inner, inner], whole[inner, inner]) for whole in split.pixels)
            frame = {int(value) for value in (*pixels[0], *pixels[-1], *pixels[:, 0], *pixels[:, -1])}
            assert len(frame) == 1  # all of it from one image
            pairs.append((int(label), (frame.pop() - 10) % 2))
    agreeing = np.mean([ours == theirs for ours, theirs in pairs])
    assert 0.25 < agreeing < 0.75


def test_images_that_are_shown_as_they_are_keep_their_surroundings():
    split = surrounded(60)
    split.labels[:] = torch.arange(60) % 3 == 0  # "oversample" shows originals once, and copies of the smaller class
    training = replace(load_recipe(TINY_RECIPE).training, batch_size=16, class_balance="oversample")
    for (batch,) in TrainingBatches(split, training, 5, CPU, 0, 1, SWAPPED).epoch(0):
        for pixels, augmented in zip(batch.pixels[:, 0], batch.augmented, strict=True):
            assert augmented or any(np.array_equal(pixels, own) for own in split.pixels)


def test_surroundings_cannot_be_swapped_without_masks():
    with pytest.raises(UsageError, match="need lung masks"):
        TrainingBatches(numbered(10, np.arange(10) % 2), load_recipe(TINY_RECIPE).training, 0, CPU, 0, 1, HALF)
    blind = surrounded(10)
    blind.lungs[:] = 255
    with pytest.raises(UsageError, match="need lung masks"):
        TrainingBatches(blind, load_recipe(TINY_RECIPE).training, 0, CPU, 0, 1)
