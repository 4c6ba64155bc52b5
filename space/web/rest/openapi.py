"""The description of the API in OpenAPI 3.1, made from what the handlers themselves check."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass as checked

from space.web.details import NOTICE, Details
from space.web.rest.answers import Explanation, LabelScore
from space.web.rest.bodies import FORM, JSON, STRICT, JsonBody
from space.web.rest.problems import STATUS
from space.web.settings import Settings

RAW = "application/octet-stream"
REFERENCE = "#/components/schemas/{model}"
BINARY = {"type": "string", "format": "binary"}


@checked(frozen=True, config=STRICT)
class Error:
    """Why a request has no answer."""

    error: str
    """A sentence: what was given, what is allowed, what to do."""
    code: str
    """A word for programs, which stays the same."""


def describe(endpoints: Mapping[str, Any], models: list[str], settings: Settings) -> dict[str, Any]:
    """The description.

    Args:
        endpoints: {path: `space.web.rest.door.Endpoint`}.
        models: Names of the served models.
        settings: Limits.
    """
    _, schemas = TypeAdapter.json_schemas(
        [(kind, "serialization", TypeAdapter(kind)) for kind in (LabelScore, Details, Explanation, JsonBody, Error)],
        ref_template=REFERENCE,
    )
    answers = {
        "/api/classify": {JSON: {"schema": {"oneOf": [_list_of("LabelScore"), _reference("Details")]}}},
        "/api/explain": {"image/png": {"schema": BINARY}, JSON: {"schema": _reference("Explanation")}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chest X-ray classifier",
            "version": "1",
            "description": f"{NOTICE} Files: PNG, JPEG or DICOM, at most {settings.max_upload_mb} MB and "
            f"{settings.max_pixels:,} pixels.",
        },
        "paths": {
            path: {"post": _operation(path, endpoint, models, answers[path])} for path, endpoint in endpoints.items()
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(path: str, endpoint: Any, models: list[str], answers: dict[str, Any]) -> dict[str, Any]:
    properties = TypeAdapter(endpoint.query).json_schema()["properties"]
    properties["model"] |= {"enum": models, "default": models[0]}
    form = {"type": "object", "required": ["file"], "properties": {"file": BINARY}}
    bodies = {RAW: BINARY, FORM: form, JSON: _reference("JsonBody")}
    return {
        "operationId": path.rpartition("/")[2],
        "summary": endpoint.summary,
        "parameters": [_parameter(name, dict(schema)) for name, schema in properties.items()],
        "requestBody": {"required": True, "content": {kind: {"schema": schema} for kind, schema in bodies.items()}},
        "responses": {
            "200": {
                "description": "The answer. An image that the guard doubts has its code in the header x-guard.",
                "headers": {"x-guard": {"schema": {"type": "string"}}},
                "content": answers,
            },
            **{str(int(status)): _error(status) for status in dict.fromkeys(STATUS.values())},
        },
    }


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    description = schema.pop("description")
    schema.pop("title", None)
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _error(status: HTTPStatus) -> dict[str, Any]:
    codes = [str(code) for code, of_code in STATUS.items() if of_code == status]
    schema = {"allOf": [_reference("Error"), {"properties": {"code": {"enum": codes}}}]}
    return {"description": f"{status.phrase}: {', '.join(codes)}.", "content": {JSON: {"schema": schema}}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=name)}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _reference(name)}
