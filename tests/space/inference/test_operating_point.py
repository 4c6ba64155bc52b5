"""Decisions by argmax or at an operating point, and how config.json names the point."""

from dataclasses import asdict

import numpy as np
import pytest

from space.errors import UsageError
from space.inference.operating_point import OperatingPoint, decide

POINT = OperatingPoint("youden", "b", 0.3)


def test_decisions_follow_the_operating_point_or_argmax():
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6], [0.7, 0.3], [0.8, 0.2]])
    assert decide(probabilities, None, ["a", "b"]).tolist() == [0, 1, 0, 0]
    assert decide(probabilities, POINT, ["a", "b"]).tolist() == [1, 1, 1, 0]
    assert decide(probabilities, POINT, ["b", "a"]).tolist() == [0, 0, 0, 0]


def test_config_json_holds_a_plain_dict_and_reads_back():
    assert OperatingPoint.of_config(asdict(POINT), ["a", "b"]) == POINT
    assert OperatingPoint.of_config(None, ["a", "b", "c"]) is None


@pytest.mark.parametrize(
    ("values", "labels", "problem"),
    [
        ({"rule": "youden", "threshold": 0.3}, ["a", "b"], "must hold rule, positive_label and threshold"),
        (asdict(POINT) | {"threshold": "high"}, ["a", "b"], "must hold rule, positive_label and threshold"),
        (asdict(POINT) | {"threshold": float("nan")}, ["a", "b"], "must hold rule, positive_label and threshold"),
        ([0.3], ["a", "b"], "must hold rule, positive_label and threshold"),
        (asdict(POINT), ["a", "c"], "must be one of exactly two labels; the model has: a, c"),
        (asdict(POINT), ["a", "b", "c"], "must be one of exactly two labels; the model has: a, b, c"),
    ],
)
def test_a_point_that_does_not_fit_the_model_is_refused(values, labels, problem):
    with pytest.raises(UsageError, match=problem):
        OperatingPoint.of_config(values, labels)
