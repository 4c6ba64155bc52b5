"""What the page and the API answer: files in, probabilities, maps and sentences out."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from space.errors import XrayError
from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from space.inference.gradcam import overlay
from space.inference.operating_point import OperatingPoint, decide
from space.web.model_choice import ModelId
from space.web.model_facts import ModelFacts
from space.web.settings import Settings
from space.web.texts import Texts

LONGEST_SIDE = 1024  # pixels of images that are shown; maps are far coarser anyway
ENOUGH = 30  # images below which a share says little: at 30 its 95% interval is still up to 36 points wide
EXAMPLES = Path(__file__).parent / "examples"  # phantoms; no patient's image is among them


@dataclass(frozen=True, eq=False)
class ExaminedImage:
    """One image that a model looked at.

    Attributes:
        model: What the page calls the model.
        image: The image, mode "L"; what a session remembers is shrunk.
        scores: {label: probability}.
        maps: Grad-CAM of every class, (K, h, w).
        doubt: Why it is hardly a chest radiograph (see `ModelOutput`), "colour", "phantom", or None.
        size: Width and height in pixels of the image as it came.
    """

    model: str
    image: Image.Image
    scores: dict[str, float]
    maps: np.ndarray
    doubt: str | None
    size: tuple[int, int]

    @property
    def is_withheld(self) -> bool:
        """Whether the answer is shown only to who asks for it."""
        return self.doubt not in (None, "phantom")


class ModelService:
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
    def load(cls, model: ModelId, trust_remote_code: bool, settings: Settings) -> "ModelService":
        """Load a model and what its repository says of it.

        Raises:
            UsageError: See `Classifier.load`.
        """
        classifier = Classifier.load(model.name, model.revision, trust_remote_code)
        return cls(classifier, ModelFacts.load(model), settings)

    def read(self, file: str | Path | bytes) -> tuple[Image.Image, str | None]:
        """Read a file, or its content; returns the image and "colour" where it has colours, which no radiograph has.

        Raises:
            XrayError: It cannot be read.
        """
        try:
            return read_xray(file, self.settings.limits, strict=True).image, None
        except XrayError as error:
            if error.code != "colour":
                raise
            return read_xray(file, self.settings.limits).image, "colour"

    def look(self, file: str | None) -> ExaminedImage:
        """Look at an upload.

        Raises:
            XrayError: There is none, it cannot be read, or the model's answer is no number.
        """
        if file is None:
            raise XrayError("no_file", "Choose a chest X-ray first.")
        image, coloured = self.read(file)
        (finding,) = self.classifier.examine([image])
        if not np.isfinite(finding.probabilities).all():
            raise XrayError("no_number", "The model's answer is no number; its weights are damaged.")
        scores = dict(zip(self.classifier.labels, finding.probabilities.tolist(), strict=True))
        doubt = "phantom" if Path(file).parent == EXAMPLES else coloured or finding.doubt
        return ExaminedImage(self.name, image, scores, self.classifier.maps(finding), doubt, image.size)

    def reason(self, seen: ExaminedImage, texts: Texts) -> str:
        """Why an image is doubted, in a sentence."""
        width, height = seen.size
        return texts(f"doubt_{seen.doubt}", width=width, height=height)

    def verdict(self, seen: ExaminedImage, anyway: bool, texts: Texts) -> str:
        """What the scores say and decide, and what came true of such scores; or why nothing is said."""
        if seen.is_withheld and not anyway:
            return texts("refused", reason=self.reason(seen, texts))
        scores, labels, point = seen.scores, self.classifier.labels, self.classifier.operating_point
        probabilities = np.array([[scores[label] for label in labels]])
        highest, decided = (labels[int(decide(probabilities, rule, labels)[0])] for rule in (None, point))
        sentences = [texts("despite", reason=self.reason(seen, texts))] if seen.doubt else []
        sentences += [] if self.classifier.guard else [texts("no_guard")]
        sentences += [texts("differ")] if highest != decided else []
        sentences.append(texts("highest", label=highest, share=f"{scores[highest]:.1%}"))
        if point:
            sentences.append(self._decision(point, decided, scores, texts))
        if not seen.doubt:
            sentences.append(self._experience(scores, texts))
        return "\n\n".join(sentence for sentence in sentences if sentence)

    def _decision(self, point: OperatingPoint, decided: str, scores: dict[str, float], texts: Texts) -> str:
        """What the operating point decides, why, and how often it is wrong."""
        positive, rule = point.positive_label, point.rule
        said = texts(
            "decision",
            label=decided,
            positive=positive,
            share=f"{scores[positive]:.1%}",
            threshold=f"{point.threshold:.1%}",
            rule=texts("rule_youden") if rule == "youden" else rule,
        )
        if self.facts.called is None:
            return said
        wrong, n = self.facts.called
        negative = next(label for label in self.classifier.labels if label != positive)
        return f"{said} " + texts("called", wrong=wrong, n=n, positive=positive, negative=negative)

    def _experience(self, scores: dict[str, float], texts: Texts) -> str:
        """How often such a score came true in validation, and in test."""
        positive, probability = self.facts.positive, self.facts.counted(scores)
        sentences = []
        for split in ("validation", "test"):
            if not (counts := getattr(self.facts, split)):
                continue
            low, high, n, right = counts.bin_of(probability)
            values = {
                "split": texts(f"split_{split}"),
                "n": n,
                "right": right,
                "low": f"{low:.0%}",
                "high": f"{high:.0%}",
            }
            if positive:
                values |= {"positive": positive, "prevalence": f"{counts.prevalence[positive]:.0%}"}
            said = texts("experience_positive" if positive else "experience_top", **values)
            sentences.append(said if n >= ENOUGH else f"{said} {texts('too_few')}")
        return " ".join([*sentences, texts("not_yours")]) if sentences else ""

    def shown(self, seen: ExaminedImage) -> ExaminedImage:
        """The same for a session to remember: the image no larger than a page shows it."""
        image = seen.image.copy()
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return replace(seen, image=image)

    def overlay(self, seen: ExaminedImage, label: str, opacity: float, colours: str) -> tuple[Image.Image, bool]:
        """A class's map over the image, without asking the model again; and whether the map is empty."""
        activation = seen.maps[self.classifier.labels.index(label)]
        return overlay(seen.image, activation, opacity, colours), not activation.any()
