"""The probability from which a binary classifier calls an image positive, chosen on validation."""

from collections.abc import Sequence

import numpy as np

from train.config.decision_rule import AT_LEAST


def choose_threshold(
    rule: str, is_positive: np.ndarray, scores: np.ndarray, origins: Sequence[np.ndarray] = ()
) -> float:
    """Find a rule's threshold.

    Args:
        rule: "youden": sensitivity + specificity of all images together is greatest (Youden, Cancer 3(1), 1950).
            "youden-worst": the lowest of all origins' sensitivities and specificities is greatest; of thresholds that
            are equal in this, the one with the highest mean of them. Youden's sum may trade one for the other, and is
            decided by the largest origin; here both are balanced, and every origin counts.
            "sensitivity>=S": the highest specificity at which every origin's sensitivity is at least S.
            "specificity>=S": the highest sensitivity at which every origin's specificity is at least S.
        is_positive: (N,) bool, of validation images.
        scores: (N,) probabilities of the positive class.
        origins: The rows (M,) of each origin that is judged by itself (see `train.data.origins.comparable_origins`);
            none: all images are one origin.

    Returns:
        A value halfway between the lowest score called positive and the highest called negative.
    """
    thresholds = np.r_[np.inf, np.unique(scores)[::-1]]  # from calling nothing positive to calling everything
    everything = np.arange(len(scores))
    groups = [everything] if rule == "youden" or not len(origins) else origins
    rates = [_rates(is_positive[rows], scores[rows], thresholds) for rows in groups]
    sensitivity, specificity = (np.stack(of_groups) for of_groups in zip(*rates, strict=True))  # (origins, thresholds)
    if rule == "youden":
        index = (sensitivity + specificity)[0].argmax()
    elif rule == "youden-worst":
        both = np.concatenate([sensitivity, specificity])
        index = np.lexsort((both.mean(axis=0), both.min(axis=0)))[-1]
    else:
        name, least = AT_LEAST.fullmatch(rule).groups()
        worst = {"sensitivity": sensitivity, "specificity": specificity}[name].min(axis=0)
        reached = np.flatnonzero(worst >= float(least))
        index = reached[0] if name == "sensitivity" else reached[-1]
    best = thresholds[index]
    below = scores[scores < best]
    return float((min(best, 1.0) + (below.max() if len(below) else 0.0)) / 2)


def _rates(is_positive: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity and specificity (T,) of calling positive what scores at least each threshold."""
    positives, negatives = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    missed, spared = (np.searchsorted(of_class, thresholds) for of_class in (positives, negatives))
    return (len(positives) - missed) / len(positives), spared / len(negatives)
