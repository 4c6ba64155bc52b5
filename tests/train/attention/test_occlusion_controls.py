"""What a model still does on images from which what it should look at was removed."""

import numpy as np
import torch

from space.results.evaluation_records import ShortcutControl
from tests.train.evaluation.fixtures import NORMALISE, SIZE, Looker, lungs, masked
from train.attention.occlusion_controls import fill, shortcut_controls
from train.data.pixel_cache import PixelDataset
from train.evaluation.bootstrap import BootstrapClusters
from train.evaluation.inference import SplitPredictions, predict_logits


def test_a_model_that_reads_the_frame_is_found_out_and_one_that_reads_the_lungs_is_not():
    random, labels = np.random.default_rng(0), np.arange(60) % 2
    lung = lungs(60)
    frame = torch.zeros(8, 8)
    frame[0] = 1
    units = BootstrapClusters.of([None] * 60)

    def control(name: str, bright: np.ndarray, where: torch.Tensor) -> ShortcutControl:
        noise = random.integers(60, 120, (60, SIZE, SIZE))
        pixels = np.where(bright & (labels == 1)[:, None, None], 220, noise).astype(np.uint8)
        test = PixelDataset(pixels, labels)
        model = Looker(where).eval()
        answered = SplitPredictions(labels, predict_logits(model, test, NORMALISE), units, {})
        return shortcut_controls(model, test, masked(pixels, lung), NORMALISE, answered)[name]

    top = np.zeros_like(lung)
    top[:, :3] = True
    cheat = control("lungs_removed", top, frame)
    assert cheat.unchanged["auroc"].value == cheat.changed["auroc"].value == 1
    assert control("frame_only", top, frame).changed["auroc"].low > 0.5
    honest = control("lungs_removed", lung, torch.ones(8, 8))
    assert honest.unchanged["auroc"].value == 1
    assert honest.changed["auroc"].low < 0.6
    assert control("lungs_only", lung, torch.ones(8, 8)).changed["auroc"].value == 1
    assert honest.images == 60


def test_what_is_removed_is_filled_with_the_mean_of_the_rest():
    pixels = np.array([[[10, 30], [200, 100]]], dtype=np.uint8)
    keep = np.array([[[True, True], [False, False]]])
    assert fill(pixels, keep).tolist() == [[[10, 30], [20, 20]]]
