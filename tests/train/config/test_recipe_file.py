import ast
from dataclasses import FrozenInstanceError, fields
from itertools import pairwise

import pytest

from space.errors import UsageError
from tests.conftest import REPOSITORY, TINY_RECIPE
from train.config.recipe import KEYS, SECTIONS
from train.config.recipe_file import RECIPES, find_recipe, load_recipe


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_opens_with_its_story(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    header = path.read_text().split("[model]")[0]
    for word in ("Study:", "Command:", "Reported:", "Ours:", "Deviations:"):
        assert word in header
    with pytest.raises(FrozenInstanceError):
        recipe.name = "other"


def test_each_study_and_each_task_has_its_recipe():
    names = {path.stem for path in RECIPES.glob("*.toml")}
    assert names == {
        "chestcnn-covid19", "mobilenetv2-pneumonia", "densenet121-covidquex", "chestcnn-pneumonia",
        "densenet169-radiography", "best-covid19", "best-covidquex", "best-pneumonia", "best-radiography",
        "best-chestcnn-pneumonia", "fast-pneumonia",
    }  # fmt: skip
    study_a = load_recipe(RECIPES / "chestcnn-covid19.toml")
    assert (study_a.training.optimizer, study_a.training.learning_rate) == ("adam", 1e-4)
    assert (study_a.training.batch_size, study_a.training.epochs, study_a.model.image_size) == (32, 100, 256)
    study_d = load_recipe(RECIPES / "chestcnn-pneumonia.toml")
    assert (study_d.training.optimizer, study_d.training.schedule) == ("rmsprop", "plateau")
    assert study_d.training.class_balance == "oversample"
    assert study_d.augmentation.rotation_degrees > 0
    assert study_d.augmentation.shift > 0
    study_e = load_recipe(RECIPES / "densenet169-radiography.toml")
    assert (study_e.training.optimizer, study_e.training.learning_rate) == ("adamax", 1e-3)
    assert (study_e.training.batch_size, study_e.training.epochs) == (16, 100)
    assert study_e.control.ask_after_epochs > 0
    assert study_e.augmentation.flip_probability == 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate", "learning_rat", "unknown key learning_rat; did you mean learning_rate"),
        ("learning_rate", "bananas", "unknown key bananas.*Allowed.*learning_rate"),
        ("epochs = 14\n", "", "missing epochs"),
        ("[model]", "[modle]", "unknown key modle; did you mean model"),
        ("epochs = 14", 'epochs = "many"', r"tiny.*\[training\] epochs = 'many'\. It must be a valid integer"),
        ("epochs = 14", "epochs = true", "must be a valid integer"),
        ("epochs = 14", "epochs = 0", r"epochs = 0\. It must be greater than or equal to 1"),
        ("zoom = [0.95, 1.05]", "zoom = 2", "list of two numbers"),
        ("zoom = [0.95, 1.05]", "zoom = [1.05, 0.95]", "the smaller end first"),
        ("zoom = [0.95, 1.05]", "zoom = [0.95, 11]", r"Each must be less than or equal to 10"),
        ("dropout = 0.0", "dropout = 2", r"dropout = 2\. It must be less than or equal to 0\.99"),
        ("noise_std = 0.02", "noise_std = nan", "noise_std = nan"),
        ("learning_rate = 3e-3", "learning_rate = inf", r"learning_rate = inf\. It must be a finite number"),
        ("learning_rate = 3e-3", "learning_rate = 0", r"learning_rate = 0\. It must be greater"),
        ('precision = "fp32"', 'precision = "fp64"', "must be 'auto', 'fp32', 'bf16' or 'fp16'"),
        ('"youden"', '"guess"', 'must be "argmax", "youden", "youden-worst", or'),
        ("[model]", "[model", "not valid TOML"),
        ('optimizer = "adamw"', 'optimizer = "lion"', "must be 'adamw', 'adam', 'adamax', 'rmsprop' or 'sgd'"),
        ('schedule = "cosine"', "", "missing schedule.*Required: .*schedule"),
        ("[control]", "[control]\nask_after_epochs = 3", 'which schedule = "cosine" cannot follow'),
        ("[control]", "[control]\nplateau_rollback = 1", "must be a valid boolean"),
    ],
)
def test_a_wrong_recipe_is_refused_with_what_is_allowed(tmp_path, old, new, message):
    text = TINY_RECIPE.read_text()
    assert old in text
    path = tmp_path / "tiny.toml"
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
        ("epoch=3", r"unknown key epoch; did you mean epochs\? All keys: train/config/recipe\.py"),
        ("bananas=3", "unknown key bananas. Keys are: .*training: epochs"),
        ("model.epochs=3", r"epochs belongs to \[training\]; write epochs=3"),
        ("epochs", "write it as key=value"),
        ("epochs=many", "'many'. It must be a valid integer"),
        ("schedule=linear", "must be 'cosine', 'constant'"),
    ):
        with pytest.raises(UsageError, match=message):
            load_recipe(TINY_RECIPE, [change])


def test_no_key_stands_in_two_sections():
    keys = [key for section in KEYS.values() for key in section]
    assert len(keys) == len(set(keys))  # else --set key=value would not say which one is meant


def test_every_key_is_documented_where_it_stands():
    tree = ast.parse((RECIPES.parent / "config" / "recipe.py").read_text(encoding="utf-8"))
    bodies = {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
    for kind in SECTIONS.values():
        pairs = list(pairwise(bodies[kind.__name__]))
        documented = [key.target.id for key, text in pairs if isinstance(key, ast.AnnAssign) and is_text(text)]
        assert documented == [field.name for field in fields(kind)]


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_a_recipe_written_out_is_the_same_recipe(tmp_path):
    recipe = load_recipe(TINY_RECIPE, ["positive_label='\"quoted\" \\ ü'", "learning_rate=1e-7"])
    path = tmp_path / "tiny.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_the_recipe_of_an_earlier_version_is_written_out_byte_for_byte_as_it_was():
    path = REPOSITORY / "tests" / "train" / "run_of_5c919f0" / "recipe.toml"
    text = path.read_text(encoding="utf-8")
    keys = {line.partition(" = ")[0] for line in text.splitlines()}  # others came later
    written = load_recipe(path).to_toml().partition("\n[data]\n")[0].splitlines(keepends=True)
    same = "".join(line for line in written if line.strip().partition(" = ")[0] in keys)
    assert same == text[text.index("[model]") :]


def test_recipes_are_found_by_name_and_by_path():
    assert find_recipe("mobilenetv2-pneumonia").parent == RECIPES
    assert find_recipe(str(TINY_RECIPE)) == TINY_RECIPE


def test_an_unknown_recipe_name_lists_those_that_there_are():
    with pytest.raises(UsageError, match=r"did you mean mobilenetv2-pneumonia\? Recipes are: best-chestcnn-pneumonia"):
        find_recipe("mobilenet-pneumonia")
    with pytest.raises(UsageError, match=r"no recipe 'nope'\. Recipes are: .*path of a \.toml file"):
        find_recipe("nope")
