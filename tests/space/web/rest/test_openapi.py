"""The description and the page say what the handlers do, and the page loads nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import TypeAdapter

from space.web.details import Details
from space.web.rest import door as door_module
from space.web.rest.answers import Explanation, LabelScore
from space.web.rest.door import ENDPOINTS
from space.web.rest.openapi import Error
from space.web.rest.problems import STATUS
from tests.space.web.rest.asking import ask

DOCS = Path(door_module.__file__).with_name("docs.html").read_text()


@pytest.fixture(scope="module")
def description(door):
    return ask(door, "/api/openapi.json", method="GET").json()


def test_it_is_openapi_with_the_paths_and_parameters_of_the_handlers(description):
    assert description["openapi"].startswith("3.1.")
    OpenAPI.model_validate(description)
    assert set(description["paths"]) == set(ENDPOINTS)
    for path, endpoint in ENDPOINTS.items():
        operation = description["paths"][path]["post"]
        assert {entry["name"] for entry in operation["parameters"]} == set(endpoint.query.__dataclass_fields__)
        assert all(entry["description"] and entry["in"] == "query" for entry in operation["parameters"])
        assert set(operation["responses"]) == {"200"} | {str(int(status)) for status in STATUS.values()}
    references = set(re.findall(r"#/components/schemas/(\w+)", str(description)))
    assert references <= set(description["components"]["schemas"])


def test_every_value_that_is_described_is_accepted_and_no_other(door, description, phantom):
    content = phantom.read_bytes()
    for path in ENDPOINTS:
        for parameter in description["paths"][path]["post"]["parameters"]:
            name, schema = parameter["name"], parameter["schema"]
            values = [*schema.get("enum", []), schema.get("default"), schema.get("minimum"), schema.get("maximum")]
            for value in {str(value) for value in values if value is not None}:
                assert ask(door, f"{path}?{name}={value}", content).status == 200, (path, name, value)
            assert ask(door, f"{path}?{name}=%00", content).status in (400, 404), (path, name)


def test_answers_are_as_they_are_described(door, phantom):
    content = phantom.read_bytes()
    for path, kind in (
        ("/api/classify", list[LabelScore]),
        ("/api/classify?details=1", Details),
        ("/api/explain?format=json", Explanation),
        ("/api/nothing", Error),
    ):
        TypeAdapter(kind).validate_python(ask(door, path, content).json())


def test_every_code_is_described_with_its_status(description):
    responses = description["paths"]["/api/classify"]["post"]["responses"]
    for code, status in STATUS.items():
        assert str(code) in responses[str(int(status))]["description"]


class Loads(HTMLParser):
    """Every address that a page names, and its tags."""

    def __init__(self):
        super().__init__()
        self.addresses, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data", "srcset")]


def test_the_page_loads_nothing_and_its_policy_would_not_let_it(door):
    response = ask(door, "/api/docs", method="GET")
    page = Loads()
    page.feed(response.content.decode())
    assert page.addresses == ["openapi.json"]
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert "@import" not in DOCS
    assert "url(" not in DOCS
    assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")


def test_the_page_has_every_path_parameter_and_code():
    for path, endpoint in ENDPOINTS.items():
        assert f"<code>{path}</code>" in DOCS
        for name in endpoint.query.__dataclass_fields__:
            assert f"<code>{name}</code>" in DOCS, name
    rows = dict(re.findall(r"<tr><td>(\d+)</td><td>(.*?)</td></tr>", DOCS))
    assert set(rows) == {str(int(status)) for status in STATUS.values()}
    for code, status in STATUS.items():
        assert f"<code>{code}</code>" in rows[str(int(status))], code
