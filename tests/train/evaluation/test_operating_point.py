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
