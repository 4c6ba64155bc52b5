import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from space.errors import UsageError
from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from space.inference.operating_point import decide
from tests.phantoms import draw_phantom


@pytest.fixture(scope="module")
def classifier(run_folder) -> Classifier:
    return Classifier.load(run_folder)


def test_labels_and_operating_point_come_from_the_checkpoint(classifier):
    assert classifier.labels == ["NORMAL", "PNEUMONIA"]
    point = classifier.operating_point
    assert point.positive_label == "PNEUMONIA"
    assert 0 <= point.threshold <= 1
    above, below = min(1, point.threshold + 1e-3), max(0, point.threshold - 1e-3)
    scores = np.array([[1 - above, above], [1 - below, below]])
    assert decide(scores, point, classifier.labels).tolist() == [1, 0]


def test_examining_gives_the_probabilities_of_classify_and_a_map_per_class(classifier):
    random = np.random.default_rng(5)
    images = [draw_phantom(random, pneumonia=k > 0) for k in range(3)]
    outputs = classifier.examine(images)
    assert np.allclose([output.probabilities for output in outputs], classifier.probabilities(images), atol=1e-6)
    for image, output in zip(images, outputs, strict=True):
        maps = classifier.maps(output)
        assert maps.shape[0] == 2
        assert maps.ndim == 3
        assert (maps >= 0).all()
        assert np.allclose(maps, classifier.maps(classifier.examine([image])[0]), atol=1e-4)


def test_a_batch_equals_its_images_one_by_one(classifier):
    random = np.random.default_rng(6)
    images = [draw_phantom(random, pneumonia=k % 2 == 0, width=100 + 7 * k) for k in range(4)]
    one_by_one = np.concatenate([classifier.probabilities([image]) for image in images])
    assert np.allclose(classifier.probabilities(images), one_by_one, atol=1e-5)


def test_16_bit_images_give_what_their_8_bit_original_gives(classifier, tmp_path):
    image = draw_phantom(np.random.default_rng(7), pneumonia=True)
    values = np.asarray(image)
    stretched = np.rint((values - values.min()) * (255.0 / (values.max() - values.min()))).astype(np.uint8)
    path = tmp_path / "deep.png"
    Image.fromarray(values.astype(np.uint16) * 16).save(path)
    assert np.allclose(
        classifier.probabilities([read_xray(path).image]),
        classifier.probabilities([Image.fromarray(stretched)]),
        atol=1e-6,
    )


def test_a_model_that_cannot_be_loaded_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"config\.json and model\.safetensors"):
        Classifier.load(tmp_path)


def test_a_damaged_or_headless_model_is_refused_instead_of_serving_random_weights(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UsageError):
        Classifier.load(tmp_path / "cut")
    shutil.copytree(run_folder, tmp_path / "headless")
    weights = tmp_path / "headless" / "model.safetensors"
    save_file({n: t for n, t in load_file(weights).items() if "classifier" not in n}, weights, {"format": "pt"})
    with pytest.raises(UsageError, match="would be random"):
        Classifier.load(tmp_path / "headless")


def test_a_model_that_does_not_split_is_refused(tmp_path):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], num_labels=2)
    ResNetForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="does not split"):
        Classifier.load(tmp_path)
