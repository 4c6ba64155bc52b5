import math
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from space.errors import UsageError
from train.common.arguments import read_toml
from train.config.strict_toml import (
    STRICT,
    check_keys,
    check_order,
    check_pair,
    dump_section,
    parse_section,
    parse_value,
)

Half = Annotated[float, Field(ge=0, le=0.5)]


@dataclass(**STRICT)
class Table:
    count: Annotated[int, Field(ge=1)]
    share: Half = 0.0
    ends: Annotated[tuple[Half, Half], BeforeValidator(check_pair), AfterValidator(check_order)] = (0.0, 0.5)
    kind: Literal["slow", "fast"] = "slow"
    on: bool = False


def test_a_table_becomes_a_dataclass_whose_numbers_have_the_declared_type():
    table = parse_section("here", Table, {"count": 2, "share": 0, "ends": [0, 0.25]})
    assert table == Table(count=2, share=0.0, ends=(0.0, 0.25))
    assert repr(table.share) == repr(table.ends[0]) == "0.0"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"count": 0}, r"^here count = 0\. It must be greater than or equal to 1\.$"),
        ({"count": "2"}, r"count = '2'\. It must be a valid integer\.$"),
        ({"count": True}, r"count = True\. It must be a valid integer"),
        ({"count": 2.0}, r"count = 2.0\. It must be a valid integer"),
        ({"count": 1, "share": 1}, r"share = 1\. It must be less than or equal to 0\.5"),
        ({"count": 1, "share": math.nan}, r"share = nan\. It must be a finite number"),
        ({"count": 1, "share": True}, r"share = True\. It must be a valid number"),
        ({"count": 1, "ends": 0.1}, r"ends = 0\.1\. It must be a list of two numbers"),
        ({"count": 1, "ends": [0.1]}, r"ends = \[0\.1\]\. It must be a list of two numbers"),
        ({"count": 1, "ends": [0.2, 0.1]}, r"ends = \[0\.2, 0\.1\]\. It must be a range with the smaller end first"),
        ({"count": 1, "ends": [0.1, 0.9]}, r"ends = \[0\.1, 0\.9\]\. Each must be less than or equal to 0\.5"),
        ({"count": 1, "kind": "Fast"}, r"kind = 'Fast'; did you mean fast\? It must be 'slow' or 'fast'\.$"),
        ({"count": 1, "kind": "zzz"}, r"kind = 'zzz'\. It must be 'slow' or 'fast'\.$"),
        ({"count": 1, "on": 1}, r"on = 1\. It must be a valid boolean"),
        ({}, r"here: missing count\. Required: count\.$"),
        ({"cuont": 1}, r"here: unknown key cuont; did you mean count\?$"),
        ({"count": 1, "zzz": 1}, r"here: unknown key zzz\. Allowed: count, share, ends, kind, on\.$"),
        ([], r"here must be a table with the keys: count, share, ends, kind, on\.$"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_given_and_what_is_allowed(table, message):
    with pytest.raises(UsageError, match=message):
        parse_section("here", Table, table)


def test_keys_are_checked_before_values():
    check_keys("here", {"a": 1}, ["a", "b"], ["a"])
    with pytest.raises(UsageError, match=r"missing a\. Required: a"):
        check_keys("here", {"b": 1}, ["a", "b"], ["a"])


def test_values_from_a_command_line_need_no_quotes():
    assert [parse_value(text) for text in ("3", "1e-4", "true", "[0.5, 2]", "'a b'", "fast")] == [
        3, 1e-4, True, [0.5, 2], "a b", "fast",
    ]  # fmt: skip


def test_a_section_written_out_is_read_back_as_it_was(tmp_path):
    values = {"text": '"quoted" \\ ü', "rate": 1e-7, "one": 1.0, "ends": (0.5, 2.0), "on": True, "count": 3}
    path = tmp_path / "out.toml"
    path.write_text(dump_section("part", values), encoding="utf-8")
    assert read_toml(path) == {"part": values | {"ends": [0.5, 2.0]}}
    assert "one = 1.0\n" in path.read_text()
