from dataclasses import FrozenInstanceError

import pytest

from space.errors import UsageError
from tests.conftest import TINY_RECIPE, run_python
from train.config.recipe import RECIPES, find_recipe, load_recipe


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_opens_with_its_story(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    header = path.read_text().split("[model]")[0]
    for word in ("Study:", "Command:", "Reported:", "Ours:", "Deviations:"):
        assert word in header
    with pytest.raises(FrozenInstanceError):
        recipe.name = "other"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate", "learning_rat", "unknown learning_rat.*Allowed.*learning_rate"),
        ("epochs = 14\n", "", "missing epochs"),
        ("[model]", "[modle]", "unknown modle.*Allowed.*model"),
        ("epochs = 14", 'epochs = "many"', "epochs = 'many'; it must be of type int"),
        ("epochs = 14", "epochs = true", "must be of type int"),
        ("epochs = 14", "epochs = 0", "epochs = 0; it must lie between 1 and"),
        ("zoom = [0.95, 1.05]", "zoom = 2", "list of two numbers"),
        ("zoom = [0.95, 1.05]", "zoom = [1.05, 0.95]", "the smaller end first"),
        ("dropout = 0.0", "dropout = 2", "between 0 and 0.99"),
        ("noise_std = 0.02", "noise_std = nan", "noise_std = nan"),
        ("learning_rate = 3e-3", "learning_rate = inf", "learning_rate = inf; it must lie between"),
        ('precision = "fp32"', 'precision = "fp64"', "one of: auto, fp32, bf16, fp16"),
        ('"youden"', '"guess"', 'one of: "argmax", "youden"'),
        ("[model]", "[model", "not valid TOML"),
        ('optimizer = "adamw"', 'optimizer = "lion"', "one of: adamw, adam, adamax, rmsprop, sgd"),
        ('schedule = "cosine"', "", "missing schedule.*Required: .*schedule"),
        ("[control]", "[control]\nask_after_epochs = 3", 'which schedule = "cosine" cannot follow'),
        ("[control]", "[control]\nplateau_rollback = 1", "must be of type bool"),
    ],
)
def test_a_wrong_recipe_is_refused_with_what_is_allowed(tmp_path, old, new, message):
    text = TINY_RECIPE.read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=message):
        load_recipe(path)


def test_changes_take_the_place_of_the_files_values_and_are_checked_like_them():
    changes = ["epochs=3", "model.architecture = mobilenetv2_100", "zoom=[0.5, 2]", "compile=true", "tracker='none'"]
    recipe = load_recipe(TINY_RECIPE, changes)
    assert (recipe.training.epochs, recipe.model.architecture) == (3, "mobilenetv2_100")
    assert (recipe.augmentation.zoom, recipe.training.compile) == ((0.5, 2.0), True)
    assert recipe.training.tracker == "none"
    assert load_recipe(TINY_RECIPE).training.epochs == 14
    for change, message in (
        ("epoch=3", "key=value with a key of a recipe.*training: epochs"),
        ("model.epochs=3", "key=value with a key of a recipe"),
        ("epochs", "key=value with a key of a recipe"),
        ("epochs=many", "'many'; it must be of type int"),
        ("schedule=linear", "one of: cosine, constant"),
    ):
        with pytest.raises(UsageError, match=message):
            load_recipe(TINY_RECIPE, [change])


def test_a_recipe_written_out_is_the_same_recipe(tmp_path):
    recipe = load_recipe(TINY_RECIPE, ["positive_label='\"quoted\" \\ ü'", "learning_rate=1e-7"])
    path = tmp_path / "tiny.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_an_unknown_recipe_name_lists_the_known_ones():
    done = run_python("-m", "train.finetune", "--recipe", "nope", "--dataset", "x", "--output", "y")
    assert done.returncode == 2
    assert "mobilenetv2-pneumonia" in done.stderr
    assert "Traceback" not in done.stderr


def test_recipes_are_found_by_name_and_by_path():
    assert find_recipe("mobilenetv2-pneumonia").parent == RECIPES
    assert find_recipe(str(TINY_RECIPE)) == TINY_RECIPE
