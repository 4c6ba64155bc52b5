"""How a model was made: recipe, dataset, epochs, environment."""

from typing import Any

from pydantic import AliasChoices, Field
from pydantic.dataclasses import dataclass

from space.results.checked_json import CHECKED


@dataclass(**CHECKED)
class RecipeRecord:
    """The recipe that was run: the sections of `train.config.recipe.Recipe`, with the keys that they had then."""

    name: str
    model: dict[str, Any]
    training: dict[str, Any]
    control: dict[str, Any]
    augmentation: dict[str, Any]
    evaluation: dict[str, Any]
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """The hospitals or origins that were taken out of train and validation."""
        return list(self.data.get("leave_out", []))


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
        origin_auroc: {origin: AUROC on its validation images}, of origins that are large enough to be judged.
        worst_origin_auroc: The lowest of these; the AUROC of the whole split where there are none.
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
    origin_auroc: dict[str, float] = Field(default_factory=dict)
    worst_origin_auroc: float | None = None
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
        init_sha256: Of starting weights that were a local file or run folder; "" for others.
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
    init_sha256: str = ""
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
