"""Recipes: everything that decides a training run, as frozen dataclasses read from strict TOML.

A key with a default may be left out; the default is always "off" or the common value.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from space.errors import UsageError
from train.config.decision_rule import ALLOWED, is_rule
from train.config.strict_toml import check_keys, dump_section, parse_section, parse_value, read_toml

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@dataclass(frozen=True)
class ModelRecipe:
    """Which network is trained.

    Attributes:
        architecture: Name of a timm model, or of one of the chest CNNs in `train.models.factory`.
        image_size: Height and width in pixels that images are squeezed to (aspect ratio not kept).
        dropout: Dropout rate before the last layer of a timm model, in [0, 1); chest CNNs carry their own.
        trainable: "all" weights, the "last-stage" of the features and the head, or the "head" alone (linear probe).
    """

    architecture: str
    image_size: int
    dropout: float = 0.0
    trainable: str = "all"


@dataclass(frozen=True)
class TrainingRecipe:
    """How it is optimised.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images per forward pass and process.
        optimizer: "adamw", "adam", "adamax", "rmsprop" or "sgd" (with Nesterov momentum of 0.9).
        learning_rate: Peak learning rate.
        schedule: "cosine" down to 0, "constant", "one-cycle" (Smith & Topin, arXiv:1708.07120), or "plateau" (lowered
            when the selection metric stops improving; see `ControlRecipe`).
        warmup_epochs: Linear warm-up, in epochs ("one-cycle" brings its own).
        weight_decay: On weights of two or more dimensions (no biases, no norms).
        accumulation_steps: Batches whose gradients are averaged into one optimiser step.
        clip_norm: Largest norm of the gradient; 0 does not clip.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        ema_decay: Decay per step of an exponential moving average of the weights, which then is what is validated and
            kept; 0 is off.
        class_balance: "none"; "weighted-loss" (by inverse class frequency); "balanced-sampling" (every class equally
            often, with replacement); "oversample" (images of smaller classes are repeated as augmented copies until
            the classes are equal; the originals are then shown as they are).
        precision: "auto" takes bf16 where the processor computes in it, else fp32; or "fp32", "bf16", "fp16".
        compile: Compile the network with torch.compile.
        tracker: Where curves are logged: "tensorboard", "trackio", "wandb" or "none".
    """

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    accumulation_steps: int = 1
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    class_balance: str = "none"
    precision: str = "auto"
    compile: bool = False
    tracker: str = "tensorboard"


@dataclass(frozen=True)
class ControlRecipe:
    """Which weights are kept, when training ends early, when state is saved.

    Attributes:
        selection: The validation metric that chooses the weights: "auroc", "accuracy", "loss", or "robust-auroc", the
            mean of the AUROC on validation and on its corrupted copy (`train.data.corruption`).
        selection_tolerance: The weights kept are the latest whose metric lies within this of the best; smaller
            differences are noise on a few hundred images, and later weights have been cooled further.
        early_stopping_epochs: Stop after this many epochs without a better metric; 0 is off.
        plateau_epochs: With schedule "plateau": epochs without a better metric before the learning rate is lowered.
        plateau_factor: What it is multiplied by.
        plateau_rollback: Whether the best weights so far are then loaded again.
        minimum_learning_rate: What it is never lowered below.
        ask_after_epochs: After this many epochs ask on the terminal whether to go on; 0 never asks.
        ask_default: What happens where there is no terminal: "continue" or "stop".
        checkpoint_steps: Save the state of training every so many steps, besides the end of each epoch; 0 is off.
    """

    selection: str = "auroc"
    selection_tolerance: float = 0.0
    early_stopping_epochs: int = 0
    plateau_epochs: int = 2
    plateau_factor: float = 0.5
    plateau_rollback: bool = False
    minimum_learning_rate: float = 0.0
    ask_after_epochs: int = 0
    ask_default: str = "continue"
    checkpoint_steps: int = 0


@dataclass(frozen=True)
class AugmentationRecipe:
    """Random changes to each training image; by default none.

    Attributes:
        rotation_degrees: Rotation, uniform in +- this.
        shift: Shift along each axis as a share of its length, uniform in +- this.
        zoom: Range of the magnification, log-uniform (above 1 crops).
        stretch: Range of the width-to-height change, log-uniform.
        flip_probability: Chance of a left-right flip.
        gamma: Range of the exponent on intensities in [0, 1], log-uniform.
        contrast: Contrast around the image's mean, uniform in 1 +- this.
        brightness: Added intensity, uniform in +- this, in units of the full range.
        blur_sigma: Largest Gaussian blur in pixels, uniform from 0.
        noise_std: Largest standard deviation of Gaussian noise, uniform from 0, in units of the full range.
        erase_probability: Chance that one rectangle is replaced by the image's mean.
        erase_area: Range of that rectangle's share of the image.
    """

    rotation_degrees: float = 0.0
    shift: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    stretch: tuple[float, float] = (1.0, 1.0)
    flip_probability: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    contrast: float = 0.0
    brightness: float = 0.0
    blur_sigma: float = 0.0
    noise_std: float = 0.0
    erase_probability: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.2)


@dataclass(frozen=True)
class EvaluationRecipe:
    """How scores become decisions.

    Attributes:
        positive_label: The class that a binary task looks for ("" for tasks with more classes).
        operating_point: "argmax"; "youden", which maximises sensitivity + specificity on validation; or, for example,
            "sensitivity>=0.95", the highest specificity on validation at such a sensitivity.
        calibration: "temperature"; "temperature-and-bias", which also fits the frequency of the classes in validation
            (on chest-xray-pneumonia that raised the calibration error on test from 0.053 to 0.160); or "none".
        test: Whether the finished run reads the test split. A study of many runs does that once, at its end.
        known_of_test: What was known of the test data when the recipe was written, in a sentence for the card.
    """

    positive_label: str = ""
    operating_point: str = "argmax"
    calibration: str = "temperature"
    test: bool = True
    known_of_test: str = ""


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; see the sections."""

    name: str
    model: ModelRecipe
    training: TrainingRecipe
    control: ControlRecipe
    augmentation: AugmentationRecipe
    evaluation: EvaluationRecipe

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain nested values, as results.json records it."""
        return asdict(self)

    def to_toml(self) -> str:
        """All sections with every key, as a recipe file has them."""
        return "\n".join(dump_section(name, asdict(getattr(self, name))) for name in SECTIONS)


SECTIONS = {
    "model": ModelRecipe,
    "training": TrainingRecipe,
    "control": ControlRecipe,
    "augmentation": AugmentationRecipe,
    "evaluation": EvaluationRecipe,
}
REQUIRED_SECTIONS = ["model", "training"]
CHOICES = {
    "trainable": ("all", "last-stage", "head"),
    "optimizer": ("adamw", "adam", "adamax", "rmsprop", "sgd"),
    "schedule": ("cosine", "constant", "one-cycle", "plateau"),
    "class_balance": ("none", "weighted-loss", "balanced-sampling", "oversample"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "tracker": ("tensorboard", "trackio", "wandb", "none"),
    "selection": ("auroc", "robust-auroc", "accuracy", "loss"),
    "ask_default": ("continue", "stop"),
    "calibration": ("temperature", "temperature-and-bias", "none"),
}
LIMITS = {
    "image_size": (32, 4096),
    "dropout": (0.0, 0.99),
    **dict.fromkeys(("epochs", "batch_size", "accumulation_steps", "plateau_epochs"), (1, 100_000)),
    **dict.fromkeys(("warmup_epochs", "weight_decay", "clip_norm", "minimum_learning_rate"), (0.0, math.inf)),
    "learning_rate": (1e-12, math.inf),
    "label_smoothing": (0.0, 0.99),
    "ema_decay": (0.0, 0.999999),
    "selection_tolerance": (0.0, 1.0),
    "early_stopping_epochs": (0, 100_000),
    "plateau_factor": (0.001, 0.999),
    "ask_after_epochs": (0, 100_000),
    "checkpoint_steps": (0, 100_000_000),
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


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe strictly.

    Args:
        path: The .toml file.
        changes: `key=value` or `section.key=value` each, put in place of what the file says; values as TOML writes
            them, strings also without quotes.

    Raises:
        UsageError: The file is no TOML; a section or key is unknown, missing, of a wrong type or out of range; or
            settings contradict each other. The message names what is allowed.
    """
    tree = read_toml(path)
    check_keys(path.name, tree, list(SECTIONS), REQUIRED_SECTIONS)
    for change in changes:
        section, key, value = _parse_change(change)
        if isinstance(table := tree.setdefault(section, {}), dict):
            table[key] = value
    sections = {
        name: parse_section(f"{path.name} [{name}]", kind, tree.get(name, {}), LIMITS, CHOICES)
        for name, kind in SECTIONS.items()
    }
    recipe = Recipe(path.stem, **sections)
    if not is_rule(recipe.evaluation.operating_point):
        point = recipe.evaluation.operating_point
        raise UsageError(f"{path.name} [evaluation]: operating_point = {point!r}; it must be one of: {ALLOWED}.")
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
    owners = [owner for owner, kind in SECTIONS.items() if key in {field.name for field in fields(kind)}]
    if not equals or not owners or (section and section not in owners):
        known = "; ".join(f"{owner}: {', '.join(f.name for f in fields(kind))}" for owner, kind in SECTIONS.items())
        raise UsageError(f"--set {change}: it must be key=value with a key of a recipe. Keys are: {known}.")
    return section or owners[0], key, parse_value(text.strip())
