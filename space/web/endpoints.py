"""The endpoints of the API: `/classify`, `/explain` and `/batch`, apart from the page, so that either may change.

Their docstrings are what the API's page, and an MCP server's clients, read of them.
"""

import gradio as gr
from PIL import Image

from space.errors import XrayError
from space.inference.gradcam import PALETTES
from space.web.batch import header, open_items, rows, save_table
from space.web.service import ExaminedImage, ModelService
from space.web.settings import Settings
from space.web.texts import ALL

ENGLISH = ALL["en"]


class Endpoints:
    """What the API's endpoints answer.

    Args:
        models: What answers for each model, by its name.
        settings: Limits.
    """

    def __init__(self, models: dict[str, ModelService], settings: Settings):
        self.models, self.settings = models, settings

    def classify(self, file: str, show_anyway: bool, model: str | None = None) -> dict[str, float]:
        """Label probabilities of one frontal chest X-ray. Research software, not a medical device: no diagnosis may
        rest on them. What does not look like a frontal chest X-ray is refused with the reason.

        Args:
            file: A PNG, JPEG or DICOM file of one frontal chest X-ray, 8 or 16 bits deep.
            show_anyway: Answer even if it does not look like a frontal chest X-ray; such an answer means nothing.
            model: Name of the model that answers, where several are served.

        Returns:
            The most probable label, and the probability of every label; they sum to 1.
        """
        return self._look(self._answers(model), file, show_anyway).scores

    def explain(
        self, file: str, label: str, opacity: float, colours: str, show_anyway: bool, model: str | None = None
    ) -> Image.Image:
        """Grad-CAM of one class, laid over a frontal chest X-ray: what the score of that class depended on. The map is
        coarse, outlines no disease and does not show that the score is right.

        Args:
            file: A PNG, JPEG or DICOM file of one frontal chest X-ray, 8 or 16 bits deep.
            label: The class, one of the model's labels.
            opacity: Of the map where it is strongest, from 0 to 1.
            colours: Name of the colour map; all of them can be read by colour-blind eyes.
            show_anyway: Answer even if it does not look like a frontal chest X-ray; such an answer means nothing.
            model: Name of the model that answers, where several are served.

        Returns:
            A PNG file of the X-ray's size.
        """
        answers = self._answers(model)
        seen = self._look(answers, file, show_anyway)
        if label not in seen.scores:
            known = ", ".join(seen.scores)
            raise gr.Error(f"{answers.name} knows no class {label!r}; its classes are {known}.", print_exception=False)
        return answers.overlay(seen, label, opacity, colours)[0]

    def batch(self, files: list[str], model: str | None = None) -> tuple[dict, str]:
        """Classify many frontal chest X-rays. Research software, not a medical device.

        Args:
            files: PNG, JPEG or DICOM files of one frontal chest X-ray each, or zip files of such.
            model: Name of the model that answers, where several are served.

        Returns:
            A table with a row for each: its probabilities, or the reason why there are none; and a CSV file of it.
        """
        answers = self._answers(model)
        items = open_items(files, self.settings.max_batch_files, ENGLISH)
        head = header(answers, ENGLISH)
        table = list(rows(answers, items, ENGLISH))
        return {"headers": head, "data": table}, save_table(head, table)

    batch._mcp_type = "none"  # no MCP tool: there gradio cannot hand a list of files over

    def _answers(self, model: str | None) -> ModelService:
        return self.models[model or next(iter(self.models))]

    def _look(self, answers: ModelService, file: str, show_anyway: bool) -> ExaminedImage:
        try:
            seen = answers.look(file)
        except XrayError as error:
            raise gr.Error(ENGLISH.error(error), print_exception=False) from None
        if seen.is_withheld and not show_anyway:
            raise gr.Error(answers.reason(seen, ENGLISH), print_exception=False)
        return seen


def add_endpoints(models: dict[str, ModelService], settings: Settings) -> None:
    """Add the endpoints to the page that is being built, with components that nobody sees."""
    endpoints, names = Endpoints(models, settings), list(models)
    labels = list(dict.fromkeys(label for answers in models.values() for label in answers.classifier.labels))
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
