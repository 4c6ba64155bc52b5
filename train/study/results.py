"""results.json of a study: its runs, and every level compared with the base."""

from dataclasses import asdict
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from space.results.checked_json import CHECKED, read_json, to_json
from space.results.evaluation_records import Estimate, HospitalMatrix, Metrics
from space.results.training_records import DatasetRecord, RecipeRecord
from train.common.atomic_output import write_text_whole


@dataclass(**CHECKED)
class SeedMean:
    """The mean over n seeds, with its 95% Student interval; a single seed has none."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(**CHECKED)
class Comparison:
    """One level of a factor against the base by one measure, paired by seed.

    Attributes:
        level: The level itself.
        base: The mean of its partners.
        difference: Level minus base.
        reading: "higher", "lower", `NO_DIFFERENCE`, or `NOT_JUDGED` with one seed.
    """

    level: SeedMean
    base: float
    difference: SeedMean
    reading: str


@dataclass(**CHECKED)
class LevelRow:
    """A level of a factor.

    Attributes:
        changes: What it changes, `key=value` each.
        measures: {measure: comparison}.
    """

    factor: str
    level: str
    changes: list[str]
    measures: dict[str, Comparison]


@dataclass(**CHECKED)
class RunRecord:
    """One run of a study.

    Attributes:
        setting: {factor: level}; factors that are not named stand at the base.
        left_out: The hospitals that it was trained without.
        epochs, kept_epoch, steps: How long it was trained, and which epoch was kept.
        values: {measure: value}: those on development data (`train.study.collect.measures_of`) and, where the test
            split was read, `TEST_MEASURES`.
        test: Metrics on the test split at argmax; None where there is none.
    """

    name: str
    setting: dict[str, str]
    seed: int
    left_out: list[str] = Field(default_factory=list)
    image_size: int
    epochs: int
    kept_epoch: int
    steps: int
    train_seconds: float
    values: dict[str, float]
    test: Metrics | None


@dataclass(**CHECKED)
class BaseRun(RunRecord):
    """The first run of the base, with what it was trained by."""

    recipe: RecipeRecord
    init: str


@dataclass(**CHECKED)
class StudyRecord:
    """What the study asked: see `train.study.study_file.Study`."""

    name: str
    question: str
    base: str
    mode: str
    metric: str
    seeds: list[int]
    base_changes: list[str]
    factors: dict[str, list[str]]
    leave_out: list[list[str]] = Field(default_factory=list)


@dataclass(**CHECKED)
class Machine:
    """What some of the runs were trained on."""

    precision: str
    environment: dict[str, str]


@dataclass(**CHECKED)
class StudyResults:
    """Everything in a study's results.json.

    Attributes:
        images: {split: number}.
        train_seconds: Of all runs together.
        patients: AUROC of the base run on test, whose interval is over patients; None without a test split.
        base: {measure: the base's mean}.
        rows: A level each, the best first.
        hospitals: None where no hospitals are left out.
    """

    study: StudyRecord
    command: str
    dataset: DatasetRecord
    images: dict[str, int]
    machines: list[Machine]
    train_seconds: float
    base_run: BaseRun
    patients: Estimate | None = None
    runs: list[RunRecord]
    base: dict[str, SeedMean]
    rows: list[LevelRow] = Field(default_factory=list)
    hospitals: HospitalMatrix | None = None


def read_study(path: Path) -> StudyResults:
    """Read a study's results.json.

    Raises:
        UsageError: There is none, or it is not one that this project wrote.
    """
    return read_json(path, StudyResults)


def write_study(path: Path, results: StudyResults) -> None:
    """Write a study's results.json, whole or not at all."""
    write_text_whole(path, to_json(asdict(results)))
