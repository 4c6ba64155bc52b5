"""How well can the label be guessed from what has nothing to do with disease?"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hub.dataset.image_summary import ImageSummary

# A cue above this AUROC gets a warning on the card.
WARNING_AUROC = 0.8
FOLDS = 5
# Drawn at random beyond this: enough for an AUROC to about 0.02, and the fit takes seconds.
MOST_IMAGES = 2000
CHANCE = 0.5


def shortcut_cues(summaries: Sequence[ImageSummary]) -> dict[str, np.ndarray]:
    """Features of N images, (N, F) each: of the file alone, of the outer frame, of the brightness.

    Args:
        summaries: Summaries of the images.

    Returns:
        {cue: features}. The frame is the outer tenth of the image on every side, at 32 x 32 pixels.
    """
    formats = sorted({summary.format for summary in summaries})
    width, height = np.array([summary.fingerprint.size for summary in summaries], float).T
    channels = [summary.channels for summary in summaries]
    is_format = [[summary.format == name for summary in summaries] for name in formats]
    files = np.stack([np.log(width), np.log(height), np.log(width / height), channels, *is_format], 1)
    thumbnails = np.stack([summary.fingerprint.thumbnail for summary in summaries])
    small = thumbnails.reshape(-1, 32, 2, 32, 2).mean((2, 4))
    frame = np.ones((32, 32), bool)
    frame[3:-3, 3:-3] = False
    return {
        "size, aspect ratio, channels and format": files,
        "outer frame": small[:, frame],
        "brightness histogram": np.stack([summary.histogram for summary in summaries]).astype(float),
    }


def measure_shortcuts(
    summaries: Sequence[ImageSummary], labels: Sequence[str], groups: Sequence[int], seed: int = 0
) -> dict:
    """Cross-validated logistic regression of the label on each cue.

    Args:
        summaries: Summaries of the images.
        labels: Their classes.
        groups: Images of one group are never on both sides of a fold.
        seed: Draws the folds, and the images where there are more than `MOST_IMAGES`.

    Returns:
        {cue: {"auroc": {class: one-versus-rest AUROC in [0, 1]}, "chance": 0.5, "n": images used}}; empty where a
        class has too few groups for the folds.
    """
    chosen = np.random.default_rng(seed).permutation(len(summaries))[:MOST_IMAGES]
    labels, groups = np.array(labels)[chosen], np.array(groups)[chosen]
    classes = sorted(set(labels.tolist()))
    if len(classes) < 2 or min(len(set(groups[labels == name])) for name in classes) < FOLDS:
        return {}
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(chosen, labels, groups))
    cues = shortcut_cues([summaries[i] for i in chosen])
    # On matrices this small, more threads only wait for each other: ten times slower on two cores.
    with threadpool_limits(1):
        return {
            name: {"auroc": _auroc(features, labels, classes, folds), "chance": CHANCE, "n": len(chosen)}
            for name, features in cues.items()
        }


def warnings_of(shortcuts: dict) -> list[str]:
    """A sentence for every cue that gives a class away."""
    sentences = []
    for cue, measured in shortcuts.items():
        label, auroc = max(measured["auroc"].items(), key=lambda item: item[1])
        if auroc > WARNING_AUROC:
            sentences.append(
                f"The {cue} alone tell{'' if ',' in cue else 's'} {label} from the rest with an AUROC of {auroc:.2f}: "
                f"a high score on this dataset does not prove that a model looks at the lungs."
            )
    return sentences


def _auroc(features: np.ndarray, labels: np.ndarray, classes: list[str], folds: list) -> dict[str, float]:
    scores = np.zeros((len(labels), len(classes)))
    for train, test in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=100))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that goes on for longer guesses no worse
            model.fit(features[train], labels[train])
        columns = [classes.index(name) for name in model.classes_]
        scores[np.ix_(test, columns)] = model.predict_proba(features[test])
    return {name: round(float(roc_auc_score(labels == name, scores[:, k])), 4) for k, name in enumerate(classes)}
