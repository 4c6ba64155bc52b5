"""Recipes: everything that decides a training run, as frozen dataclasses (`train.config.recipe_file` reads them).

Each key is listed below with its default, its allowed values and its meaning. A key with a default may be
left out of a recipe; the default is always "off" or the common value.
"""

import json
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from train.config.decision_rule import check_rule
from train.config.strict_toml import (
    STRICT,
    check_names,
    check_order,
    check_pair,
    dump_section,
)

Count = Annotated[int, Field(ge=1, le=100_000)]
CountOrOff = Annotated[int, Field(ge=0, le=100_000)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, le=0.99)]
NotNegative = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(ge=0.1, le=10)]
AreaShare = Annotated[float, Field(ge=0, le=0.5)]
FrameShare = Annotated[float, Field(ge=0, le=0.4)]
# [smallest, largest]
FactorRange = Annotated[tuple[Factor, Factor], BeforeValidator(check_pair), AfterValidator(check_order)]
AreaRange = Annotated[tuple[AreaShare, AreaShare], BeforeValidator(check_pair), AfterValidator(check_order)]
FrameRange = Annotated[tuple[FrameShare, FrameShare], BeforeValidator(check_pair), AfterValidator(check_order)]
Names = Annotated[tuple[str, ...], BeforeValidator(check_names)]
Trainable = Literal["all", "last-stage", "head"]


@dataclass(**STRICT)
class DataRecipe:
    """Which of the dataset's images are used."""

    leave_out: Names = ()
    """Hospitals or origins that are taken out of train and validation, for example ["NIH"]. They then have no part in
    the weights, the temperature, the operating point and the guard. The test split keeps them. What was taken out is
    evaluated too, as the split "left-out": development data of a hospital that the model never saw."""


@dataclass(**STRICT)
class ModelRecipe:
    """Which network is trained."""

    architecture: str
    """Name of a timm model, or of one of the chest CNNs in `train.models.chest_cnns`."""
    image_size: Annotated[int, Field(ge=32, le=4096)]
    """Height and width in pixels that images are squeezed to (aspect ratio not kept)."""
    dropout: ShareBelowOne = 0.0
    """Dropout rate before the last layer of a timm model; chest CNNs bring their own."""
    trainable: Trainable = "all"
    """All weights; the last stage of the features and the head; or the head alone (linear probe)."""
    output_stride: Literal[0, 8, 16, 32] = 0
    """Input pixels a side per place of the last feature map, for timm models that let one choose it (MobileNetV2,
    ResNet, EfficientNet; not DenseNet). 16 gives Grad-CAM maps of twice as many places a side as the usual 32. 0 leaves
    the network as it is."""


@dataclass(**STRICT)
class TrainingRecipe:
    """How it is optimised."""

    epochs: Count
    """Passes over the training split."""
    batch_size: Count
    """Images per forward pass and process."""
    optimizer: Literal["adamw", "adam", "adamax", "rmsprop", "sgd"]
    """"sgd" has Nesterov momentum of 0.9."""
    learning_rate: Annotated[float, Field(ge=1e-12)]
    """Peak learning rate."""
    schedule: Literal["cosine", "constant", "one-cycle", "plateau"]
    """"cosine" goes down to 0. "one-cycle" is Smith & Topin's (arXiv:1708.07120). "plateau" lowers the rate when the
    selection metric stops improving (see `ControlRecipe`)."""
    warmup_epochs: NotNegative = 0.0
    """Linear warm-up, in epochs ("one-cycle" brings its own)."""
    weight_decay: NotNegative = 0.0
    """Of weights with two or more dimensions (not of biases and norms)."""
    accumulation_steps: Count = 1
    """Batches whose gradients are averaged into one optimiser step."""
    clip_norm: NotNegative = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    label_smoothing: ShareBelowOne = 0.0
    """Share of the target that is spread over all classes."""
    ema_decay: Annotated[float, Field(ge=0, le=0.999999)] = 0.0
    """Decay per step of an exponential moving average of the weights. The average is then validated and kept; 0 is
    off."""
    class_balance: Literal["none", "weighted-loss", "balanced-sampling", "oversample", "origin"] = "none"
    """"weighted-loss" weights by inverse class frequency. "balanced-sampling" draws every class equally often, with
    replacement. "oversample" repeats images of smaller classes as augmented copies until the classes are equal, and
    shows the originals unchanged. "origin" shows the classes equally often within each origin, and origins by the
    square root of their size (`train.batches.sampler.origin_shares`); without origins it balances the classes."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """"auto" takes bf16 where the processor computes in it, else fp32 (on a GPU fp16)."""
    compile: bool = False
    """Compile the network with torch.compile."""
    tracker: Literal["tensorboard", "trackio", "wandb", "none"] = "tensorboard"
    """Where training curves are logged."""


@dataclass(**STRICT)
class ControlRecipe:
    """Which weights are kept, when training ends early, when its state is saved."""

    selection: Literal["auroc", "robust-auroc", "worst-origin-auroc", "accuracy", "loss"] = "auroc"
    """The validation metric that chooses the weights. "robust-auroc" is the mean of the AUROC on validation and on its
    corrupted copy (`train.data.corruption`). "worst-origin-auroc" is the lowest AUROC of an origin with at least 20
    images of each class in validation, or the AUROC where there is none. It is noisy: give it a `selection_tolerance`
    of 0.01 or more."""
    selection_tolerance: Share = 0.0
    """The latest weights whose metric lies within this of the best are kept. Smaller differences are noise on a few
    hundred images, and later weights were trained at a lower learning rate."""
    early_stopping_epochs: CountOrOff = 0
    """Stop after this many epochs without a better metric; 0 is off."""
    plateau_epochs: Count = 2
    """With schedule "plateau": epochs without a better metric before the learning rate is lowered."""
    plateau_factor: Annotated[float, Field(ge=0.001, le=0.999)] = 0.5
    """The learning rate is multiplied by this."""
    plateau_rollback: bool = False
    """Whether the best weights so far are then loaded again."""
    minimum_learning_rate: NotNegative = 0.0
    """The learning rate is never lowered below this."""
    ask_after_epochs: CountOrOff = 0
    """After this many epochs, ask on the terminal whether to continue; 0 never asks."""
    ask_default: Literal["continue", "stop"] = "continue"
    """The answer when there is no terminal."""
    checkpoint_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Save the state of training every so many steps, besides the end of each epoch; 0 is off."""


