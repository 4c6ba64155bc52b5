"""Checked dataclasses from JSON, and numbers as JSON."""

import json
import math

import pytest
from pydantic.dataclasses import dataclass

from space.errors import UsageError
from space.results.checked_json import CHECKED, read_json, to_json


@dataclass(**CHECKED)
class Measured:
    value: float
    images: int


def test_a_record_is_read_with_every_digit(tmp_path):
    (tmp_path / "a.json").write_text(to_json({"value": 0.1 + 0.2, "images": 3}))
    assert read_json(tmp_path / "a.json", Measured) == Measured(value=0.1 + 0.2, images=3)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "Input should be an object"),
        ("{}", r"value: Field required \(and 1 more\)"),
        ('{"value": NaN, "images": 3}', "value: Input should be a finite number"),
        ('{"value": 1, "images": 3, "patients": 2}', "patients: Unexpected keyword argument"),
        (b"\xff\xfe", "Invalid JSON"),
    ],
)
def test_another_file_is_refused_in_one_sentence(tmp_path, content, problem):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=rf"a.json is damaged or was not written by this project: {problem}[^\n]*\.$"):
        read_json(path, Measured)


def test_a_folder_without_the_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere has no a\.json\. Give the folder of a finished run\."):
        read_json(tmp_path / "nowhere" / "a.json", Measured)


def test_what_is_not_finite_is_never_written():
    with pytest.raises(ValueError, match="finite"):
        Measured(value=math.nan, images=3)
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"value": math.inf})
    assert json.loads(to_json({"value": 1e-17})) == {"value": 1e-17}
