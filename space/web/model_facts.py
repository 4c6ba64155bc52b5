"""What a model's repository says about it."""

import re
from dataclasses import dataclass

from space.errors import UsageError
from space.inference.repository import find_file
from space.results.results_file import Results, read_results
from space.web.model_choice import HUB, ModelId

# A Markdown link to a path; not to an address, a place in the page, or an image.
LOCAL_LINK = re.compile(r"(?<!!)\[([^\[\]\n]+)\]\((?![a-z]+:|[#/])([^()\s]+)\)")


@dataclass(frozen=True)
class Counts:
    """What came true in a split.

    Attributes:
        prevalence: {label: share}.
        bins: [n, k] of each bin of equal width of a probability: of n images it was true for k.
    """

    prevalence: dict[str, float]
    bins: list[tuple[int, int]]

    def bin_of(self, probability: float) -> tuple[float, float, int, int]:
        """The bin that a probability falls into: its bounds, its images, and of how many it was true."""
        number = min(int(probability * len(self.bins)), len(self.bins) - 1)
        return number / len(self.bins), (number + 1) / len(self.bins), *self.bins[number]


@dataclass(frozen=True)
class ModelFacts:
    """What a model's card and results.json tell visitors; None or "" where they tell nothing.

    Attributes:
        model: Where it is.
        card: Its card in Markdown, without front matter and figures.
        positive: The class whose probability is counted; None: that of the most likely class.
        population: Whose images it learned from.
        validation: What came true there.
        test: What came true there.
        called: Test images of the other class that the operating point calls positive, and how many there are.
        hottest_counts_more: Whether hiding the bright region of a map changes the score more than hiding other regions,
            in the model's own deletion test; None where it was not tested.
    """

    model: ModelId
    card: str
    positive: str | None = None
    population: str = ""
    validation: Counts | None = None
    test: Counts | None = None
    called: tuple[int, int] | None = None
    hottest_counts_more: bool | None = None

    @classmethod
    def load(cls, model: ModelId, labels: list[str]) -> "ModelFacts":
        """Read them; a missing or damaged results.json tells nothing, nor does one of a model with other labels."""
        card, path = (find_file(model.name, file, model.revision) for file in ("README.md", "results.json"))
        text = _body(card.read_text(encoding="utf-8-sig", errors="replace"), model) if card else ""
        try:
            results = read_results(path) if path else None
        except UsageError:
            results = None
        return cls.of(model, text, results) if results and results.labels == labels else cls(model, text)

    @classmethod
    def of(cls, model: ModelId, card: str, results: Results) -> "ModelFacts":
        """Choose what the page tells of a model's results."""
        positive, audit, called = results.positive_label, results.dataset.audit, None
        counts = {
            name: Counts(split.prevalence, split.bins)
            for name, split in results.calibration.splits.items()
            if name in ("validation", "test") and split.bins
        }
        if positive and (table := results.confusion.get("test", {}).get("operating_point")):
            negative = 1 - results.labels.index(positive)
            called = (table[negative][1 - negative], sum(table[negative]))
        population = audit.about.get("population", "") if audit else ""
        tested = results.saliency.hottest_counts_more if results.saliency else None
        return cls(model, card, positive, population, called=called, hottest_counts_more=tested, **counts)

    def counted(self, probabilities: dict[str, float]) -> float:
        """The probability that is counted."""
        return probabilities[self.positive] if self.positive else max(probabilities.values())


def _body(card: str, model: ModelId) -> str:
    """A card without its front matter and its images. Links to files beside it lead to the Hub, or become text where
    the model is a folder, which the page does not serve."""
    body = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    body = re.sub(r"^!\[[^\n]*\n", "", body, flags=re.MULTILINE)
    linked = rf"[\1]({HUB}/{model.name}/blob/{model.revision}/\2)" if model.revision else r"\1"
    return LOCAL_LINK.sub(linked, body)
