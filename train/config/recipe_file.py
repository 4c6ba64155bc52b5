"""A recipe's file: found by name or path, and read strictly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from space.errors import UsageError
from train.common.arguments import did_you_mean, read_toml
from train.config.recipe import KEYS, SECTIONS, Recipe
from train.config.strict_toml import check_keys, parse_section, parse_value

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
REQUIRED_SECTIONS = ["model", "training"]


def find_recipe(name_or_path: str) -> Path:
    """Find a recipe's file by its name in `train/recipes` or by its path.

    Raises:
        UsageError: There is none; the message lists the names.
    """
    for path in (RECIPES / f"{name_or_path}.toml", Path(name_or_path)):
        if path.is_file():
            return path
    names = sorted(path.stem for path in RECIPES.glob("*.toml"))
    hint = did_you_mean(name_or_path, names) or "."
    raise UsageError(f"no recipe {name_or_path!r}{hint} Recipes are: {', '.join(names)}; or the path of a .toml file.")


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe strictly.

    Args:
        path: The .toml file.
        changes: `key=value` or `section.key=value` each, put in place of what the file says; values as TOML writes
            them, strings also without quotes.

    Raises:
        UsageError: The file is not TOML; a section or key is unknown, missing, of a wrong type or out of range; or
            settings contradict each other. The message names what is allowed.
    """
    tree = read_toml(path)
    check_keys(path.name, tree, list(SECTIONS), REQUIRED_SECTIONS)
    for change in changes:
        section, key, value = _parse_change(change)
        if isinstance(table := tree.setdefault(section, {}), dict):
            table[key] = value
    sections = {
        name: parse_section(f"{path.name} [{name}]", kind, tree.get(name, {})) for name, kind in SECTIONS.items()
    }
    recipe = Recipe(path.stem, **sections)
    if recipe.control.ask_after_epochs and recipe.training.schedule not in ("constant", "plateau"):
        raise UsageError(
            f"{path.name}: ask_after_epochs lets a person change how long training takes, which schedule = "
            f'"{recipe.training.schedule}" cannot follow. Use schedule = "plateau" or "constant", or '
            "ask_after_epochs = 0."
        )
    return recipe


def _parse_change(change: str) -> tuple[str, str, Any]:
    """Split `section.key=value` or `key=value` into section, key and value."""
    name, equals, text = change.partition("=")
    section, _, key = name.strip().rpartition(".")
    if not equals:
        raise UsageError(f"--set {change}: write it as key=value, for example --set epochs=5.")
    owner = next((owner for owner, keys in KEYS.items() if key in keys), None)
    if owner is None:
        if similar := did_you_mean(key, [key for keys in KEYS.values() for key in keys]):
            raise UsageError(f"--set {change}: unknown key {key}{similar} All keys: train/config/recipe.py.")
        listed = "; ".join(f"{owner}: {', '.join(keys)}" for owner, keys in KEYS.items())
        raise UsageError(f"--set {change}: unknown key {key}. Keys are: {listed}.")
    if section not in ("", owner):
        raise UsageError(f"--set {change}: {key} belongs to [{owner}]; write {key}={text.strip()}.")
    return owner, key, parse_value(text.strip())
