"""What a program is told of an image: the same by REST, by gradio's endpoints and by MCP."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from space.errors import XrayError
from space.web.service import ExaminedImage, ModelService
from space.web.texts import ALL

ENGLISH = ALL["en"]
NOTICE = "Research software, not a medical device. Do not use it to diagnose, treat or triage anyone."
NO_GUARD = "This model cannot check whether an image is a chest X-ray."
MEANINGLESS = "This answer means nothing. "  # before the guard's reason
CODE = Path(__file__).resolve().parents[1]
# Field descriptions are read from the strings below the fields; the API's description shows them.
DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, config=DESCRIBED)
class Reason:
    """Why an image has no answer, or one that means little."""

    code: str
    """A word for programs."""
    sentence: str
    """The same for people, in English."""


@dataclass(frozen=True, config=DESCRIBED)
class Details:
    """All that is known of one image's answer."""

    label: str
    """The most probable label."""
    probabilities: dict[str, float]
    """The probability of every label, in [0, 1]; they sum to 1."""
    decision: str
    """The label by the model's operating point; without one, the most probable label."""
    rule: str
    """How the threshold was chosen on validation; "argmax" where the model has no operating point."""
    positive_label: str | None
    """The label that is decided on from the threshold; null without an operating point."""
    threshold: float | None
    """Its least probability that is called; null without an operating point."""
    guard: Reason | None
    """Why the answer means nothing: the image does not look like a frontal chest X-ray; null where nothing is wrong."""
    warnings: list[str]
    """What else to know before the answer is used."""
    model: str
    """The model's name."""
    commit: str | None
    """The model repository's commit on the Hub; null for a folder."""
    graph_sha256: str
    """SHA-256 of the ONNX file that computed."""
    size: tuple[int, int]
    """Width and height in pixels of the image as it was read."""
    steps: list[str]
    """What was done to the stored pixels before."""
    software: dict[str, str]
    """Versions of what computed; "code" is a digest of this project's own modules."""
    notice: str
    """What this answer must not be used for."""


@dataclass(frozen=True, config=DESCRIBED)
class BatchRow:
    """One image of a batch: its answer, or why there is none."""

    file: str
    """The file's name."""
    answer: Details | None
    """Null if there is none."""
    error: Reason | None
    """Why there is none, or null."""


def details_of(service: ModelService, examined: ExaminedImage) -> Details:
    """What is told of an image that has an answer, whether or not the guard would withhold it."""
    point, scores = service.classifier.operating_point, examined.scores
    return Details(
        label=max(scores, key=scores.get),
        probabilities=scores,
        decision=service.decided(scores),
        rule=point.rule if point else "argmax",
        positive_label=point.positive_label if point else None,
        threshold=point.threshold if point else None,
        guard=guard_of(examined),
        warnings=[] if service.classifier.guard else [NO_GUARD],
        model=service.name,
        commit=service.facts.model.revision,
        graph_sha256=service.classifier.graph.sha256,
        size=examined.size,
        steps=list(examined.steps),
        software=software(),
        notice=NOTICE,
    )


def guard_of(examined: ExaminedImage) -> Reason | None:
    """The guard's reason to doubt an image, if it has one."""
    return Reason(examined.doubt.value, MEANINGLESS + examined.reason(ENGLISH)) if examined.doubt else None


def row_of(service: ModelService, name: str, result: ExaminedImage | XrayError) -> BatchRow:
    """What is told of one image of a batch."""
    if isinstance(result, XrayError):
        return BatchRow(name, None, Reason(result.code.value, str(result)))
    if result.is_withheld:
        return BatchRow(name, None, Reason(result.doubt.value, result.reason(ENGLISH)))
    return BatchRow(name, details_of(service, result), None)


def to_json(record: Details | BatchRow | Reason) -> dict[str, Any]:
    """A record as JSON's own types."""
    return TypeAdapter(type(record)).dump_python(record, mode="json")


@cache
def software() -> dict[str, str]:
    """What decides the numbers of an answer: a digest of the modules in `space/`, and the libraries' versions."""
    digest = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        digest.update(path.relative_to(CODE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {"code": digest.hexdigest()[:16]} | {name: version(name) for name in ("openvino", "Pillow", "pydicom")}
