"""results.json of a lung segmenter's folder."""

from dataclasses import asdict
from pathlib import Path

from pydantic.dataclasses import dataclass

from space.results.checked_json import CHECKED, read_json, to_json
from space.results.evaluation_records import Estimate


@dataclass(**CHECKED)
class MaskSource:
    """A dataset that masks came from, never with a local path.

    Attributes:
        name: Folder name, or `owner/name` on the Hub.
        title, license, citation: From its card; "" where it does not say.
        masks: {split: images with a mask that were used}.
        dropped: Images with a mask that were left out, because a later split has a copy of them or their patient.
    """

    name: str
    title: str
    license: str
    citation: str
    masks: dict[str, int]
    dropped: int


@dataclass(**CHECKED)
class DiceScores:
    """Dice coefficients of the images of one split, each in [0, 1].

    Attributes:
        images: How many there are.
        mean: Over all of them.
        labels: {class: mean over its images}.
        lowest_twentieth: The 5th percentile.
    """

    images: int
    mean: Estimate
    labels: dict[str, Estimate]
    lowest_twentieth: float


@dataclass(**CHECKED)
class SegmenterResults:
    """How a lung segmenter was made and what it is worth.

    Attributes:
        command: The command that made it.
        masks_by: Who drew the masks, and their licence; "" where nothing was said.
        seed, epochs: Of training.
        epoch: The one whose weights were kept: the best on validation.
        weights: How many numbers the network has learned.
        train_seconds: Time that training took.
        environment: The device and the versions of the packages.
        sources: The datasets.
        validation: Dice on the validation masks of all of them.
        tests: {dataset's name: Dice on its test masks}.
    """

    command: str
    masks_by: str
    seed: int
    epochs: int
    epoch: int
    weights: int
    train_seconds: float
    environment: dict[str, str]
    sources: list[MaskSource]
    validation: DiceScores
    tests: dict[str, DiceScores]


def read_segmenter_results(path: Path) -> SegmenterResults:
    """Read such a file.

    Raises:
        UsageError: There is none, or it is not one that this project wrote.
    """
    return read_json(path, SegmenterResults)


def write_segmenter_results(path: Path, results: SegmenterResults) -> None:
    """Write such a file."""
    path.write_text(to_json(asdict(results)), encoding="utf-8")
