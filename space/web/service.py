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
from space.inference.classify import classify_files
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
        logits: {label: logit}.
        maps: Grad-CAM of every class, (K, h, w).
        doubt: Why the answer means little, or None.
        size: Width and height in pixels of the image as it came.
        steps: What was done to its stored pixels.
    """

    model: str
    image: Image.Image
    scores: dict[str, float]
    logits: dict[str, float]
    maps: np.ndarray
    doubt: Doubt | None
    size: tuple[int, int]
    steps: tuple[str, ...]

    @property
    def is_withheld(self) -> bool:
        """Whether the answer is shown only to who asks for it."""
        return self.doubt is not None and self.doubt.withholds

    def reason(self, texts: Texts) -> str:
        """Why the image is doubted."""
        return texts(f"doubt_{self.doubt}", width=self.size[0], height=self.size[1])


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

    def examine_all(self, files: Sequence[ImageFile]) -> list[ExaminedImage | XrayError]:
        """Classify files within the page's limits and compute their maps, or say why there is no answer."""
        labels, results = self.classifier.labels, classify_files(self.classifier, files, self.settings.limits)
        examined: list[ExaminedImage | XrayError] = []
        for result in results:
            if isinstance(result, XrayError):
                examined.append(result)
                continue
            image, output = result.xray.image, result.output
            scores, logits = (
                dict(zip(labels, values.tolist(), strict=True)) for values in (output.probabilities, output.logits)
            )
            doubt = Doubt.PHANTOM if _is_phantom(image) else output.doubt
            examined.append(
                ExaminedImage(self.name, image, scores, logits, output.maps, doubt, image.size, result.xray.steps)
            )
        return examined

    def examine(self, file: ImageFile | None) -> ExaminedImage:
        """Classify one file and compute its maps.

        Raises:
            XrayError: There is none, or it has no answer (see `space.inference.classify`).
        """
        if file is None:
            raise XrayError(ErrorCode.NO_FILE, "Choose a chest X-ray first.")
        (result,) = self.examine_all([file])
        if isinstance(result, XrayError):
            raise result
        return result

    def decided(self, scores: dict[str, float]) -> str:
        """The label that the operating point decides on, or, where there is none, the most likely one."""
        labels = self.classifier.labels
        probabilities = np.array([[scores[label] for label in labels]])
        return labels[int(decide(probabilities, self.classifier.operating_point, labels)[0])]

    def verdict(self, examined: ExaminedImage, anyway: bool, texts: Texts) -> str:
        """What the scores say and decide, and how often such scores were right; or why no answer is shown."""
        if examined.is_withheld and not anyway:
            return texts("refused", reason=examined.reason(texts))
        scores, point = examined.scores, self.classifier.operating_point
        highest, decided = max(scores, key=scores.get), self.decided(scores)
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

    def shrunk(self, examined: ExaminedImage, longest_side: int = LONGEST_SIDE) -> ExaminedImage:
        """The same with its image shrunk to what a page shows, or to another longest side in pixels."""
        image = examined.image.copy()
        image.thumbnail((longest_side, longest_side))
        return replace(examined, image=image)

    def overlay(self, examined: ExaminedImage, label: str, opacity: float, colours: str) -> tuple[Image.Image, bool]:
        """A class's map over the image, without asking the model again; and whether the map is empty."""
        activation = examined.maps[self.classifier.labels.index(label)]
        return overlay(examined.image, activation, opacity, colours), not activation.any()


def refusal(sentence: str) -> gr.Error:
    """What the page and the API answer with instead of a result; the log stays quiet about it."""
    return gr.Error(sentence, print_exception=False)


@cache
def _phantoms() -> list[Image.Image]:
    """The page's examples."""
    return [read_xray(path).image for path in sorted(EXAMPLES.glob("*.png"))]


def _is_phantom(image: Image.Image) -> bool:
    """Whether an image is one of the page's examples, wherever it came from."""
    return any(image.size == phantom.size and image.tobytes() == phantom.tobytes() for phantom in _phantoms())
