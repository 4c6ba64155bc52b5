"""Files beside a model's weights, and what the page takes from them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from space.model_ids import ModelId


def find_file(name: str, file: str, revision: str | None) -> Path | None:
    """A file of a model repository; None if it has none of that name.

    Args:
        name: Folder of a model, or `owner/name` on the Hub.
        file: Its name there.
        revision: Branch, tag or commit SHA on the Hub.
    """
    if Path(name).is_dir():
        path = Path(name) / file
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except EntryNotFoundError:  # also where the network is off and it was not kept
        return None


@dataclass(frozen=True)
class ModelFacts:
    """What a model's card and results.json tell visitors.

    Attributes:
        model: Where it is.
        card: Its card in Markdown, without front matter and figures; "" if it has none.
        positive: The class whose probability `bins` count, or None: that of the most likely class.
        prevalence: {label: share in validation}; empty if nothing is known.
        bins: [n, k] of each bin of equal width of that probability in validation: of n pictures it was true for k.
    """

    model: ModelId
    card: str
    positive: str | None
    prevalence: dict[str, float]
    bins: list[list[int]]

    @classmethod
    def load(cls, model: ModelId) -> "ModelFacts":
        """Read them; a damaged or missing results.json counts as nothing known."""
        card, results = (find_file(model.name, file, model.revision) for file in ("README.md", "results.json"))
        text = card.read_text(encoding="utf-8") if card else ""
        try:
            found = json.loads(results.read_text(encoding="utf-8")) if results else {}
            positive = found["recipe"]["evaluation"]["positive_label"] or None
            validation = found["calibration"]["splits"]["validation"]
            known = (positive, dict(validation["prevalence"]), [[int(n), int(k)] for n, k in validation["bins"]])
        except (ValueError, KeyError, TypeError):
            known = (None, {}, [])
        return cls(model, _plain(text), *known)

    def bin_of(self, probabilities: dict[str, float]) -> tuple[float, float, int, int] | None:
        """Where probabilities fall in validation: the bin's bounds, its pictures, and of how many it was true."""
        if not self.bins:
            return None
        confidence = probabilities[self.positive] if self.positive else max(probabilities.values())
        number = min(int(confidence * len(self.bins)), len(self.bins) - 1)
        return number / len(self.bins), (number + 1) / len(self.bins), *self.bins[number]


def _plain(card: str) -> str:
    """A card without its front matter, its pictures, which lie elsewhere, and anything that is no Markdown."""
    body = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    return re.sub(r"^!\[[^\n]*\n", "", body, flags=re.MULTILINE)
