"""Markdown from templates."""

import pytest
from jinja2 import UndefinedError

from train.common.templates import render_template


def test_numbers_are_formatted(tmp_path):
    (tmp_path / "x.jinja").write_text("{{ share | decimals }} {{ share | decimals(1) }} {{ n | thousands }}\n")
    assert render_template(tmp_path / "x.jinja", share=0.12345, n=1234567) == "0.123 0.1 1,234,567\n"


def test_a_name_without_a_value_is_an_error(tmp_path):
    (tmp_path / "x.jinja").write_text("{{ nothing }}")
    with pytest.raises(UndefinedError, match="nothing"):
        render_template(tmp_path / "x.jinja")
