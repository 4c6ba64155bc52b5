from train.config.recipe_file import RECIPES, load_recipe
from train.models.chest_cnns import CHEST_CNNS, default_init
from train.models.modeling_chest_cnn import ChestCnnConfig


def test_only_chest_cnns_start_from_random_weights_unless_told_otherwise():
    assert {default_init(name) for name in CHEST_CNNS} == {"scratch"}
    assert default_init("densenet121") == "imagenet"


def test_every_network_has_a_recipe_and_settings_that_its_config_knows():
    recipes = [load_recipe(path) for path in RECIPES.glob("chestcnn-*.toml")]
    assert {recipe.model.architecture for recipe in recipes} == set(CHEST_CNNS)
    for settings in CHEST_CNNS.values():
        config = ChestCnnConfig(**settings)
        assert all(getattr(config, name) in (value, list(value) if isinstance(value, tuple) else value)
                   for name, value in settings.items())  # fmt: skip
