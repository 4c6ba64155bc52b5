"""Other datasets as a test: classes mapped, copies of training images refused."""

import pytest
from PIL import Image

from hub.conversion import convert
from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from tests.phantoms import write_kaggle_tree
from tests.train.evaluation.fixtures import NORMALISE, predictions, task
from train.config.recipe_file import load_recipe
from train.data.dataset import load_data
from train.data.pixel_cache import load_pixels
from train.evaluation.evaluate_model import evaluate
from train.evaluation.external_set import evaluate_external, load_external
from train.evaluation.finished_model import FinishedModel
from train.models.factory import build


@pytest.fixture(scope="module")
def own(dataset_folder):
    """The model's own dataset, its pixels, the model and its processor."""
    data = load_data(str(dataset_folder))
    model, processor = build(load_recipe(TINY_RECIPE).model, data.labels, "scratch")
    return data, load_pixels(data, processor, 1), model.eval(), processor


def load(dataset, labels_file, own):
    data, pixels, _, processor = own
    return load_external(str(dataset), labels_file, data, pixels, processor, 1)


def test_a_mapped_dataset_is_tested_and_compared_with_the_models_own_test_split(own, others, tmp_path):
    (tmp_path / "map.toml").write_text('healthy = "NORMAL"\nill = "PNEUMONIA"\n')
    external = load(others, tmp_path / "map.toml", own)
    assert external.mapping == {"healthy": "NORMAL", "ill": "PNEUMONIA"}
    assert len(external.pixels) == len(external.rows) == sum(sum(c.values()) for c in external.summary.counts.values())
    home = evaluate(task(), {"test": predictions(0)}).splits["test"]
    finished = FinishedModel(own[2], own[3], NORMALISE)
    found = evaluate_external(external, finished, task(), home)
    assert (found.dataset.name, found.images) == ("others", len(external.pixels))
    here, there = home["argmax"]["auroc"].value, found.rules["argmax"]["auroc"].value
    assert found.drop["argmax"]["auroc"] == here - there
    assert evaluate_external(external, finished, task(), None).drop == {}


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ('healthy = "NORMAL"', "the model has no class ill. Its classes: NORMAL, PNEUMONIA"),
        ('healthy = "NORMAL"\nill = false', "has no image of class PNEUMONIA"),
        ('healthi = "NORMAL"', "others has no class healthi. Its classes: healthy, ill"),
    ],
)
def test_classes_that_do_not_fit_are_named(own, others, tmp_path, mapping, problem):
    (tmp_path / "map.toml").write_text(mapping)
    with pytest.raises(UsageError, match=problem):
        load(others, tmp_path / "map.toml", own)


def test_a_copy_of_a_training_image_is_refused_with_the_evidence(own, kaggle_folder, tmp_path):
    tree = write_kaggle_tree(tmp_path / "mixed", seed=9)
    stolen = sorted((kaggle_folder / "chest_xray" / "train" / "NORMAL").glob("*.jpeg"))[0]
    with Image.open(stolen) as image:
        image.save(tree / "chest_xray" / "train" / "NORMAL" / "IM-9999-0001.jpeg", quality=70)
    convert(tree, tmp_path / "mixed-dataset")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "mixed-dataset", None, own)
    assert f"IM-9999-0001.jpeg = train/NORMAL/{stolen.name}" in str(caught.value)
    assert "1 of its" in str(caught.value)
