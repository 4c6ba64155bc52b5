"""The sentences of the page, in a JSON file for each language.

May import: space.
"""

import json
from pathlib import Path

from space.errors import XrayError

LANGUAGES = {"en": "English", "ru": "Русский"}
_FOLDER = Path(__file__).parent


class Texts:
    """The sentences of one language.

    Args:
        code: "en" or "ru"; anything else is taken for English.
    """

    def __init__(self, code: str):
        self.code = code if code in LANGUAGES else "en"
        self._sentences: dict[str, str] = json.loads((_FOLDER / f"{self.code}.json").read_text(encoding="utf-8"))

    def __call__(self, key: str, **values: object) -> str:
        """A sentence with its values filled in."""
        return self._sentences[key].format(**values)

    def error(self, error: XrayError) -> str:
        """Why a file has no answer: in full in English, by its kind elsewhere."""
        return self._sentences.get(f"error_{error.code}", str(error))

    def percent(self, share: float, decimals: int = 0) -> str:
        """A share in [0, 1] as this language writes percentages: 97.2%, or 97,2 % with a no-break space."""
        text = f"{share:.{decimals}%}"
        return text.replace(".", ",").replace("%", "\u00a0%") if self.code == "ru" else text


ALL = {code: Texts(code) for code in LANGUAGES}


def preferred(accept_language: str) -> str:
    """The language of the page that a browser prefers, by its `Accept-Language` header.

    Args:
        accept_language: For example "ru-RU,ru;q=0.9,en;q=0.8".
    """
    wanted = []
    for place, part in enumerate(accept_language.split(",")):
        tag, _, quality = part.replace(" ", "").partition(";q=")
        try:
            wanted.append((-float(quality or 1), place, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((code for _, _, code in sorted(wanted) if code in LANGUAGES), "en")
