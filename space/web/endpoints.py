"""The endpoints of the API: `/classify`, `/explain` and `/batch`, apart from the page, so that either can change.

Users of the API read their docstrings, on its page and through the MCP server.
"""

import gradio as gr
from PIL import Image

from space.errors import XrayError
from space.inference.heatmap import PALETTES
from space.web.batch import header, open_batch, rows, save_table
from space.web.service import ExaminedImage, ModelService, refusal
from space.web.settings import Settings
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

    def classify(self, file: str, show_anyway: bool, model: str | None = None) -> dict[str, float]:
        """Label probabilities of one frontal chest X-ray. Research software, not a medical device: do not base a
        diagnosis on them. An image that does not look like a frontal chest X-ray is refused, and the error says why.

        Args:
            file: A PNG, JPEG or DICOM file of one frontal chest X-ray, 8 or 16 bits deep.
            show_anyway: Answer even if it does not look like a frontal chest X-ray; such an answer means nothing.
            model: Name of the model to use, where several are served.

        Returns:
            The most probable label, and the probability of every label; they sum to 1.
        """
        return self._examine(self._service(model), file, show_anyway).scores

    def explain(
        self, file: str, label: str, opacity: float, colours: str, show_anyway: bool, model: str | None = None
    ) -> Image.Image:
        """Grad-CAM of one class over a frontal chest X-ray: the regions that the class's score depended on. The map is
        coarse, does not outline disease and does not show that the score is right.

        Args:
            file: A PNG, JPEG or DICOM file of one frontal chest X-ray, 8 or 16 bits deep.
            label: The class, one of the model's labels.
            opacity: Of the map where it is strongest, from 0 to 1.
            colours: Name of the colour map; all of them are safe for colour-blind readers.
            show_anyway: Answer even if it does not look like a frontal chest X-ray; such an answer means nothing.
            model: Name of the model to use, where several are served.

        Returns:
            A PNG file of the X-ray's size.
        """
        service = self._service(model)
        if colours not in PALETTES:
            raise refusal(f"There is no colour map {colours!r}. Choose one of {', '.join(PALETTES)}.")
        examined = self._examine(service, file, show_anyway)
        if label not in examined.scores:
            raise refusal(f"{service.name} has no class {label!r}. Its classes are {', '.join(examined.scores)}.")
        return service.overlay(examined, label, opacity, colours)[0]

    def batch(self, files: list[str], model: str | None = None) -> tuple[dict, str]:
        """Classify many frontal chest X-rays. Research software, not a medical device.

        Args:
            files: PNG, JPEG or DICOM files of one frontal chest X-ray each, or zip files of such.
            model: Name of the model to use, where several are served.

        Returns:
            A table with a row for each image: its probabilities, or the reason why there are none; and a CSV file of
            the table.
        """
        service = self._service(model)
        head = header(service, ENGLISH)
        with open_batch(files, self.settings, ENGLISH) as images:
            table = list(rows(service, images, ENGLISH))
        return {"headers": head, "data": table}, save_table(head, table)

    batch._mcp_type = "none"  # no MCP tool: there gradio cannot hand a list of files over

    def _service(self, model: str | None) -> ModelService:
        return self.models[model or next(iter(self.models))]

    def _examine(self, service: ModelService, file: str, show_anyway: bool) -> ExaminedImage:
        try:
            examined = service.examine(file)
        except XrayError as error:
            raise refusal(ENGLISH.error(error)) from None
        if examined.is_withheld and not show_anyway:
            raise refusal(examined.reason(ENGLISH))
        return examined


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
        scores, heat = gr.Label(label="probabilities"), gr.Image(format="png", label="overlay")
        table, saved = gr.Dataframe(label="table"), gr.File(label="csv")
        gr.Button().click(endpoints.classify, [file, anyway, *model], scores, api_name="classify")
        request = [file, label, opacity, colours, anyway, *model]
        gr.Button().click(endpoints.explain, request, heat, api_name="explain")
        gr.Button().click(endpoints.batch, [files, *model], [table, saved], api_name="batch")
