import numpy as np
import pytest

from train.batches.sampler import class_weights, epoch_length, epoch_order, random_seed

LABELS = np.repeat([0, 1, 2], [60, 25, 10])


@pytest.mark.parametrize("balance", ["none", "weighted-loss"])
def test_every_image_comes_once_and_augmented(balance):
    order = epoch_order(LABELS, balance, 1, 0)
    assert sorted(order.indices) == list(range(95))
    assert order.augmented.all()
    assert epoch_length(LABELS, balance) == 95


def test_balanced_sampling_draws_every_class_as_often():
    drawn = np.concatenate([LABELS[epoch_order(LABELS, "balanced-sampling", 1, epoch).indices] for epoch in range(40)])
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert epoch_length(LABELS, "balanced-sampling") == 95


def test_oversampling_shows_originals_once_and_repeats_smaller_classes_augmented():
    order = epoch_order(LABELS, "oversample", 1, 0)
    assert len(order.indices) == epoch_length(LABELS, "oversample") == 180
    assert sorted(order.indices[~order.augmented]) == list(range(95))
    copies = order.indices[order.augmented]
    assert np.bincount(LABELS[copies], minlength=3).tolist() == [0, 35, 50]
    times = np.bincount(copies, minlength=95)
    assert set(times[LABELS == 1]) <= {1, 2}  # about as often as the others of the class
    assert set(times[LABELS == 2]) == {5}


@pytest.mark.parametrize("balance", ["none", "balanced-sampling", "oversample"])
def test_an_order_is_a_function_of_seed_and_epoch(balance):
    first = epoch_order(LABELS, balance, 1, 0)
    assert np.array_equal(first.indices, epoch_order(LABELS, balance, 1, 0).indices)
    for seed, epoch in ((1, 1), (2, 0)):
        assert not np.array_equal(first.indices, epoch_order(LABELS, balance, seed, epoch).indices)


def test_weights_make_classes_count_the_same_and_average_to_one():
    weights = class_weights(LABELS)
    counts = np.bincount(LABELS)
    assert weights * counts == pytest.approx([95 / 3] * 3)
    assert weights[LABELS].mean() == pytest.approx(1)


def test_seeds_differ_by_each_of_their_numbers():
    seeds = {random_seed(*numbers) for numbers in ((1, 2), (2, 1), (1, 2, 3), (1, 3))}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
