"""What `/api/classify` and `/api/explain` answer, and what their addresses may ask for."""

import io
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from space.errors import XrayError
from space.inference.heatmap import PALETTES
from space.web.details import ENGLISH, Details, Reason, details_of, guard_of, to_json
from space.web.rest.bodies import STRICT, Parameters, Upload
from space.web.rest.problems import Problem, RequestCode
from space.web.service import ExaminedImage, ModelService

Switch = Literal["0", "1"]
LARGEST_SIZE = 4096  # pixels of an overlay's longer side


@checked(frozen=True, config=STRICT)
class ClassifyQuery:
    """What the address of `/api/classify` may ask for."""

    details: Switch = "0"
    """1: answer with one object that also has the decision, the guard's doubt, the model and the software."""
    anyway: Switch = "0"
    """1: answer even if the image does not look like a frontal chest X-ray; the answer then says so."""
    model: str | None = None
    """Name of the model, where several are served; by default the first."""


@checked(frozen=True, config=STRICT)
class ExplainQuery:
    """What the address of `/api/explain` may ask for."""

    label: str | None = None
    """The class to explain; by default the positive one, or else the most probable."""
    size: int = Field(default=1024, ge=16, le=LARGEST_SIZE)
    """Longer side of the PNG file in pixels, at most that of the X-ray."""
    opacity: float = Field(default=0.6, ge=0, le=1, allow_inf_nan=False)
    """Of the map where it is strongest."""
    colours: Literal[tuple(PALETTES)] = "inferno"
    """Colour map; all of them are safe for colour-blind readers."""
    format: Literal["png", "json"] = "png"
    """png: the map over the X-ray; json: the map's numbers, and what `details=1` answers."""
    anyway: Switch = "0"
    """1: answer even if the image does not look like a frontal chest X-ray; the answer then says so."""
    model: str | None = None
    """Name of the model, where several are served; by default the first."""


@checked(frozen=True, config=STRICT)
class LabelScore:
    """One label and its score."""

    label: str
    """One of the model's labels."""
    score: float
    """Its probability, in [0, 1], unless another `function_to_apply` was asked for."""
    guard: Reason | None = None
    """Why the answer means nothing; missing where nothing is wrong."""


@checked(frozen=True, config=STRICT)
class Explanation:
    """A class activation map in numbers."""

    label: str
    """The class."""
    map: list[list[float]]
    """Exact Grad-CAM, row by row from the top left, >= 0; it covers the whole image, more coarsely than its pixels."""
    details: Details
    """What `/api/classify?details=1` answers."""


@dataclass(frozen=True)
class Answer:
    """A response.

    Attributes:
        content: Its body.
        media_type: Of the body.
        headers: Besides those that all answers have.
        status: HTTP status.
    """

    content: bytes
    media_type: str = "application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: HTTPStatus = HTTPStatus.OK


def as_json(content: object, **options) -> Answer:
    """An answer in JSON; options are those of `Answer`."""
    return Answer(json.dumps(content, allow_nan=False).encode(), **options)


def classify(service: ModelService, upload: Upload, query: ClassifyQuery) -> Answer:
    """Scores of one image, the highest first, or its details.

    Raises:
        Problem: There is no answer.
    """
    examined = _examine(service, upload, query.anyway)
    if query.details == "1":
        if upload.parameters not in (None, Parameters()):
            raise Problem(RequestCode.BAD_PARAMETER, "details=1 goes with neither top_k nor function_to_apply.")
        return as_json(to_json(details_of(service, examined)), headers=_doubt_headers(examined))
    parameters = upload.parameters or Parameters()
    scores = _scores(examined, parameters.function_to_apply)
    ranked = sorted(scores.items(), key=lambda item: -item[1])[: parameters.top_k]
    guard = {"guard": to_json(guard_of(examined))} if examined.doubt else {}
    content = [{"label": label, "score": score} | guard for label, score in ranked]
    return as_json(content, headers=_doubt_headers(examined))


def explain(service: ModelService, upload: Upload, query: ExplainQuery) -> Answer:
    """The map of one class, as a PNG file or in numbers.

    Raises:
        Problem: There is no answer.
    """
    if upload.parameters not in (None, Parameters()):
        raise Problem(RequestCode.BAD_PARAMETER, "/api/explain takes neither top_k nor function_to_apply.")
    labels, point = service.classifier.labels, service.classifier.operating_point
    if query.label is not None and query.label not in labels:
        sentence = f"{service.name} has no class {query.label[:60]!r}. Its classes are {', '.join(labels)}."
        raise Problem(RequestCode.BAD_PARAMETER, sentence)
    examined = _examine(service, upload, query.anyway)
    likely = max(examined.scores, key=examined.scores.get)
    label = query.label or (point.positive_label if point else likely)
    if query.format == "json":
        rows = examined.maps[labels.index(label)].tolist()
        details = to_json(details_of(service, examined))
        return as_json({"label": label, "map": rows, "details": details}, headers=_doubt_headers(examined))
    image, _ = service.overlay(service.shrunk(examined, query.size), label, query.opacity, query.colours)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # three times as fast as the default, and a tenth larger
    return Answer(file.getvalue(), "image/png", _doubt_headers(examined))


def _examine(service: ModelService, upload: Upload, anyway: Switch) -> ExaminedImage:
    try:
        examined = service.examine(upload.content)
    except XrayError as error:
        raise Problem(error.code, str(error)) from None
    if examined.is_withheld and anyway == "0":
        sentence = f"{examined.reason(ENGLISH)} Add anyway=1 to the address to see the model's answer all the same."
        raise Problem(examined.doubt, sentence)
    return examined


def _scores(examined: ExaminedImage, function: str | None) -> dict[str, float]:
    """{label: score} as transformers' `pipeline("image-classification", function_to_apply=...)` computes them."""
    if function == "none":
        return examined.logits
    if function == "sigmoid":
        return {label: float(1 / (1 + np.exp(-logit))) for label, logit in examined.logits.items()}
    return examined.scores


def _doubt_headers(examined: ExaminedImage) -> list[tuple[bytes, bytes]]:
    """A PNG file has no other place for the warning."""
    return [(b"x-guard", examined.doubt.value.encode())] if examined.doubt else []
