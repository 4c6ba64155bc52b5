"""The probability from which a binary classifier calls an image positive, chosen on validation."""

import numpy as np
from sklearn.metrics import roc_curve

from train.config.decision_rule import SENSITIVITY


def choose_threshold(rule: str, is_positive: np.ndarray, scores: np.ndarray) -> float:
    """Find a rule's threshold.

    Args:
        rule: "youden": sensitivity + specificity is greatest (Youden, Cancer 3(1), 1950); "sensitivity>=S": the highest
            specificity at which the sensitivity is at least S.
        is_positive: (N,) bool, of validation images.
        scores: (N,) probabilities of the positive class.

    Returns:
        A value halfway between the lowest score called positive and the highest called negative.
    """
    false_rate, true_rate, thresholds = roc_curve(is_positive, scores, drop_intermediate=False)
    if rule == "youden":
        best = thresholds[np.argmax(true_rate - false_rate)]
    else:
        least = float(SENSITIVITY.fullmatch(rule)[1])
        best = thresholds[np.argmax(true_rate >= least)]
    below = scores[scores < best]
    return float((min(best, 1.0) + (below.max() if len(below) else 0.0)) / 2)
