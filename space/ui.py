"""The page: one tab with label probabilities, one with Grad-CAM, and the named API endpoints behind them."""

import gradio as gr
import numpy as np
from PIL import Image

from space.classifier import Classifier, decide
from space.gradcam import overlay
from space.xray import ALLOWED, Limits, XrayError, read_xray

LIMITS = Limits(max_bytes=10 * 2**20)
NOTICE = (
    "**Research software, not a medical device.** Do not use it to diagnose, treat or triage anyone. "
    "The model answers with one of its labels whatever it is shown, also for pictures that are no chest X-ray."
)
CAPTION = (
    "Bright regions are those that the score of the chosen class depended on. The map is coarse, it does not outline "
    "disease, and it does not show that the score is right."
)
# No share button: it would upload the visitor's X-ray to a public forum.
PICTURE = {"interactive": False, "format": "png", "buttons": ["download", "fullscreen"]}
FILE_LABEL = "Frontal chest X-ray"
FILE_HINT = "PNG, JPEG or DICOM, 8 or 16 bit, up to 10 MiB."


class _Answers:
    """What the page's events and the API's endpoints answer."""

    def __init__(self, classifier: Classifier):
        self.classifier = classifier

    def classify(self, file: str | None) -> dict[str, float]:
        """Label probabilities of one frontal chest X-ray (a PNG, JPEG or DICOM file)."""
        probabilities = self.classifier.probabilities([_read(file)])[0]
        return dict(zip(self.classifier.labels, probabilities.tolist(), strict=True))

    def explain(self, file: str | None, label: str, opacity: float) -> Image.Image:
        """Grad-CAM of one class, laid over the X-ray; the opacity lies between 0 and 1."""
        return self._overlay(_read(file), label, opacity)

    def explain_if_any(self, file: str | None, label: str, opacity: float) -> Image.Image | None:
        """Like `explain`, but silent: the answer to events that nobody asked to explain a picture with."""
        image = _preview(file)
        return self._overlay(image, label, opacity) if image else None

    def _overlay(self, image: Image.Image, label: str, opacity: float) -> Image.Image:
        maps = self.classifier.maps(self.classifier.examine([image])[0])
        return overlay(image, maps[self.classifier.labels.index(label)], opacity)

    def verdict(self, scores: dict[str, float] | None) -> str:
        """What the scores decide, and by which rule."""
        if not scores:
            return ""
        labels, point = self.classifier.labels, self.classifier.operating_point
        probabilities = np.array([[scores[label] for label in labels]])
        highest, decided = (labels[int(decide(probabilities, rule, labels)[0])] for rule in (None, point))
        if point is None:
            return f"Highest probability: **{highest}**."
        return (
            f"Highest probability: **{highest}**. Decision at the operating point: **{decided}**, because "
            f"{point['positive_label']} is called from a probability of {point['threshold']:.3f}. That threshold was "
            f"fixed on validation ({point['rule']}); it changes no probability."
        )


def build_ui(classifier: Classifier, model_name: str) -> gr.Blocks:
    """Build the page.

    Args:
        classifier: The model that answers.
        model_name: What the page calls it.

    Returns:
        Blocks with the endpoints `/classify` (file -> label probabilities) and `/explain` (file, class label, opacity
        -> overlay).
    """
    answers, point = _Answers(classifier), classifier.operating_point
    with gr.Blocks(title="Chest X-ray classifier", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        gr.Markdown(f"# Chest X-ray classifier\n\n{NOTICE}\n\nModel: `{model_name}`")
        with gr.Tab("Classify"), gr.Row():
            with gr.Column():
                xray = gr.File(label=FILE_LABEL)
                gr.Markdown(FILE_HINT)
                classify_button = gr.Button("Classify", variant="primary")
                preview = gr.Image(label="The X-ray as it is read", **PICTURE)
            with gr.Column():
                scores = gr.Label(label="Label probabilities")
                verdict = gr.Markdown()
        with gr.Tab("Grad-CAM"), gr.Row():
            with gr.Column():
                explained = gr.File(label=FILE_LABEL)
                gr.Markdown(FILE_HINT)
                default = point["positive_label"] if point else classifier.labels[0]
                target = gr.Radio(classifier.labels, value=default, label="Class to explain")
                opacity = gr.Slider(0, 1, value=0.6, step=0.05, label="Opacity")
                explain_button = gr.Button("Explain", variant="primary")
            with gr.Column():
                heat = gr.Image(label="Grad-CAM overlay", **PICTURE)
                gr.Markdown(CAPTION)

        silent = {"api_visibility": "private", "show_progress": "hidden"}
        gr.on([classify_button.click, xray.upload], answers.classify, xray, scores, api_name="classify")
        scores.change(answers.verdict, scores, verdict, **silent)
        xray.clear(lambda: [None] * 4, None, [scores, preview, explained, heat], **silent)
        request = [explained, target, opacity]
        explain_button.click(answers.explain, request, heat, api_name="explain")
        explained.upload(answers.explain, request, heat, api_visibility="private")
        explained.clear(lambda: None, None, heat, **silent)
        settled = [target.input, opacity.change]
        gr.on(settled, answers.explain_if_any, request, heat, trigger_mode="always_last", **silent)
        taken = xray.upload(_take, xray, [preview, explained], **silent)
        taken.then(answers.explain_if_any, request, heat, **silent)
    return demo


def _read(file: str | None) -> Image.Image:
    """Read an upload; what is wrong with it becomes a sentence on the page."""
    if file is None:
        raise gr.Error(f"Choose a chest X-ray first. {ALLOWED}", print_exception=False)
    try:
        return read_xray(file, LIMITS).image
    except XrayError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _take(file: str) -> tuple[Image.Image | None, str | None]:
    """Show an upload and hand it to the Grad-CAM tab, if it can be read."""
    image = _preview(file)
    return image, file if image else None


def _preview(file: str | None) -> Image.Image | None:
    try:
        return read_xray(file, LIMITS).image if file else None
    except XrayError:
        return None  # the classification of the same file says what is wrong with it
