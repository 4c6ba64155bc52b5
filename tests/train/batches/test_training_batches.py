from dataclasses import replace

import numpy as np
import pytest
import torch

from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from train.batches.training_batches import TrainingBatches
from train.config.recipe import load_recipe
from train.data.pixel_cache import PixelDataset

CPU = torch.device("cpu")


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
