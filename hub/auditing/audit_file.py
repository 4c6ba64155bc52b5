"""What audit.json tells the next audit, and the card, that the images themselves do not: how the dataset was made."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from space.errors import UsageError
from space.results.checked_json import read_json

# Values are checked when a record is made. Whatever else audit.json holds is not taken over.
CHECKED = {"frozen": True, "kw_only": True, "config": ConfigDict(extra="ignore", allow_inf_nan=False)}


@dataclass(**CHECKED)
class Conversion:
    """How `hub.convert` made a dataset.

    Attributes:
        layout: Name of the layout; link, about, patient_rule are what it said then.
        labels: {class: its meaning}, in the order of the dataset's indices.
        renamed_labels: {class: new name, or None if it was dropped}.
        official_splits: Whether all splits are the publisher's.
        official_test: Whether the test split is.
        fractions: {"validation", "test": share of a new split}.
        seed: Seed of the new splits.
        size: Longest side that images were shrunk to, in pixels; None: they were not.
        leaks: {"exact copy", "near copy" or "patient": images that test holds too}.
        shared_keys: Loose patient keys that occur in test and in another split.
        leaks_kept: Whether the leaks are in the dataset.
        quarantined: {code of an error: images that were left out for it}.
        bad_masks: Masks that could not be read.
        masks: {mask column: images that have a mask file, readable or not}.
        boxes: Images with boxes around findings.
        outside_layout: Image files outside of the layout.
        not_frontal: Images that their DICOM tags call something else than frontal chest radiographs.
        not_images: Other files of the source that were not used.
        names_hidden: Whether running numbers stand for the names of files and patients.
        names_kept: Whether such names were kept, as asked for.
    """

    layout: str
    link: str = ""
    about: dict[str, str] = Field(default_factory=dict)
    patient_rule: str
    labels: dict[str, str]
    renamed_labels: dict[str, str | None]
    official_splits: bool
    official_test: bool
    fractions: dict[str, float]
    seed: int
    size: int | None
    leaks: dict[str, int]
    shared_keys: int = 0
    leaks_kept: bool
    quarantined: dict[str, int]
    bad_masks: int
    masks: dict[str, int]
    boxes: int = 0
    outside_layout: int = 0
    not_frontal: int = 0
    not_images: int = 0
    names_hidden: bool
    names_kept: bool = False


@dataclass(**CHECKED)
class MergedSource:
    """One of the datasets that `hub.merge` made one of.

    Attributes:
        dataset: Its folder name, or `owner/name`.
        origin, hospital: What the columns say.
        title, license, license_note, citation, link, population, problems: From its layout or card; title, citation and
            population may be those of the map.
        note: What the map adds.
        labels: {its class: common class, or None if it was dropped}.
        copies_of: Origins that it was compiled from.
        cut: Splits that were drawn for it, because it had none.
        dropped: {why: images}.
    """

    dataset: str
    origin: str
    hospital: str
    title: str
    license: str
    license_note: str = ""
    citation: str = ""
    link: str = ""
    population: str = ""
    problems: list[str] = Field(default_factory=list)
    note: str = ""
    labels: dict[str, str | None]
    copies_of: list[str]
    cut: list[str]
    dropped: dict[str, int]


@dataclass(**CHECKED)
class Merge:
    """How `hub.merge` made a dataset.

    Attributes:
        title: Of the whole.
        labels: {common class: its meaning}, in the order of the indices.
        license: The strictest of the sources'.
        sources: The sources, in the order that decides which copy stays.
        columns: {column that not every dataset has: its meaning}.
        masks: {mask column: images that have one}.
        fractions: {"validation", "test": share of a split that was cut}.
        seed: Seed of the cuts.
        moved: Validation images that went to train, where a copy or patient of theirs is.
        test_copies: Groups of copies that are in the tests of several sources.
        test_conflicts: Test images that have a copy with another label.
        shared_keys: Loose patient keys that occur in a source's test and elsewhere in it.
        names_kept: Whether a source kept names that may identify people.
        about: {"population", …: what the publishers say, origin by origin}, as `hub.layouts.base.Layout.about` has it.
    """

    title: str
    labels: dict[str, str]
    license: str
    sources: list[MergedSource]
    columns: dict[str, str]
    masks: dict[str, int]
    fractions: dict[str, float]
    seed: int
    moved: int
    test_copies: int
    test_conflicts: int
    shared_keys: int
    names_kept: bool
    about: dict[str, str]


@dataclass(**CHECKED)
class SharedImages:
    """What a dataset shares with another one (see `hub.auditing.report.compare`)."""

    exact: int
    near: int
    conflicts: int
    splits: dict[str, dict[str, int]] = Field(default_factory=dict)
    pairs: list[dict[str, Any]]


@dataclass(**CHECKED)
class EarlierAudit:
    """What an audit takes over from the one before.

    Attributes:
        conversion, merge: How the dataset was made; None where that is not known.
        dropped, kept_leaks: Images that the conversion dropped, or kept although test holds them too.
        against: {name of another dataset: what the two share}.
    """

    conversion: Annotated[Conversion | None, BeforeValidator(lambda facts: facts or None)] = None
    merge: Merge | None = None
    dropped: list[dict[str, str | None]] = Field(default_factory=list)
    kept_leaks: list[dict[str, str | None]] = Field(default_factory=list)
    against: dict[str, SharedImages] = Field(default_factory=dict)


def read_earlier_audit(folder: Path) -> EarlierAudit:
    """Read a dataset folder's own audit.json; an empty one if there is none.

    Raises:
        UsageError: It is damaged, or another program's.
    """
    path = folder / "audit.json"
    try:
        return read_json(path, EarlierAudit) if path.exists() else EarlierAudit()
    except UsageError as error:
        raise UsageError(f"{error} Delete it, or convert the dataset again.") from None
