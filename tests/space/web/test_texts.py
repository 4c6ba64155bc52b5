"""The languages of the page."""

import json
import string

import pytest

from space.errors import XrayError
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


def test_every_error_is_said_in_russian():
    codes = {
        *("missing", "unreadable", "empty", "too_many_bytes", "unknown_format", "unsupported", "too_many_pixels"),
        *("several_frames", "damaged", "bad_url", "fetch", "no_file", "no_number"),
    }
    for code in codes:
        said = ALL["ru"].error(XrayError(code, "in English"))
        assert said != "in English", code
        assert ALL["en"].error(XrayError(code, "in English")) == "in English"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        ("en-US,en;q=0.9,ru;q=0.8", "en"),
        ("de,ru;q=0.5,en;q=0.4", "ru"),
        ("en;q=0.2, ru;q=0.9", "ru"),
        ("de", "en"),
        ("", "en"),
        ("ru;q=many", "en"),
        ("*", "en"),
    ],
)
def test_the_browsers_first_language_that_is_spoken_is_taken(header, language):
    assert preferred(header) == language
