"""A model's answers to whole splits."""

import numpy as np
import torch
from datasets import Dataset

from tests.train.evaluation.fixtures import NORMALISE, SIZE, Looker
from train.data.pixel_cache import PixelDataset
from train.evaluation.inference import predict_logits, predict_split, units_of


def test_a_split_is_answered_in_order_whatever_the_batch(monkeypatch):
    grays = np.arange(0, 200, 20, dtype=np.uint8)
    pixels = PixelDataset(np.broadcast_to(grays[:, None, None], (10, SIZE, SIZE)), np.zeros(10))
    model = Looker(torch.ones(4, 4)).train()
    whole = predict_logits(model, pixels, NORMALISE)
    assert not model.training
    assert (np.diff(whole[:, 1]) > 0).all()
    monkeypatch.setattr("train.evaluation.inference.BATCH_SIZE", 3)
    assert np.allclose(predict_logits(model, pixels, NORMALISE), whole, atol=1e-5)
    assert np.allclose(predict_logits(model, pixels, NORMALISE, np.array([7, 2])), whole[[7, 2]], atol=1e-5)


def test_predictions_bring_truth_units_and_the_columns_that_have_subgroups():
    pixels = PixelDataset(np.zeros((3, SIZE, SIZE), dtype=np.uint8), np.array([0, 1, 1]))
    rows = Dataset.from_dict({"patient": ["a", "a", "b"], "view": ["AP", None, "PA"], "source": ["x", "y", "z"]})
    found = predict_split(Looker(torch.ones(4, 4)), pixels, NORMALISE, rows)
    assert found.truth.tolist() == [0, 1, 1]
    assert found.columns == {"view": ["AP", None, "PA"]}
    assert (len(found.units), found.units.name) == (2, "patient")
    assert np.allclose(found.probabilities.sum(axis=1), 1)


def test_units_are_groups_of_copies_where_patients_are_unknown():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 8, 8), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    images[4] = images[1]
    units = units_of([None] * 6, PixelDataset(images, np.zeros(6)))
    assert (len(units), units.name) == (5, "group of copies")
    assert len(units_of(["a", "a", None, None, None, None], PixelDataset(images, np.zeros(6)))) == 5
