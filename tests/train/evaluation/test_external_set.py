"""Other datasets as a test: classes mapped, copies of training images refused."""

import shutil

import pytest
from PIL import Image

from hub.conversion import Options, convert
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


def load(dataset, labels_file, own, drop_copies=False):
    data, pixels, _, processor = own
    return load_external(str(dataset), labels_file, data, pixels, processor, 1, drop_copies)


@pytest.fixture
def mapped(tmp_path):
    (tmp_path / "map.toml").write_text('healthy = "NORMAL"\nill = "PNEUMONIA"\n')
    return tmp_path / "map.toml"


def test_a_mapped_dataset_is_tested_and_compared_with_the_models_own_test_split(own, others, mapped):
    external = load(others, mapped, own)
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
        ("healthy = false\nill = false", "no image is left to test on; its classes are healthy, ill"),
        ('healthi = "NORMAL"', "others has no class healthi. Its classes: healthy, ill"),
    ],
)
def test_classes_that_do_not_fit_are_named(own, others, tmp_path, mapping, problem):
    (tmp_path / "map.toml").write_text(mapping)
    with pytest.raises(UsageError, match=problem):
        load(others, tmp_path / "map.toml", own)


@pytest.fixture(scope="module")
def mixed(kaggle_folder, tmp_path_factory):
    """Other phantoms with copies of a training and a test image, and another image of the first one's patient."""
    folder = tmp_path_factory.mktemp("external")
    tree = write_kaggle_tree(folder / "tree", {s: {"NORMAL": 12, "PNEUMONIA": 12} for s in ("train", "val", "test")}, 9)
    target = tree / "chest_xray" / "train" / "NORMAL"
    for split, name in (("train", "IM-9999-0001.jpeg"), ("test", "IM-9998-0001.jpeg")):
        stolen = sorted((kaggle_folder / "chest_xray" / split / "NORMAL").glob("*.jpeg"))[0]
        with Image.open(stolen) as image:
            image.save(target / name, quality=70)
    next(target.glob("IM-00*")).rename(target / "IM-9999-0002.jpeg")
    convert(tree, folder / "mixed", Options(audit=False))
    return folder / "mixed"


def test_copies_of_any_split_are_refused_with_the_evidence(own, mixed):
    with pytest.raises(UsageError) as caught:
        load(mixed, None, own)
    message = str(caught.value)
    assert "2 of its 74 images are copies of images in the model's own dataset, 1 in train, 1 in test" in message
    assert "IM-9999-0001.jpeg = train/NORMAL/" in message
    assert "IM-9998-0001.jpeg = test/NORMAL/" in message
    assert "Add --also-drop-copies" in message


def test_copies_are_dropped_with_their_patients_on_request(own, mixed):
    external = load(mixed, None, own, drop_copies=True)
    assert (len(external.rows), len(external.pixels), external.dropped) == (71, 71, 3)
    assert not [name for name in external.rows["source"] if "IM-999" in name]
    assert external.compared == ("train", "validation", "test")
    finished = FinishedModel(own[2], own[3], NORMALISE)
    tested = evaluate_external(external, finished, task(), None)
    assert (tested.compared, tested.dropped, tested.absent) == (["train", "validation", "test"], 3, [])


@pytest.mark.parametrize("kept", [["test"], ["train", "test"], ["validation"]])
def test_a_dataset_may_have_any_splits(own, others, mapped, tmp_path, kept):
    (tmp_path / "set" / "data").mkdir(parents=True)
    for split in kept:
        for shard in (others / "data").glob(f"{split}-*"):
            shutil.copy(shard, tmp_path / "set" / "data")
    external = load(tmp_path / "set", mapped, own)
    assert list(external.summary.counts) == kept
    assert len(external.rows) == sum(sum(counts.values()) for counts in external.summary.counts.values())


def test_where_a_class_is_missing_the_metrics_that_mean_something_are_left(own, others, tmp_path):
    (tmp_path / "map.toml").write_text('healthy = "NORMAL"\nill = false\n')
    external = load(others, tmp_path / "map.toml", own)
    home = evaluate(task(), {"test": predictions(0)}).splits["test"]
    tested = evaluate_external(external, FinishedModel(own[2], own[3], NORMALISE), task(), home)
    assert tested.absent == ["PNEUMONIA"]
    assert tested.rules["argmax"].keys() == {"accuracy", "specificity", "brier", "nll", "ece"}
    assert {label: set(metrics) for label, metrics in tested.classes["argmax"].items()} == {
        "NORMAL": {"recall"}, "PNEUMONIA": {"specificity"},
    }  # fmt: skip
    assert tested.drop["argmax"].keys() == {"specificity"}
