"""results.json of a run folder: what was trained, on what, and every number that was measured.

The one reader and the one writer. Space, training and publishing share it, so it lies where all of them may import it.
Results that earlier versions wrote open too: what they lack has a default.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from space.errors import UsageError
from space.inference.operating_point import OperatingPoint

Record = TypeVar("Record")
# How results are declared: values are checked when one is made, unknown names and numbers that are not finite refused.
CHECKED = {"frozen": True, "kw_only": True, "config": ConfigDict(extra="forbid", allow_inf_nan=False)}


@dataclass(**CHECKED)
class Estimate:
    """A value with its 95% bootstrap interval.

    Attributes:
        value, low, high: The value on all images, and the interval's limits.
        n: How many units were resampled.
        unit: What a unit is, in words, such as "patient".
    """

    value: float
    low: float
    high: float
    n: int
    unit: str


Metrics = dict[str, Estimate]  # by the names of `train.evaluation.metrics`
ByRule = dict[str, Metrics]  # {"argmax", and "operating_point" where there is one}


@dataclass(**CHECKED)
class RecipeRecord:
    """The recipe that was run: the sections of `train.config.recipe.Recipe`, with the keys that they had then."""

    name: str
    model: dict[str, Any]
    training: dict[str, Any]
    control: dict[str, Any]
    augmentation: dict[str, Any]
    evaluation: dict[str, Any]


@dataclass(**CHECKED)
class AuditSummary:
    """What the dataset's audit counted.

    Attributes:
        exact_duplicates, near_duplicates: Groups of copies.
        label_conflicts: Groups of copies under several labels.
        dropped: Images left out of training because test has them too.
        patients_across_splits: {"train/test", …: patients in both}.
        known_patients, unknown_patients: Patients who are known, and images of unknown patients.
        shared_keys: Patients in test and another split by a looser reading of the names.
        names_kept: Whether the dataset keeps file names and patients as they were.
        link: Where the images come from.
        about: What the publisher says of them: "population", "acquisition", "exclusion", "reference".
        warnings: Sentences.
    """

    exact_duplicates: int
    near_duplicates: int
    label_conflicts: int
    dropped: int
    patients_across_splits: dict[str, int]
    known_patients: int = 0
    unknown_patients: int
    shared_keys: int = 0
    names_kept: bool = False
    link: str = ""
    about: dict[str, str] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


@dataclass(**CHECKED)
class DatasetRecord:
    """A dataset, never with a local path.

    Attributes:
        name: Folder name, or `owner/name` on the Hub.
        fingerprint: Hash of its content.
        title, license, citation: From its card; "" where it does not say.
        audit: None if it has none.
        counts: {split: {label: images}}.
        test_image_size: The size that most test images are stored in, in words; None where test was not read.
    """

    name: str
    fingerprint: str
    title: str
    license: str
    citation: str
    audit: AuditSummary | None = None
    counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    test_image_size: str | None = Field(
        default=None, validation_alias=AliasChoices("test_image_size", "test_picture_size")
    )


@dataclass(**CHECKED)
class EpochRecord:
    """An epoch of training; losses in nats, time in seconds.

    Attributes:
        corrupted_auroc, robust_auroc: None where no corrupted copy of validation was tried.
    """

    epoch: int
    step: int
    train_loss: float
    learning_rate: float
    validation_loss: float
    validation_accuracy: float | None = None
    validation_auroc: float
    corrupted_auroc: float | None = None
    robust_auroc: float | None = None
    seconds: float


@dataclass(**CHECKED)
class Selection(EpochRecord):
    """The epoch whose weights were kept.

    Attributes:
        metric: What chose it: the name of one of its values.
        stopped: Why training ended early; "" if it did not.
    """

    metric: str
    stopped: str


@dataclass(**CHECKED)
class TrainingRecord:
    """How the model was made.

    Attributes:
        recipe_sha256: Of recipe.toml.
        labels: In the order of the logits.
        remote_code: Whether the model brings its own code, `modeling_chest_cnn.py`.
        command: The command that made the run.
        init, base_model: The starting weights, and the Hub's name of the model that they are of, if it has one.
        max_steps: The limit that was asked for.
        precision: Of training: "fp32", "bf16" or "fp16".
        images: {split: number}.
        environment: The device and the versions of the packages in training.
        evaluated_in: The same where the finished model was evaluated anew.
    """

    recipe: RecipeRecord
    recipe_sha256: str = ""
    labels: list[str]
    remote_code: bool = False
    command: str
    seed: int
    init: str
    base_model: str | None = None
    max_steps: int | None = None
    processes: int
    precision: str
    dataset: DatasetRecord
    images: dict[str, int]
    train_seconds: float
    selection: Selection
    history: list[EpochRecord]
    environment: dict[str, str]
    evaluated_in: dict[str, str] | None = None


@dataclass(**CHECKED)
class Subgroup:
    """Accuracy and AUROC of the images that have one value in one column of the dataset.

    Attributes:
        images, units: How many there are.
        labels: {label: images}.
        against: Classes that the subgroup lacks; its AUROC is that against all images of these.
    """

    images: int
    units: int
    labels: dict[str, int]
    against: list[str] = Field(default_factory=list)
    argmax: Metrics
    operating_point: Metrics | None = None


@dataclass(**CHECKED)
class CalibrationMeasures:
    """How well probabilities fit outcomes: NLL in nats, Brier score, expected calibration error."""

    nll: float
    brier: float
    ece: float


@dataclass(**CHECKED)
class SplitCalibration:
    """Calibration on the images of one split.

    Attributes:
        before, after: Of the network's own probabilities, and of the finished model's.
        prevalence, mean_probability: {label: share in [0, 1]}.
        bins: [n, k] of bins of equal width: n images had such a probability, of k it was true.
    """

    before: CalibrationMeasures
    after: CalibrationMeasures
    prevalence: dict[str, float]
    mean_probability: dict[str, float] = Field(default_factory=dict)
    bins: list[tuple[int, int]] = Field(default_factory=list)


@dataclass(**CHECKED)
class CalibrationRecord:
    """What was folded into the last layer.

    Attributes:
        temperature: 1 where none was fitted.
        biases: {label: bias}.
        fitted_on: The split.
        not_fitted: Why no temperature was fitted though the recipe asks for one, in a sentence; "" if it was.
        splits: {split: calibration there}.
    """

    temperature: float
    biases: dict[str, float] = Field(default_factory=dict)
    fitted_on: str
    not_fitted: str = ""
    splits: dict[str, SplitCalibration]


@dataclass(**CHECKED)
class Shift:
    """A metric whose intervals on validation and on test do not overlap; `worse`: test is the worse of the two."""

    rule: str
    metric: str
    validation: float
    test: float
    worse: bool


@dataclass(**CHECKED)
class Evaluation:
    """What the answers to some splits are worth.

    Attributes:
        splits: {split: {rule: {metric: estimate}}}.
        classes: {split: {rule: {label: {metric: estimate}}}}, each class against the rest.
        confusion: {split: {rule: K x K counts}}, a row per true class.
        subgroups: {split: {column: {value: subgroup}}}.
        shift: Where validation and test differ.
    """

    splits: dict[str, ByRule]
    classes: dict[str, dict[str, dict[str, Metrics]]] = Field(default_factory=dict)
    confusion: dict[str, dict[str, list[list[int]]]] = Field(default_factory=dict)
    subgroups: dict[str, dict[str, dict[str, Subgroup]]] = Field(default_factory=dict)
    calibration: CalibrationRecord
    shift: list[Shift] = Field(default_factory=list)


@dataclass(**CHECKED)
class ExternalTest:
    """The model on another dataset.

    Attributes:
        labels: {its class: the model's class, or None where its images are left out}.
        rules, classes, confusion, calibration: As `Evaluation` has them for one split.
        drop: {rule: {metric: the value on the model's own test split minus the value here}}.
    """

    dataset: DatasetRecord
    labels: dict[str, str | None]
    images: int
    rules: ByRule
    classes: dict[str, dict[str, Metrics]] = Field(default_factory=dict)
    confusion: dict[str, list[list[int]]] = Field(default_factory=dict)
    calibration: SplitCalibration
    drop: dict[str, dict[str, float]]


@dataclass(**CHECKED)
class LungEnergy:
    """How much of the energy of class activation maps lies in the lungs.

    Attributes:
        images, empty: Test images with a mask whose map is not empty, and those whose map is.
        labels: {label: images with a mask}.
        inside: Share of the energy that lies in the lungs; this and the others are None where every map is empty.
        area: Share of the image that is lung.
        shuffled: Share of other patients' maps in the same lungs.
        gain: `inside` - `shuffled`, paired.
    """

    images: int
    empty: int
    labels: dict[str, int] = Field(default_factory=dict)
    inside: Estimate | None = None
    area: Estimate | None = None
    shuffled: Estimate | None = None
    gain: Estimate | None = None


@dataclass(**CHECKED)
class RandomisedStage:
    """Rank correlation of maps before and after the network's weights down to a stage were replaced by random ones."""

    stage: str
    correlation: Estimate


@dataclass(**CHECKED)
class Saliency:
    """The checks of class activation maps; `lung_energy` is None where the test images have no lung masks."""

    lung_energy: LungEnergy | None
    randomisation: list[RandomisedStage]


@dataclass(**CHECKED)
class ShortcutControl:
    """Accuracy and AUROC at argmax on images with a part removed, and on the same images as they are."""

    images: int
    changed: Metrics
    unchanged: Metrics


@dataclass(**CHECKED)
class GuardRecord:
    """The guard's threshold, and the share of each split's images that it lets pass."""

    threshold: float
    accepted: dict[str, float]


@dataclass(**CHECKED)
class Results(Evaluation, TrainingRecord):
    """Everything in results.json.

    Attributes:
        evaluated: When, as ISO 8601.
        resamples: Of the bootstrap.
        operating_point: None where argmax decides.
        external: {dataset's name: the model there}.
        saliency, shortcuts: None where there is no test split.
        guard: None before there was one.
        figures: Names of the images in `figures/`.
        samples: Whether images of single patients may be published with the run.
    """

    evaluated: str
    resamples: int
    operating_point: OperatingPoint | None
    external: dict[str, ExternalTest] = Field(default_factory=dict)
    saliency: Saliency | None = None
    shortcuts: dict[str, ShortcutControl] | None = None
    guard: GuardRecord | None = None
    figures: list[str] = Field(default_factory=list)
    samples: bool = False

    def __post_init__(self):
        if self.positive_label and self.positive_label not in self.labels:
            raise ValueError(f"positive_label {self.positive_label!r} is none of labels")
        tables = [table for rules in self.confusion.values() for table in rules.values()]
        if any(len(row) != len(self.labels) for table in tables for row in (table, *table)):
            raise ValueError("confusion must have a row and a column for each label")
        if any(split.prevalence.keys() != set(self.labels) for split in self.calibration.splits.values()):
            raise ValueError("prevalence must have a share for each label")

    @property
    def positive_label(self) -> str | None:
        """The positive class of a binary model."""
        return self.recipe.evaluation.get("positive_label") or None


def read_results(path: Path) -> Results:
    """Read the results.json of a run.

    Raises:
        UsageError: There is none, or it is not one that this project wrote.
    """
    return read_json(path, Results)


def read_json(path: Path, kind: type[Record]) -> Record:
    """Read a JSON file as a dataclass of this kind.

    Raises:
        UsageError: There is none, or it is not one that this project wrote.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path.parent} has no {path.name}. Give the folder of a finished run.") from None
    except ValidationError as error:
        raise UsageError(f"{path} is damaged or was not written by this project: {_first_problem(error)}.") from None


def _first_problem(error: ValidationError) -> str:
    """Where the first problem is and what it is, and how many more there are."""
    problems = error.errors(include_url=False)
    place = ".".join(map(str, problems[0]["loc"]))
    text = (f"{place}: " if place else "") + problems[0]["msg"].rstrip(".")
    return text + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def to_json(values: Mapping[str, Any]) -> str:
    """Plain values as readable JSON: floats keep all their digits.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def write_results(path: Path, results: Results) -> None:
    """Write the results.json of a run, which `read_results` reads as the same values."""
    path.write_text(to_json(asdict(results)), encoding="utf-8")
