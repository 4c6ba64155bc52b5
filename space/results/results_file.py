"""results.json of a run folder, with its one reader and its one writer.

Results that earlier versions wrote open too: what they lack has a default.
"""

from dataclasses import asdict
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from space.inference.operating_point import OperatingPoint
from space.results.checked_json import CHECKED, read_json, to_json
from space.results.evaluation_records import (
    Evaluation,
    ExternalTest,
    GuardRecord,
    HospitalMatrix,
    Saliency,
    ShortcutControl,
    SwapTest,
)
from space.results.training_records import TrainingRecord


@dataclass(**CHECKED)
class Results(Evaluation, TrainingRecord):
    """Everything in results.json.

    Attributes:
        evaluated: When, as ISO 8601.
        resamples: Of the bootstrap.
        operating_point: None where argmax decides.
        external: {dataset's name: the model there}.
        saliency, shortcuts: On test, or on validation where test was not read; earlier versions then have None.
        swaps: {split: the swap test there}; earlier versions had none.
        guard: None before there was one.
        hospitals: What a study of this recipe found in hospitals that training left out, if it was put here.
        figures: Names of the images in `figures/`.
        samples: Whether images of single patients may be published with the run.
    """

    evaluated: str
    resamples: int
    operating_point: OperatingPoint | None
    external: dict[str, ExternalTest] = Field(default_factory=dict)
    saliency: Saliency | None = None
    shortcuts: dict[str, ShortcutControl] | None = None
    swaps: dict[str, SwapTest] = Field(default_factory=dict)
    guard: GuardRecord | None = None
    hospitals: HospitalMatrix | None = None
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


def write_results(path: Path, results: Results) -> None:
    """Write the results.json of a run, which `read_results` reads as the same values."""
    path.write_text(to_json(asdict(results)), encoding="utf-8")
