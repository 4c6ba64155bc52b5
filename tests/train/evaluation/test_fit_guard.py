"""Guards: fitted on training images, with a threshold from validation images."""

import numpy as np

from tests.train.engine.fixtures import small_model, small_splits
from tests.train.evaluation.fixtures import NORMALISE, SIZE
from train.data.pixel_cache import PixelDataset
from train.evaluation.fit_guard import MARGIN, describe, fit_guard, spread_rows


def test_images_like_those_of_training_lie_nearer_than_noise():
    splits, model = small_splits((40, 40)), small_model()
    training, validation = (describe(model, splits[name], NORMALISE) for name in ("train", "validation"))
    guard = fit_guard(training, validation)
    assert guard.distances(*validation).max() <= guard.threshold
    assert np.isclose(np.quantile(guard.distances(*validation), 0.99) * MARGIN, guard.threshold)
    noise = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE), dtype=np.uint8)
    strange = describe(model, PixelDataset(noise, np.zeros(8)), NORMALISE)
    assert guard.distances(*strange).min() > guard.threshold


def test_only_some_images_of_a_large_split_are_taken_evenly_spread(monkeypatch):
    split = small_splits()["train"]
    assert len(spread_rows(split)) == len(split) == 48
    monkeypatch.setattr("train.evaluation.fit_guard.MOST_IMAGES", 5)
    rows = spread_rows(split)
    assert rows.tolist() == [0, 11, 23, 35, 47]
    some, _ = describe(small_model(), split, NORMALISE, rows)
    whole, _ = describe(small_model(), split, NORMALISE)
    assert np.array_equal(some, whole[rows])
