"""What the page and the API answer: files in, probabilities, maps and sentences out."""

from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from space.classifier import Classifier, decide
from space.errors import XrayError
from space.gradcam import overlay
from space.model_files import ModelFacts
from space.model_ids import ModelId
from space.settings import Settings
from space.texts import Texts
from space.xray import read_xray

LONGEST_SIDE = 1024  # pixels of pictures that are shown; maps are far coarser anyway


@dataclass(frozen=True)
class Seen:
    """One picture that a model looked at.

    Attributes:
        model: What the page calls the model.
        image: The picture, mode "L"; what a session remembers is shrunk.
        scores: {label: probability}.
        maps: Grad-CAM of every class, (K, h, w).
        doubt: Why it is hardly a chest radiograph (see `space.classifier.Finding`), or "colour", or None.
        size: Width and height in pixels of the picture as it came.
    """

    model: str
    image: Image.Image
    scores: dict[str, float]
    maps: np.ndarray
    doubt: str | None
    size: tuple[int, int]


class Answers:
    """Everything that is asked of one model.

    Args:
        classifier: The model.
        facts: What its repository says of it.
        settings: Limits.
    """

    def __init__(self, classifier: Classifier, facts: ModelFacts, settings: Settings):
        self.classifier, self.facts, self.settings = classifier, facts, settings
        self.name = facts.model.shown

    @classmethod
    def load(cls, model: ModelId, trust_remote_code: bool, settings: Settings) -> "Answers":
        """Load a model and what its repository says of it.

        Raises:
            UsageError: See `Classifier.load`.
        """
        classifier = Classifier.load(model.name, model.revision, trust_remote_code)
        return cls(classifier, ModelFacts.load(model), settings)

    def read(self, file: str | Path | bytes) -> tuple[Image.Image, str | None]:
        """Read a file, or its content; returns the picture and "colour" where it has colours, which no radiograph has.

        Raises:
            XrayError: It cannot be read.
        """
        try:
            return read_xray(file, self.settings.limits, strict=True).image, None
        except XrayError as error:
            if error.code != "colour":
                raise
            return read_xray(file, self.settings.limits).image, "colour"

    def look(self, file: str | None, texts: Texts) -> Seen:
        """Look at an upload; what is wrong with it becomes a sentence on the page.

        Raises:
            gr.Error: There is none, it cannot be read, or the model's answer is no number.
        """
        if file is None:
            raise gr.Error(texts("first_file"), print_exception=False)
        try:
            image, coloured = self.read(file)
        except XrayError as error:
            raise gr.Error(texts.error(error), print_exception=False) from None
        (finding,) = self.classifier.examine([image])
        if not np.isfinite(finding.probabilities).all():
            raise gr.Error(texts("no_number"), print_exception=False)
        scores = dict(zip(self.classifier.labels, finding.probabilities.tolist(), strict=True))
        doubt = coloured or finding.doubt
        return Seen(self.name, image, scores, self.classifier.maps(finding), doubt, image.size)

    def reason(self, seen: Seen, texts: Texts) -> str:
        """Why a picture is doubted, in a sentence."""
        width, height = seen.size
        return texts(f"doubt_{seen.doubt}", width=width, height=height)

    def verdict(self, seen: Seen, anyway: bool, texts: Texts) -> str:
        """What the scores say and decide, and what validation says about such scores; or why nothing is said."""
        if seen.doubt and not anyway:
            return texts("refused", reason=self.reason(seen, texts))
        scores, labels, point = seen.scores, self.classifier.labels, self.classifier.operating_point
        probabilities = np.array([[scores[label] for label in labels]])
        highest, decided = (labels[int(decide(probabilities, rule, labels)[0])] for rule in (None, point))
        sentences = [texts("despite", reason=self.reason(seen, texts))] if seen.doubt else []
        sentences.append(texts("highest", label=highest, share=f"{scores[highest]:.1%}"))
        if point:
            known = {"positive": point["positive_label"], "threshold": f"{point['threshold']:.3f}"}
            sentences.append(texts("decision", label=decided, rule=point["rule"], **known))
        if not seen.doubt:
            sentences.append(self._experience(scores, texts))
        return "\n\n".join(sentence for sentence in sentences if sentence)

    def _experience(self, scores: dict[str, float], texts: Texts) -> str:
        """How often such a score was right in validation."""
        found, positive = self.facts.bin_of(scores), self.facts.positive
        if found is None:
            return ""
        low, high, n, right = found
        if not n:
            return texts("experience_none")
        values = {"n": n, "right": right, "low": f"{low:.0%}", "high": f"{high:.0%}"}
        if positive:
            values |= {"positive": positive, "prevalence": f"{self.facts.prevalence[positive]:.0%}"}
        return texts("experience_positive" if positive else "experience_top", **values) + " " + texts("not_yours")

    def shown(self, seen: Seen) -> Seen:
        """The same for a session to remember: the picture no larger than a page shows it."""
        image = seen.image.copy()
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return replace(seen, image=image)

    def overlay(self, seen: Seen, label: str, opacity: float, colours: str) -> tuple[Image.Image, bool]:
        """A class's map over the picture, without asking the model again; and whether the map is empty."""
        activation = seen.maps[self.classifier.labels.index(label)]
        return overlay(seen.image, activation, opacity, colours), not activation.any()
