"""The languages of the page."""

import json
import string

import pytest

from space.errors import ErrorCode, XrayError
from space.inference.guard import Doubt
from space.web.texts import _FOLDER, ALL, LANGUAGES, preferred

SENTENCES = {code: json.loads((_FOLDER / f"{code}.json").read_text(encoding="utf-8")) for code in LANGUAGES}


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_language_says_everything_with_the_same_values():
    english = SENTENCES["en"]
    for code, sentences in SENTENCES.items():
        said = {key for key in sentences if not key.startswith("error_")}
        assert said == set(english), code
        for key in english:
            assert places(sentences[key]) == places(english[key]), (code, key)


def test_every_error_has_a_sentence_in_every_language():
    for code in ErrorCode:
        error = XrayError(code, "in English")
        assert ALL["en"].error(error) == "in English"
        assert ALL["ru"].error(error) != "in English", code
    known = {f"error_{code}" for code in ErrorCode}
    assert {key for key in SENTENCES["ru"] if key.startswith("error_")} == known


def test_every_doubt_has_a_sentence_in_every_language():
    for sentences in SENTENCES.values():
        assert {key for key in sentences if key.startswith("doubt_")} == {f"doubt_{doubt}" for doubt in Doubt}


@pytest.mark.parametrize(
    ("share", "decimals", "english", "russian"), [(0.9717, 1, "97.2%", "97,2"), (0.7, 0, "70%", "70")]
)
def test_percentages_are_written_as_in_the_language(share, decimals, english, russian):
    assert ALL["en"].percent(share, decimals) == english
    assert ALL["ru"].percent(share, decimals) == f"{russian}\u00a0%"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        ("en-US,en;q=0.9,ru;q=0.8", "en"),
        ("de,ru;q=0.5,en;q=0.4", "ru"),
        ("en;q=0.2, ru;q=0.9", "ru"),
        ("en; q=0.2, ru; q=0.9", "ru"),
        ("de", "en"),
        ("", "en"),
        ("ru;q=many", "en"),
        ("*", "en"),
    ],
)
def test_the_browsers_first_language_that_is_spoken_is_taken(header, language):
    assert preferred(header) == language
