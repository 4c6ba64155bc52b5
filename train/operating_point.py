"""The probability from which a binary classifier calls a picture positive, chosen on validation."""

import re

import numpy as np
from sklearn.metrics import roc_curve

SENSITIVITY = re.compile(r"sensitivity>=(0\.\d+|1\.0)")
ALLOWED = '"argmax", "youden", or "sensitivity>=0.95" with any number from 0 to 1.0'


def is_rule(text: str) -> bool:
    """Whether a text names a rule: "argmax", "youden" or, for example, "sensitivity>=0.95"."""
    return text in ("argmax", "youden") or SENSITIVITY.fullmatch(text) is not None


def choose_threshold(rule: str, is_positive: np.ndarray, scores: np.ndarray) -> float:
    """Find a rule's threshold.

    Args:
        rule: "youden": sensitivity + specificity is greatest (Youden, Cancer 3(1), 1950); "sensitivity>=S": the highest
            specificity at which the sensitivity is at least S.
        is_positive: (N,) bool, of validation pictures.
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
