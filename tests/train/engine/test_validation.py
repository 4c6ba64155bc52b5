import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from space.errors import ChestXrayError
from tests.train.engine.fixtures import make_inputs, small_model, small_recipe, small_splits
from train.data.pixel_cache import CORRUPTED, PixelDataset
from train.engine.validation import validate
from train.evaluation.metrics import auroc


@pytest.fixture
def inputs(tmp_path):
    return make_inputs(tmp_path, small_recipe())


def test_scores_are_those_of_the_models_outputs(inputs):
    splits = small_splits()
    labels = splits["validation"].labels
    scores = validate(Accelerator(cpu=True), inputs.model, splits, inputs.normalise)
    pixels = splits["validation"].take(np.arange(len(labels)))
    with torch.no_grad():
        logits = inputs.model.eval()(pixel_values=inputs.normalise(pixels)).logits
    assert scores == {
        "validation_loss": pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-6),
        "validation_accuracy": pytest.approx(float((logits.argmax(1) == labels).float().mean())),
        "validation_auroc": pytest.approx(auroc(labels.numpy(), logits.softmax(1).numpy())),
        "origin_auroc": {},
        "worst_origin_auroc": scores["validation_auroc"],
    }


def test_each_origin_is_scored_by_itself_and_the_worst_counts(inputs):
    once = small_splits()["validation"]
    pixels = np.concatenate([once.pixels] * 6)  # 16 images, 8 of each class, six times
    labels = once.labels.repeat(6).numpy()
    labels[48:] = 1 - labels[48:]  # half of them with the wrong labels
    origins = np.repeat(["right", "wrong"], 48)
    split = PixelDataset(pixels, labels, origins)
    scores = validate(Accelerator(cpu=True), inputs.model, {"validation": split}, inputs.normalise)
    clean = validate(Accelerator(cpu=True), inputs.model, small_splits(), inputs.normalise)["validation_auroc"]
    assert scores["origin_auroc"] == pytest.approx({"right": clean, "wrong": 1 - clean}, abs=1e-6)
    assert scores["worst_origin_auroc"] == min(scores["origin_auroc"].values()) != scores["validation_auroc"]


def test_a_corrupted_copy_counts_as_much_as_the_clean_one(inputs):
    splits = small_splits()
    validation = splits["validation"]
    worse = PixelDataset(255 - validation.pixels, validation.labels)
    scores = validate(Accelerator(cpu=True), inputs.model, splits | {CORRUPTED: worse}, inputs.normalise)
    assert scores["corrupted_auroc"] != scores["validation_auroc"]
    assert scores["robust_auroc"] == pytest.approx((scores["validation_auroc"] + scores["corrupted_auroc"]) / 2)


def test_outputs_that_are_not_finite_are_a_failure_with_ways_out(inputs):
    model = small_model()
    torch.nn.init.constant_(model.get_classifier().bias, float("nan"))
    with pytest.raises(ChestXrayError, match=r'training diverged.*Lower learning_rate.*precision = "fp32"'):
        validate(Accelerator(cpu=True), model, small_splits(), inputs.normalise)
