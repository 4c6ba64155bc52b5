"""Thresholds chosen on validation."""

import numpy as np
import pytest

from tests.train.evaluation.fixtures import scored
from train.evaluation.operating_point import choose_threshold


def test_youden_threshold_maximises_sensitivity_plus_specificity():
    images = scored(200, 2)
    labels, scores = images.labels, images.probabilities[:, 1]
    threshold = choose_threshold("youden", labels == 1, scores)

    def youden(t):
        return (scores >= t)[labels == 1].mean() + (scores < t)[labels == 0].mean()

    assert youden(threshold) == pytest.approx(max(youden(t) for t in np.linspace(0, 1, 501)))
    assert choose_threshold("youden", np.array([False, False, True]), np.array([0.1, 0.2, 0.8])) == pytest.approx(0.5)


@pytest.mark.parametrize("least", [0.8, 0.95, 1.0])
def test_a_sensitivity_is_reached_and_no_specificity_is_given_away(least):
    images = scored(300, 2)
    labels, scores = images.labels, images.probabilities[:, 1]
    threshold = choose_threshold(f"sensitivity>={least}", labels == 1, scores)
    assert (scores[labels == 1] >= threshold).mean() >= least
    higher = min(score for score in scores if score >= threshold)
    assert (scores[labels == 1] > higher).mean() < least


@pytest.mark.parametrize("least", [0.5, 0.9, 1.0])
def test_a_specificity_is_reached_and_no_sensitivity_is_given_away(least):
    images = scored(300, 2)
    labels, scores = images.labels, images.probabilities[:, 1]
    threshold = choose_threshold(f"specificity>={least}", labels == 1, scores)
    assert (scores[labels == 0] < threshold).mean() >= least
    lower = max(score for score in scores if score < threshold)
    assert (scores[labels == 0] < lower).mean() < least


@pytest.fixture
def two_origins():
    """Scores of a large origin, and of a small one whose images all score higher; (positive, scores, rows of each)."""
    random = np.random.default_rng(0)
    positive = np.concatenate([np.arange(400) % 4 > 0, np.arange(60) % 2 > 0])
    scores = random.normal(0.35, 0.12, 460) + 0.25 * positive + np.repeat([0.0, 0.2], [400, 60])
    return positive, scores.clip(0, 1), [np.arange(400), np.arange(400, 460)]


def rates(positive, scores, threshold):
    return (scores >= threshold)[positive].mean(), (scores < threshold)[~positive].mean()


def test_the_worst_origin_decides(two_origins):
    positive, scores, origins = two_origins

    def worst(threshold):
        return min(rate for rows in origins for rate in rates(positive[rows], scores[rows], threshold))

    chosen = choose_threshold("youden-worst", positive, scores, origins)
    assert worst(chosen) == max(worst(t) for t in np.linspace(0, 1, 2001))
    assert worst(chosen) > worst(choose_threshold("youden", positive, scores, origins)) + 0.05
    # Of one origin it balances sensitivity and specificity.
    alone = choose_threshold("youden-worst", positive[:400], scores[:400])
    assert np.ptp(rates(positive[:400], scores[:400], alone)) < 0.03


def test_what_must_be_reached_is_reached_in_every_origin(two_origins):
    positive, scores, origins = two_origins
    for index, name in enumerate(("sensitivity", "specificity")):
        threshold = choose_threshold(f"{name}>=0.9", positive, scores, origins)
        reached = [rates(positive[rows], scores[rows], threshold)[index] for rows in origins]
        assert 0.9 <= min(reached) < 0.93
        together = choose_threshold(f"{name}>=0.9", positive, scores)
        assert together != threshold
