import numpy as np
import pytest

from train.batches.sampler import class_weights, epoch_length, epoch_order, origin_shares, random_seed

LABELS = np.repeat([0, 1, 2], [60, 25, 10])
NOWHERE = np.full(95, "")


@pytest.mark.parametrize("balance", ["none", "weighted-loss"])
def test_every_image_comes_once_and_augmented(balance):
    order = epoch_order(LABELS, NOWHERE, balance, 1, 0)
    assert sorted(order.indices) == list(range(95))
    assert order.augmented.all()
    assert epoch_length(LABELS, balance) == 95


def test_balanced_sampling_draws_every_class_as_often():
    drawn = np.concatenate(
        [LABELS[epoch_order(LABELS, NOWHERE, "balanced-sampling", 1, epoch).indices] for epoch in range(40)]
    )
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert epoch_length(LABELS, "balanced-sampling") == 95


def test_oversampling_shows_originals_once_and_repeats_smaller_classes_augmented():
    order = epoch_order(LABELS, NOWHERE, "oversample", 1, 0)
    assert len(order.indices) == epoch_length(LABELS, "oversample") == 180
    assert sorted(order.indices[~order.augmented]) == list(range(95))
    copies = order.indices[order.augmented]
    assert np.bincount(LABELS[copies], minlength=3).tolist() == [0, 35, 50]
    times = np.bincount(copies, minlength=95)
    assert set(times[LABELS == 1]) <= {1, 2}  # about as often as the others of the class
    assert set(times[LABELS == 2]) == {5}


def test_an_origin_does_not_tell_the_class_and_a_small_one_is_not_shown_too_often():
    labels = np.repeat([0, 1, 0, 1], [900, 2500, 100, 25])
    origins = np.repeat(["large", "large", "small", "small"], [900, 2500, 100, 25])
    order = epoch_order(labels, origins, "origin", 1, 0)
    assert len(order.indices) == epoch_length(labels, "origin") == 3525
    assert order.augmented.all()
    counts = {
        (name, k): int(((origins == name) & (labels == k))[order.indices].sum())
        for name in set(origins)
        for k in (0, 1)
    }
    # sqrt(900) : sqrt(25) = 6 : 1
    wanted = {"large": 3525 * 3 / 7, "small": 3525 / 14}
    for name, n in wanted.items():
        assert counts[name, 0] == pytest.approx(n, abs=1)
        assert counts[name, 1] == pytest.approx(n, abs=1)
    times = np.bincount(order.indices, minlength=3525)
    for k in (0, 1):  # within a group, each about as often
        for name in ("large", "small"):
            assert np.ptp(times[(origins == name) & (labels == k)]) <= 1


def test_without_origins_classes_are_balanced_also_where_an_origin_has_one_class_only():
    assert origin_shares(LABELS, NOWHERE) == pytest.approx({("", k): 1 / 3 for k in range(3)})
    shares = origin_shares(np.array([0, 0, 1, 1]), np.array(["a", "b", "b", "b"]))
    assert shares == pytest.approx({("a", 0): 0.25, ("b", 0): 0.25, ("b", 1): 0.5})


@pytest.mark.parametrize("balance", ["none", "balanced-sampling", "oversample", "origin"])
def test_an_order_is_a_function_of_seed_and_epoch(balance):
    first = epoch_order(LABELS, NOWHERE, balance, 1, 0)
    assert np.array_equal(first.indices, epoch_order(LABELS, NOWHERE, balance, 1, 0).indices)
    for seed, epoch in ((1, 1), (2, 0)):
        assert not np.array_equal(first.indices, epoch_order(LABELS, NOWHERE, balance, seed, epoch).indices)


def test_weights_make_classes_count_the_same_and_average_to_one():
    weights = class_weights(LABELS)
    counts = np.bincount(LABELS)
    assert weights * counts == pytest.approx([95 / 3] * 3)
    assert weights[LABELS].mean() == pytest.approx(1)


def test_seeds_differ_by_each_of_their_numbers():
    seeds = {random_seed(*numbers) for numbers in ((1, 2), (2, 1), (1, 2, 3), (1, 3))}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
