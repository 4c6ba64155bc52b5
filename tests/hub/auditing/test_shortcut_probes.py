"""Cues that give the class away, measured."""

import numpy as np
from PIL import Image

from hub.auditing.shortcut_probes import measure_shortcuts, warnings_of
from hub.dataset.image_summary import summarise_image
from tests.phantoms import draw_phantom
from tests.space.imaging.test_dicom import dicom_bytes


def summaries(n: int, framed: bool) -> tuple[list, list[str]]:
    """Summaries of n random images; `framed` gives one class a white frame."""
    random = np.random.default_rng(0)
    labels = ["ill" if i % 2 else "well" for i in range(n)]
    summarised = []
    for label in labels:
        image = draw_phantom(random, pneumonia=False, width=64, height=64)
        if framed and label == "ill":
            values = np.asarray(image).copy()
            values[:4] = values[-4:] = 255
            image = Image.fromarray(values)
        summarised.append(summarise_image(dicom_bytes(np.asarray(image))))
    return summarised, labels


def test_a_frame_that_gives_the_class_away_is_measured_and_warned_of():
    shortcuts = measure_shortcuts(*summaries(80, framed=True), list(range(80)))
    assert shortcuts["outer frame"]["auroc"]["ill"] > 0.95
    assert shortcuts["outer frame"]["chance"] == 0.5
    assert any("outer frame" in sentence for sentence in warnings_of(shortcuts))


def test_classes_that_differ_in_nothing_are_at_chance():
    shortcuts = measure_shortcuts(*summaries(80, framed=False), list(range(80)))
    for cue, measured in shortcuts.items():
        assert 0.25 < measured["auroc"]["ill"] < 0.75, cue
    assert warnings_of(shortcuts) == []


def test_too_few_groups_are_not_measured():
    images, labels = summaries(20, framed=False)
    assert measure_shortcuts(images, labels, [0] * 20) == {}
