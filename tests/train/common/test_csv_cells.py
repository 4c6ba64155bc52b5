"""Texts from outside, made safe for CSV files."""

import pytest

from train.common.csv_cells import csv_safe


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "＝1"])
def test_what_a_spreadsheet_would_compute_is_guarded(text):
    assert csv_safe(text) == f"'{text}"
    assert csv_safe(f"{text}/a.png", "./") == f"./{text}/a.png"


def test_invisible_characters_are_written_out():
    assert csv_safe("a\nb\x1b[31m\u202e\udcff") == r"a\nb\x1b[31m\u202e\udcff"


@pytest.mark.parametrize("text", ["", "NORMAL", "a=b", "ill/1 (2).png", "naïve 肺"])
def test_other_texts_stay(text):
    assert csv_safe(text) == text
