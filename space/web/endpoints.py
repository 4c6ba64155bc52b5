"""The endpoints of gradio's API: `/classify`, `/explain` and `/batch`, apart from the page, so that either can change.

Users of the API read their docstrings, on its page and through the MCP server.
"""

import json
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import gradio as gr
from PIL import Image, ImageDraw

from space.errors import XrayError
from space.inference.heatmap import PALETTES
from space.web.batch import each, header, open_batch, save_table, table_row
from space.web.details import details_of, row_of, to_json
from space.web.service import ExaminedImage, ModelService, refusal
from space.web.settings import Settings, is_mcp_server
from space.web.texts import ALL

ENGLISH = ALL["en"]


class Endpoints:
    """What the API's endpoints answer.

    Args:
        models: The services, by their model's name; the first one answers where no model is named.
        settings: Limits.
    """

    def __init__(self, models: dict[str, ModelService], settings: Settings):
        self.models, self.settings = models, settings

    def classify(self, file: str, show_anyway: bool, model: str | None = None) -> dict:
        """Label probabilities of one frontal chest X-ray. Research software, not a medical device: do not base a
        diagnosis on them. An image that does not look like a frontal chest X-ray is refused, and the error says why.

        Args:
            file: A PNG, JPEG or DICOM file of one frontal chest X-ray, 8 or 16 bits deep.
            show_anyway: Answer even if it does not look like a frontal chest X-ray; such an answer means nothing.
            model: Name of the model to use, where several are served.

        Returns:
            The probability of every label, the most probable one, the decision, its threshold, what the guard doubts,
            and which model, graph and software computed.
        """
        service = self._service(model)
        return to_json(details_of(service, self._examine(service, file, show_anyway)))

    def explain(
        self, file: str, label: str, opacity: float, colours: str, show_anyway: bool, model: str | None = None
    ) -> tuple[Image.Image, dict]:
        """Grad-CAM of one class over a frontal chest X-ray: where Grad-CAM finds evidence for the class. The map is
        coarse, does not outline disease and does not show that the score is right.

        Args:
            file: A PNG, JPEG or DICOM file of one frontal chest X-ray, 8 or 16 bits deep.
            label: The class, one of the model's labels.
            opacity: Of the map where it is strongest, from 0 to 1.
            colours: Name of the colour map; all of them are safe for colour-blind readers.
            show_anyway: Answer even if it does not look like a frontal chest X-ray; such an answer means nothing.
            model: Name of the model to use, where several are served.

        Returns:
            A PNG file of the X-ray's size, and what `/classify` answers.
        """
        service = self._service(model)
        if colours not in PALETTES:
            raise refusal(f"There is no colour map {colours!r}. Choose one of {', '.join(PALETTES)}.")
        examined = self._examine(service, file, show_anyway)
        if label not in examined.scores:
            raise refusal(f"{service.name} has no class {label!r}. Its classes are {', '.join(examined.scores)}.")
        return service.overlay(examined, label, opacity, colours)[0], to_json(details_of(service, examined))

    def batch(self, files: list[str], model: str | None = None) -> tuple[list[dict], str]:
        """Classify many frontal chest X-rays. Research software, not a medical device.

        Args:
            files: PNG, JPEG or DICOM files of one frontal chest X-ray each, or zip files of such.
            model: Name of the model to use, where several are served.

        Returns:
            For each image its file's name, and either what `/classify` answers, or the error; and a CSV file.
        """
        service = self._service(model)

        def answer(name: str, result: ExaminedImage | XrayError) -> tuple[dict, list[str]]:
            return to_json(row_of(service, name, result)), table_row(service, name, result, ENGLISH)

        with open_batch(files, self.settings, ENGLISH) as images:
            answers = list(each(service, images, answer))
        return [row for row, _ in answers], save_table(header(service, ENGLISH), [cells for _, cells in answers])

    def _service(self, model: str | None) -> ModelService:
        return self.models[model or next(iter(self.models))]

    def _examine(self, service: ModelService, file: str | None, show_anyway: bool) -> ExaminedImage:
        try:
            examined = service.examine(Path(file) if file else None)
        except XrayError as error:
            raise refusal(ENGLISH.error(error)) from None
        if examined.is_withheld and not show_anyway:
            raise refusal(examined.reason(ENGLISH))
        return examined

    # Language models get tools of their own (see `as_tool`).
    classify._mcp_type = explain._mcp_type = batch._mcp_type = "none"


def as_tool(endpoint: Callable) -> Callable:
    """An endpoint for gradio's MCP server, which hands on one output only, and objects in Python's notation: here they
    are JSON text, and the guard's warning stands below an overlay."""

    @wraps(endpoint)
    def tool(*arguments):
        answer = endpoint(*arguments)
        if isinstance(answer, dict):
            return json.dumps(answer)
        image, details = answer
        return captioned(image, details["guard"]["sentence"]) if details["guard"] else image

    tool._mcp_type = "tool"
    return tool


def captioned(image: Image.Image, sentence: str) -> Image.Image:
    """An image with a sentence on a strip below it."""
    size = max(12, image.width // 40)  # pixels; letters are about half as wide as they are high
    lines = textwrap.wrap(sentence, max(1, int(image.width / size * 1.6)))
    strip = Image.new("RGB", (image.width, image.height + int((len(lines) + 1) * size * 1.3)))
    strip.paste(image)
    text = "\n".join(lines)
    ImageDraw.Draw(strip).multiline_text((size // 2, image.height + size // 2), text, "white", font_size=size)
    return strip


def add_endpoints(models: dict[str, ModelService], settings: Settings) -> None:
    """Add the endpoints to the page that is being built, with components that nobody sees."""
    endpoints, names = Endpoints(models, settings), list(models)
    labels = list(dict.fromkeys(label for service in models.values() for label in service.classifier.labels))
    with gr.Row(visible=False):
        file, files = gr.File(label="file"), gr.File(file_count="multiple", label="files")
        anyway, opacity = gr.Checkbox(label="show_anyway"), gr.Slider(0, 1, value=0.6, label="opacity")
        label = gr.Radio(labels, value=labels[-1], label="label")
        colours = gr.Radio(list(PALETTES), value="inferno", label="colours")
        # Plain HTTP has to give every argument, so where there is nothing to choose there is none.
        model = [gr.Dropdown(names, value=names[0], label="model")] if len(names) > 1 else []
        details, heat = gr.JSON(label="details"), gr.Image(format="png", label="overlay")
        rows, saved, text = gr.JSON(label="rows"), gr.File(label="csv"), gr.Textbox(label="details")
        classified, explained = [file, anyway, *model], [file, label, opacity, colours, anyway, *model]
        if is_mcp_server():  # first: tools get their functions' names, which are the same as those below
            gr.Button().click(as_tool(endpoints.classify), classified, text, api_name="mcp_classify")
            gr.Button().click(as_tool(endpoints.explain), explained, heat, api_name="mcp_explain")
        gr.Button().click(endpoints.classify, classified, details, api_name="classify")
        gr.Button().click(endpoints.explain, explained, [heat, details], api_name="explain")
        gr.Button().click(endpoints.batch, [files, *model], [rows, saved], api_name="batch")
