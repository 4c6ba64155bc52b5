"""The page: one tab with label probabilities, one with Grad-CAM, and the named API endpoints behind them."""

import gradio as gr
from PIL import Image

from space.classifier import Classifier
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
FILE_LABEL = "Frontal chest X-ray (PNG or JPEG, 8 or 16 bit)"


def build_ui(classifier: Classifier, model_name: str) -> gr.Blocks:
    """Build the page.

    Args:
        classifier: The model that answers.
        model_name: What the page calls it.

    Returns:
        Blocks with the endpoints `/classify` (file -> label probabilities) and `/explain` (file, class label, opacity
        -> overlay).
    """

    def classify(file: str | None) -> dict[str, float]:
        """Label probabilities of one frontal chest X-ray (a PNG or JPEG file)."""
        probabilities = classifier.probabilities([_read(file)])[0]
        return dict(zip(classifier.labels, probabilities.tolist(), strict=True))

    def explain(file: str | None, label: str, opacity: float) -> Image.Image:
        """Grad-CAM of one class, laid over the X-ray; the opacity lies between 0 and 1."""
        image = _read(file)
        return overlay(image, classifier.explain(image).maps[classifier.labels.index(label)], opacity)

    def explain_if_any(file: str | None, label: str, opacity: float) -> Image.Image | None:
        return explain(file, label, opacity) if file else None

    def decision(scores: dict[str, float] | None) -> str:
        return _decision(classifier, scores) if scores else ""

    with gr.Blocks(title="Chest X-ray classifier", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        gr.Markdown(f"# Chest X-ray classifier\n\n{NOTICE}\n\nModel: `{model_name}`")
        with gr.Tab("Classify"), gr.Row():
            with gr.Column():
                xray = gr.File(label=FILE_LABEL)
                classify_button = gr.Button("Classify", variant="primary")
                preview = gr.Image(label="The X-ray as it is read", **PICTURE)
            with gr.Column():
                scores = gr.Label(label="Label probabilities")
                verdict = gr.Markdown()
        with gr.Tab("Grad-CAM"), gr.Row():
            with gr.Column():
                explained = gr.File(label=FILE_LABEL)
                target = gr.Radio(classifier.labels, value=_default_label(classifier), label="Class to explain")
                opacity = gr.Slider(0, 1, value=0.6, step=0.05, label="Opacity")
                explain_button = gr.Button("Explain", variant="primary")
            with gr.Column():
                heat = gr.Image(label="Grad-CAM overlay", **PICTURE)
                gr.Markdown(CAPTION)

        gr.on([classify_button.click, xray.upload], classify, xray, scores, api_name="classify")
        explain_button.click(explain, [explained, target, opacity], heat, api_name="explain")
        scores.change(decision, scores, verdict, api_visibility="private", show_progress="hidden")
        xray.change(_preview, xray, preview, api_visibility="private", show_progress="hidden")
        xray.clear(lambda: None, None, scores, api_visibility="private")
        xray.change(lambda file: file, xray, explained, api_visibility="private", show_progress="hidden")
        gr.on(
            [explained.change, target.input, opacity.release],
            explain_if_any,
            [explained, target, opacity],
            heat,
            api_visibility="private",
        )
    return demo


def _read(file: str | None) -> Image.Image:
    """Read an upload; what is wrong with it becomes a sentence on the page."""
    if file is None:
        raise gr.Error(f"Choose a chest X-ray first. {ALLOWED}", print_exception=False)
    try:
        return read_xray(file, LIMITS).image
    except XrayError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _preview(file: str | None) -> Image.Image | None:
    try:
        return read_xray(file, LIMITS).image if file else None
    except XrayError:
        return None  # the classification of the same file says what is wrong with it


def _default_label(classifier: Classifier) -> str:
    point = classifier.operating_point
    return point["positive_label"] if point else classifier.labels[0]


def _decision(classifier: Classifier, scores: dict[str, float]) -> str:
    """One sentence on what the scores decide and by which rule."""
    label = classifier.decide([scores[label] for label in classifier.labels])
    point = classifier.operating_point
    if point is None:
        return f"Highest probability: **{label}**."
    return (
        f"At the operating point: **{label}**. {point['positive_label']} is called from a probability of "
        f"{point['threshold']:.3f}, a threshold fixed on validation ({point['rule']}); it changes no probability."
    )
