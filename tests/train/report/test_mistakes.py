"""The most confident mistakes: which are drawn, and that they stay on this machine unless asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.evaluation.fixtures import NORMALISE, SIZE, Looker, explained, predictions, task
from train.data.pixel_cache import PixelDataset
from train.report import mistakes
from train.report.figures import DrawnSplit
from train.report.mistakes import draw_mistakes, most_confident_mistakes


@pytest.fixture
def drawn(tmp_path):
    """Draw the mistakes among some answers into a folder; returns what is left in it."""
    pixels = PixelDataset(np.random.default_rng(0).integers(0, 256, (200, SIZE, SIZE), dtype=np.uint8), np.zeros(200))

    def draw(publish: bool, answers=None) -> tuple[bool, list[str]]:
        split = DrawnSplit("test", task(), answers or predictions(0))
        public = draw_mistakes(tmp_path, split, pixels, explained(Looker(torch.ones(4, 4))), NORMALISE, publish)
        return public, sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))

    return draw


def test_images_of_people_stay_here_unless_they_may_be_published(drawn):
    assert drawn(False) == (False, ["local/mistakes.png"])
    assert drawn(True) == (True, ["mistakes.png"])
    assert drawn(False) == (False, ["local/mistakes.png"])  # what was public before is withdrawn


def test_without_a_mistake_nothing_is_drawn_and_nothing_stale_stays(drawn):
    drawn(True)
    answers = predictions(0)
    right = replace(answers, truth=answers.probabilities.argmax(axis=1))
    assert drawn(True, right) == (False, [])


def test_the_most_confident_of_the_wrong_come_first():
    answers = predictions(0)
    rows = most_confident_mistakes(answers)
    called, confidence = answers.probabilities.argmax(axis=1), answers.probabilities.max(axis=1)
    wrong = sorted(np.flatnonzero(called != answers.truth), key=lambda row: -confidence[row])
    assert len(wrong) > len(rows) == 12
    assert rows.tolist() == wrong[:12]


def test_each_image_is_titled_with_its_class_and_what_it_was_called():
    answers = predictions(0)
    rows = most_confident_mistakes(answers)[:5]
    images = np.full((5, SIZE, SIZE), 90, np.uint8)
    figure = mistakes._figure(DrawnSplit("test", task(), answers), rows, images, np.zeros((5, 4, 4), np.float32))
    titles = [axes.get_title() for axes in figure.axes]
    names, confidence = task().labels, answers.probabilities.max(axis=1)
    assert titles[:5] == [
        f"{names[answers.truth[row]]}, called {names[1 - answers.truth[row]]} ({confidence[row]:.3f})" for row in rows
    ]
    assert titles[5:] == [""] * 3
    assert figure.axes[0].get_images()[0].get_array().shape == (SIZE, 2 * SIZE, 3)
