"""Temperature and biases: fitted on enough images, folded into the last layer."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from train.evaluation.calibration import Calibration, fit_calibration, negative_log_likelihood


def overconfident(n: int, factor: float, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 2), so many times too far from 0, and labels drawn by the honest ones."""
    random = np.random.default_rng(0)
    honest = random.normal(0, 2, n)
    labels = (random.random(n) < 1 / (1 + np.exp(-honest))).astype(int)
    return factor * np.stack([np.zeros(n), honest - shift], axis=1), labels


def check_fold(found: Calibration) -> None:
    """A folded calibration gives what `apply` says, and `undo` takes it back."""
    layer, inputs = torch.nn.Linear(5, 2), torch.randn(3, 5)
    before = layer(inputs).detach().numpy()
    found.fold(layer)
    after = layer(inputs).detach().numpy()
    assert np.allclose(after, found.apply(before), atol=1e-5)
    assert np.allclose(found.undo(after), before, atol=1e-4)


def test_the_temperature_undoes_overconfidence_and_folds_into_the_layer():
    logits, labels = overconfident(4000, 3.0)
    found = fit_calibration("temperature", logits, labels)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert not found.biases.any()
    assert found.not_fitted == ""
    assert negative_log_likelihood(logits / found.temperature, labels) < negative_log_likelihood(logits, labels)
    check_fold(found)


def test_biases_are_fitted_when_asked_for_and_fold_too():
    logits, labels = overconfident(4000, 2.0, shift=1.5)
    found = fit_calibration("temperature-and-bias", logits, labels)
    assert found.temperature == pytest.approx(2.0, rel=0.15)
    assert found.biases[1] - found.biases[0] == pytest.approx(1.5, abs=0.3)
    check_fold(found)


def test_no_calibration_changes_nothing_and_needs_no_reason():
    found = fit_calibration("none", np.array([[3.0, 0.0], [0.0, 3.0]]), np.array([1, 1]))
    assert (found.temperature, found.biases.tolist(), found.not_fitted) == (1.0, [0.0, 0.0], "")


@pytest.mark.parametrize("method", ["temperature", "temperature-and-bias"])
def test_nothing_is_fitted_on_fewer_than_100_images(method):
    logits, labels = overconfident(100, 3.0)
    found = fit_calibration(method, logits[:99], labels[:99])
    assert (found.temperature, found.biases.tolist()) == (1.0, [0.0, 0.0])
    assert found.not_fitted == "only 99 validation images; at least 100 are needed"
    enough = fit_calibration(method, logits, labels)
    assert enough.temperature > 1.5
    assert enough.not_fitted == ""


def test_a_validation_split_without_errors_sharpens_nothing():
    labels = np.array([0, 1] * 60)
    found = fit_calibration("temperature", 3.0 * np.eye(2)[labels], labels)
    assert (found.temperature, found.not_fitted) == (1.0, "every validation image was classified correctly")


def test_the_likelihood_is_that_of_the_softmax():
    logits, labels = overconfident(50, 1.0)
    exp = np.exp(logits)
    assert negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, exp / exp.sum(1, keepdims=True)))
