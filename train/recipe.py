"""Recipes: everything that decides a training run, as frozen dataclasses read from strict TOML."""

import argparse
import math
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from space.errors import UsageError

RECIPES = Path(__file__).resolve().parent / "recipes"
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
OPERATING_POINTS = ("argmax", "youden")


@dataclass(frozen=True)
class ModelRecipe:
    """Which network is trained.

    Attributes:
        architecture: Name of a timm model.
        image_size: Height and width in pixels that pictures are squeezed to (aspect ratio not kept).
        dropout: Dropout rate before the last layer, in [0, 1).
    """

    architecture: str
    image_size: int
    dropout: float


@dataclass(frozen=True)
class TrainingRecipe:
    """How it is optimised: AdamW, cosine schedule with linear warm-up.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images per step and process.
        learning_rate: Peak learning rate.
        weight_decay: AdamW's, on weights of two or more dimensions (no biases, no norms).
        warmup_epochs: Linear warm-up, in epochs.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        precision: One of `PRECISIONS`; "auto" takes bf16 where the processor computes in it, else fp32.
        selection_tolerance: The checkpoint kept is the latest whose validation AUROC lies within this of the highest
            seen; smaller differences are noise on a few hundred pictures, and later weights have been cooled further.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    label_smoothing: float
    precision: str
    selection_tolerance: float


@dataclass(frozen=True)
class AugmentationRecipe:
    """Random changes to each training picture; 0 (or a range of equal ends) switches one off.

    Attributes:
        rotation_degrees: Rotation, uniform in +- this.
        shift: Shift along each axis as a share of its length, uniform in +- this.
        zoom: Range of the magnification, log-uniform.
        stretch: Range of the width-to-height change, log-uniform.
        flip_probability: Chance of a left-right flip.
        gamma: Range of the exponent on intensities in [0, 1], log-uniform.
        contrast: Contrast around the picture's mean, uniform in 1 +- this.
        brightness: Added intensity, uniform in +- this, in units of the full range.
        blur_sigma: Largest Gaussian blur in pixels, uniform from 0.
        noise_std: Largest standard deviation of Gaussian noise, uniform from 0, in units of the full range.
        erase_probability: Chance that one rectangle is replaced by the picture's mean.
        erase_area: Range of that rectangle's share of the picture.
    """

    rotation_degrees: float
    shift: float
    zoom: tuple[float, float]
    stretch: tuple[float, float]
    flip_probability: float
    gamma: tuple[float, float]
    contrast: float
    brightness: float
    blur_sigma: float
    noise_std: float
    erase_probability: float
    erase_area: tuple[float, float]


@dataclass(frozen=True)
class EvaluationRecipe:
    """How scores become decisions.

    Attributes:
        positive_label: The class that a binary task looks for ("" for tasks with more classes).
        operating_point: One of `OPERATING_POINTS`, fixed on validation: "youden" maximises sensitivity + specificity.
    """

    positive_label: str
    operating_point: str


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; see the sections."""

    name: str
    model: ModelRecipe
    training: TrainingRecipe
    augmentation: AugmentationRecipe
    evaluation: EvaluationRecipe

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain nested values, as results.json records it."""
        return asdict(self)


# Smallest and largest value of each number; of a range both ends, in order.
RANGES = {
    "image_size": (32, 4096),
    "dropout": (0.0, 0.99),
    "epochs": (1, 100_000),
    "batch_size": (1, 100_000),
    "learning_rate": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "warmup_epochs": (0.0, math.inf),
    "label_smoothing": (0.0, 0.99),
    "selection_tolerance": (0.0, 1.0),
    "rotation_degrees": (0.0, 180.0),
    "shift": (0.0, 1.0),
    "zoom": (0.1, 10.0),
    "stretch": (0.1, 10.0),
    "flip_probability": (0.0, 1.0),
    "gamma": (0.1, 10.0),
    "contrast": (0.0, 1.0),
    "brightness": (0.0, 1.0),
    "blur_sigma": (0.0, 50.0),
    "noise_std": (0.0, 1.0),
    "erase_probability": (0.0, 1.0),
    "erase_area": (0.0, 0.5),
}
SECTIONS = {
    "model": ModelRecipe,
    "training": TrainingRecipe,
    "augmentation": AugmentationRecipe,
    "evaluation": EvaluationRecipe,
}


def parse_seed(text: str) -> int:
    """Read a seed from the command line: an integer that every random number generator takes, 0 to 2**32 - 1."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 0 to {2**32 - 1}")
    return int(text)


def find_recipe(name_or_path: str) -> Path:
    """Find a recipe's file by its name in `train/recipes` or by its path.

    Raises:
        UsageError: There is none; the message lists the names.
    """
    for path in (RECIPES / f"{name_or_path}.toml", Path(name_or_path)):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in RECIPES.glob("*.toml")))
    raise UsageError(f"no recipe {name_or_path!r}. Name one of: {names}; or the path of a .toml file.")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe strictly.

    Raises:
        UsageError: The file is no TOML, or a section or key is unknown, missing, of a wrong type or out of range; the
            message names what is allowed.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}") from None
    _check_keys(path.name, tree, list(SECTIONS))
    sections = {name: _section(f"{path.name} [{name}]", kind, tree[name]) for name, kind in SECTIONS.items()}
    recipe = Recipe(path.stem, **sections)
    _one_of(path.name, "precision", recipe.training.precision, PRECISIONS)
    _one_of(path.name, "operating_point", recipe.evaluation.operating_point, OPERATING_POINTS)
    for section in sections.values():
        for key, value in vars(section).items():
            _in_range(f"{path.name}: {key}", value, RANGES.get(key))
    return recipe


def _check_keys(where: str, table: Any, allowed: list[str]) -> None:
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table with the keys: {', '.join(allowed)}.")
    for problem, keys in (("unknown", set(table) - set(allowed)), ("missing", set(allowed) - set(table))):
        if keys:
            raise UsageError(
                f"{where}: {problem} {', '.join(sorted(keys))}. Allowed, all required: {', '.join(allowed)}."
            )


def _section(where: str, kind: type, table: Any) -> Any:
    _check_keys(where, table, [field.name for field in fields(kind)])
    return kind(
        **{field.name: _typed(f"{where} {field.name}", field.type, table[field.name]) for field in fields(kind)}
    )


def _typed(where: str, kind: Any, value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind == tuple[float, float] and isinstance(value, list) and len(value) == 2:
        return tuple(_typed(where, float, item) for item in value)
    expected = "a list of two numbers" if kind == tuple[float, float] else f"of type {kind.__name__}"
    raise UsageError(f"{where} = {value!r}; it must be {expected}.")


def _in_range(where: str, value: Any, limits: tuple[float, float] | None) -> None:
    if limits is None:
        return
    low, high = limits
    ends = value if isinstance(value, tuple) else (value, value)
    if not low <= ends[0] <= ends[1] <= high:
        shown = list(value) if isinstance(value, tuple) else value
        order = ", the smaller end first" if isinstance(value, tuple) else ""
        raise UsageError(f"{where} = {shown}; it must lie between {low:g} and {high:g}{order}.")


def _one_of(where: str, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{where}: {key} = {value!r}; it must be one of: {', '.join(allowed)}.")