@dataclass(**STRICT)
class AugmentationRecipe:
    """Random changes to each training image; by default none.

    `swap_surroundings`, `blur_surroundings` and `fill_surroundings` need lung masks. They leave an image alone whose
    mask fills less than 5% or more than 60% of it.
    """

    swap_surroundings: Share = 0.0
    """Chance that an image's lungs are laid on the surroundings of another training image, of any class and origin
    (`train.data.compositing`). The label is that of the lungs. Only at 1 do surroundings never tell the label: a
    network can see whether lungs were pasted."""
    blur_surroundings: Share = 0.0
    """Chance that all but the lungs is blurred strongly."""
    fill_surroundings: Share = 0.0
    """Chance that all but the lungs is replaced by noise of a random level."""
    swap_frame: Share = 0.0
    """Chance that the outer frame is replaced by that of another training image, of any class and origin."""
    frame_blackout: Share = 0.0
    """Chance that the outer frame is replaced: by black in half of the images, else by noise of a random level."""
    frame_width: FrameRange = (0.02, 0.12)
    """Range of these frames' width on each side, as a share of the side; each side has its own."""
    tone_curve: Annotated[float, Field(ge=0, le=2)] = 0.0
    """How far a random rising curve from black to white bends the intensities: the standard deviation of the logarithm
    of the slopes of its eight parts."""
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Rotation, uniform in +- this."""
    shift: Share = 0.0
    """Shift along each axis as a share of its length, uniform in +- this."""
    zoom: FactorRange = (1.0, 1.0)
    """Range of the magnification, log-uniform (above 1 crops)."""
    stretch: FactorRange = (1.0, 1.0)
    """Range of the change in width / height, log-uniform."""
    flip_probability: Share = 0.0
    """Chance of a left-right flip."""
    gamma: FactorRange = (1.0, 1.0)
    """Range of the exponent on intensities in [0, 1], log-uniform."""
    contrast: Share = 0.0
    """Contrast around the image's mean, uniform in 1 +- this."""
    brightness: Share = 0.0
    """Added intensity, uniform in +- this, in units of the full range."""
    blur_sigma: Annotated[float, Field(ge=0, le=50)] = 0.0
    """Largest Gaussian blur in pixels, uniform from 0."""
    noise_std: Share = 0.0
    """Largest standard deviation of Gaussian noise, uniform from 0, in units of the full range."""
    erase_probability: Share = 0.0
    """Chance that one rectangle is replaced by noise of a random level."""
    erase_area: AreaRange = (0.02, 0.2)
    """Range of that rectangle's share of the image."""


@dataclass(**STRICT)
class EvaluationRecipe:
    """How scores become decisions."""

    positive_label: str = ""
    """The class that a binary task looks for ("" for tasks with more classes)."""
    operating_point: Annotated[str, AfterValidator(check_rule)] = "argmax"
    """"argmax", or a rule that chooses a threshold on validation: "youden" maximises sensitivity + specificity,
    "youden-worst" the lowest sensitivity or specificity of any origin; "sensitivity>=0.95" and "specificity>=0.9"
    reach so much on every origin, and as much of the other as is left (`train.evaluation.operating_point`)."""
    calibration: Literal["temperature", "temperature-and-bias", "none"] = "temperature"
    """"temperature-and-bias" also fits the frequency of the classes in validation (on chest-xray-pneumonia that raised
    the calibration error on test from 0.053 to 0.160)."""
    test: bool = True
    """Whether the finished run reads the test split. A study of many runs does that once, at its end."""
    known_of_test: str = ""
    """What was known of the test data when the recipe was written, in a sentence for the card."""


@dataclass(**STRICT)
class Recipe:
    """A whole recipe; see the sections."""

    name: str
    model: ModelRecipe
    training: TrainingRecipe
    control: ControlRecipe
    augmentation: AugmentationRecipe
    evaluation: EvaluationRecipe
    data: DataRecipe

    @property
    def needs_lungs(self) -> bool:
        """Whether training needs a lung mask for each image."""
        augmentation = self.augmentation
        return any((augmentation.swap_surroundings, augmentation.blur_surroundings, augmentation.fill_surroundings))

    def to_dict(self) -> dict[str, Any]:
        """The recipe as results.json records it: plain nested values, ranges as lists."""
        return json.loads(json.dumps(asdict(self)))

    def to_toml(self) -> str:
        """All sections with every key, as a recipe file has them."""
        return "\n".join(dump_section(name, asdict(getattr(self, name))) for name in SECTIONS)


SECTIONS = {field.name: field.type for field in fields(Recipe) if field.name != "name"}
KEYS = {name: [field.name for field in fields(kind)] for name, kind in SECTIONS.items()}
