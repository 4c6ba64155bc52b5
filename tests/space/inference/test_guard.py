"""The guard: what is no frontal chest X-ray is told apart, cheaply or by its distance from the training images."""

import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import load_file, save_file

from space.errors import UsageError
from space.inference.classifier import Classifier
from space.inference.guard import FILE, Subspace, coarse_copy, doubt_by_size, thumbnail
from tests.phantoms import draw_phantom


@pytest.fixture(scope="module")
def classifier(run_folder) -> Classifier:
    """The tiny run, which learned from phantoms."""
    return Classifier.load(run_folder)


def page_of_text() -> Image.Image:
    page = Image.new("L", (400, 500), 245)
    for line in range(20):
        ImageDraw.Draw(page).text(
            (20, 20 + 22 * line), "Dear colleague, thank you for referring this patient. " * 2, 20
        )
    return page


def gradient() -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, 255, 200, dtype=np.uint8), (200, 1)))


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8))


def test_images_like_those_of_training_pass(classifier):
    random = np.random.default_rng(11)
    outputs = classifier.examine([draw_phantom(random, bool(k % 2)) for k in range(40)])
    assert sum(output.doubt is None for output in outputs) >= 38


def test_what_is_turned_over_is_told(classifier):
    random = np.random.default_rng(12)
    phantoms = [draw_phantom(random, bool(k % 2)) for k in range(20)]
    for turn in (Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM):
        outputs = classifier.examine([phantom.transpose(turn) for phantom in phantoms])
        assert sum(output.doubt == "upside_down" for output in outputs) >= 18


@pytest.mark.parametrize("draw", [page_of_text, gradient, noise])
def test_what_is_laid_out_otherwise_is_refused(classifier, draw):
    (output,) = classifier.examine([draw()])
    assert output.doubt == "unlike"
    assert output.probabilities.sum() == pytest.approx(1)  # for who wants them anyway


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.new("L", (63, 200), 90), "small"),
        (Image.new("L", (900, 200), 90), "shape"),
        (Image.new("L", (200, 200), 90), "blank"),
        (draw_phantom(np.random.default_rng(0), True), None),
    ],
)
def test_what_needs_no_model_to_be_told(image, reason):
    assert doubt_by_size(image.size, coarse_copy(image)) == reason


def test_a_subspace_measures_what_lies_outside_of_it():
    space = Subspace(np.array([1.0, 0, 0]), np.array([[0.0, 1, 0]]))
    assert space.distances(np.array([[1.0, 7, 0], [1, 7, 2], [4, 0, 4]])).tolist() == [0, 2, 5]


def test_thumbnails_do_not_depend_on_brightness_contrast_or_size():
    phantom = draw_phantom(np.random.default_rng(2), True, 300, 280)
    darker = phantom.point([round(20 + value * 0.5) for value in range(256)])
    smaller = phantom.resize((150, 140))
    own, *others = (thumbnail(coarse_copy(image)) for image in (phantom, darker, smaller))
    assert all(own @ other > 0.99 for other in others)
    assert not thumbnail(coarse_copy(Image.new("L", (80, 80), 7))).any()


def test_a_model_without_guard_doubts_only_what_is_plain(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / FILE).unlink()
    classifier = Classifier.load(folder)
    assert classifier.guard is None
    assert [output.doubt for output in classifier.examine([noise(), Image.new("L", (99, 99))])] == [None, "blank"]


def test_another_models_guard_is_a_usage_error(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    tensors = load_file(folder / FILE)
    save_file(tensors | {"embedding_mean": tensors["embedding_mean"][:-1]}, folder / FILE)
    with pytest.raises(UsageError, match="belongs to another model"):
        Classifier.load(folder)
    (folder / FILE).write_bytes(b"no tensors")
    with pytest.raises(UsageError, match="is damaged, or"):
        Classifier.load(folder)
