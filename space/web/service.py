"""What the page and the API answer: files in, probabilities, maps and sentences out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from space.errors import ErrorCode, XrayError
from space.imaging.archives import ImageFile
from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from space.inference.classify import ClassifiedImage, classify_files
from space.inference.guard import Doubt
from space.inference.heatmap import overlay
from space.inference.operating_point import OperatingPoint, decide
from space.web.model_choice import ModelId
from space.web.model_facts import ModelFacts
from space.web.settings import Settings
from space.web.texts import Texts

LONGEST_SIDE = 1024  # pixels of images that are shown; maps are far coarser anyway
ENOUGH = 30  # images below which a share says little: at 30 its 95% interval is still up to 36 points wide
# Rules of operating points that are no formula: their sentence. Others stand in the sentence as they are.
NAMED_RULES = {"youden": "rule_youden", "youden-worst": "rule_youden_worst"}
EXAMPLES = Path(__file__).parent / "examples"  # phantoms; no patient's image is among them


@dataclass(frozen=True, eq=False)
class ExaminedImage:
    """One image, and what the page and the API may show of it.

    Attributes:
        model: The model's name on the page.
        image: The image, mode "L"; what a session remembers is shrunk.
        scores: {label: probability}.
        maps: Grad-CAM of every class, (K, h, w).
        doubt: Why the answer means little, or None.
        size: Width and height in pixels of the image as it came.
    """

    model: str
    image: Image.Image
    scores: dict[str, float]
    maps: np.ndarray
    doubt: Doubt | None
    size: tuple[int, int]

    @property
    def is_withheld(self) -> bool:
        """Whether the answer is shown only to who asks for it."""
        return self.doubt is not None and self.doubt.withholds

    def reason(self, texts: Texts) -> str:
        """Why the image is doubted."""
        return doubt_sentence(self.doubt, self.size, texts)


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
    def load(cls, model: ModelId, settings: Settings) -> "ModelService":
        """Load a model and what its repository says of it.

        Raises:
            UsageError: See `Classifier.load`.
        """
        classifier = Classifier.load(model.name, model.revision)
        return cls(classifier, ModelFacts.load(model, classifier.labels), settings)

    def classify(self, files: Sequence[ImageFile]) -> list[ClassifiedImage | XrayError]:
        """Classify files within the page's limits; the page's own examples are known to be phantoms."""
        results = classify_files(self.classifier, files, self.settings.limits)
        return [_mark_phantom(result) if isinstance(result, ClassifiedImage) else result for result in results]

    def examine(self, file: str | None) -> ExaminedImage:
        """Classify one upload and compute its maps.

        Raises:
            XrayError: There is none, or it has no answer (see `space.inference.classify`).
        """
        if file is None:
            raise XrayError(ErrorCode.NO_FILE, "Choose a chest X-ray first.")
        (result,) = self.classify([Path(file)])
        if isinstance(result, XrayError):
            raise result
        output = result.output
        scores = dict(zip(self.classifier.labels, output.probabilities.tolist(), strict=True))
        return ExaminedImage(self.name, result.image, scores, output.maps, output.doubt, result.image.size)

    def verdict(self, examined: ExaminedImage, anyway: bool, texts: Texts) -> str:
        """What the scores say and decide, and how often such scores were right; or why no answer is shown."""
        if examined.is_withheld and not anyway:
            return texts("refused", reason=examined.reason(texts))
        scores, labels, point = examined.scores, self.classifier.labels, self.classifier.operating_point
        probabilities = np.array([[scores[label] for label in labels]])
        highest, decided = (labels[int(decide(probabilities, rule, labels)[0])] for rule in (None, point))
        sentences = [texts("despite", reason=examined.reason(texts))] if examined.doubt else []
        sentences += [] if self.classifier.guard else [texts("no_guard")]
        sentences += [texts("differ")] if highest != decided else []
        sentences.append(texts("highest", label=highest, share=texts.percent(scores[highest], 1)))
        if point:
            sentences.append(self._decision(point, decided, scores, texts))
        if not examined.doubt:
            sentences.append(self._experience(scores, texts))
        return "\n\n".join(sentence for sentence in sentences if sentence)

    def _decision(self, point: OperatingPoint, decided: str, scores: dict[str, float], texts: Texts) -> str:
        """What the operating point decides, why, and how often it is wrong."""
        positive, rule = point.positive_label, point.rule
        sentence = texts(
            "decision",
            label=decided,
            positive=positive,
            share=texts.percent(scores[positive], 1),
            threshold=texts.percent(point.threshold, 1),
            rule=texts(NAMED_RULES[rule]) if rule in NAMED_RULES else rule,
        )
        if self.facts.called is None:
            return sentence
        wrong, n = self.facts.called
        negative = next(label for label in self.classifier.labels if label != positive)
        return f"{sentence} " + texts("called", wrong=wrong, n=n, positive=positive, negative=negative)

    def _experience(self, scores: dict[str, float], texts: Texts) -> str:
        """How often such a score was right on validation, and on test."""
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
                "low": texts.percent(low),
                "high": texts.percent(high),
            }
            if positive:
                values |= {"positive": positive, "prevalence": texts.percent(counts.prevalence[positive])}
            sentence = texts("experience_positive" if positive else "experience_top", **values)
            sentences.append(sentence if n >= ENOUGH else f"{sentence} {texts('too_few')}")
        return " ".join([*sentences, texts("not_yours")]) if sentences else ""

    def shrunk(self, examined: ExaminedImage) -> ExaminedImage:
        """The same for a session to remember: the image no larger than a page shows it."""
        image = examined.image.copy()
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return replace(examined, image=image)

    def overlay(self, examined: ExaminedImage, label: str, opacity: float, colours: str) -> tuple[Image.Image, bool]:
        """A class's map over the image, without asking the model again; and whether the map is empty."""
        activation = examined.maps[self.classifier.labels.index(label)]
        return overlay(examined.image, activation, opacity, colours), not activation.any()


def doubt_sentence(doubt: Doubt, size: tuple[int, int], texts: Texts) -> str:
    """Why an image of some width and height, in pixels, is doubted."""
    return texts(f"doubt_{doubt}", width=size[0], height=size[1])


def refusal(sentence: str) -> gr.Error:
    """What the page and the API answer with instead of a result; the log stays quiet about it."""
    return gr.Error(sentence, print_exception=False)


@cache
def _phantoms() -> list[Image.Image]:
    """The page's examples."""
    return [read_xray(path).image for path in sorted(EXAMPLES.glob("*.png"))]


def _mark_phantom(result: ClassifiedImage) -> ClassifiedImage:
    """The same, doubted if it is one of the page's examples, wherever it came from."""
    image = result.image
    if not any(image.size == phantom.size and image.tobytes() == phantom.tobytes() for phantom in _phantoms()):
        return result
    return replace(result, output=replace(result.output, doubt=Doubt.PHANTOM))
