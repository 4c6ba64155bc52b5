"""The endpoints of the API: `/classify`, `/explain` and `/batch`, apart from the page, so that either may change."""

import gradio as gr
from PIL import Image

from space.answers import Answers, Seen
from space.batch import header, open_items, rows, save_table
from space.gradcam import PALETTES
from space.texts import ALL

ENGLISH = ALL["en"]


class Endpoints:
    """What the API's endpoints answer.

    Args:
        answers: What answers.
    """

    def __init__(self, answers: Answers):
        self.answers = answers

    def classify(self, file: str, show_anyway: bool = False) -> dict[str, float]:
        """Label probabilities of one frontal chest X-ray (a PNG, JPEG or DICOM file). Research software, not a medical
        device. What does not look like a frontal chest X-ray is refused, unless `show_anyway`."""
        return self._look(file, show_anyway).scores

    def explain(
        self, file: str, label: str, opacity: float = 0.6, colours: str = "inferno", show_anyway: bool = False
    ) -> Image.Image:
        """Grad-CAM of one class, laid over the X-ray: what the score of that class depended on. It is no localiser. The
        opacity lies between 0 and 1."""
        return self.answers.overlay(self._look(file, show_anyway), label, opacity, colours)[0]

    def batch(self, files: list[str]) -> tuple[dict, str]:
        """Classify many X-rays, or zip files of them: a row each with probabilities or the reason why there are none,
        and the same as a CSV file."""
        items = open_items(files, self.answers.settings.max_batch_files, ENGLISH)
        head = header(self.answers, ENGLISH)
        table = list(rows(self.answers, items, ENGLISH))
        return {"headers": head, "data": table}, save_table(head, table)

    def _look(self, file: str, show_anyway: bool) -> Seen:
        seen = self.answers.look(file, ENGLISH)
        if seen.doubt and not show_anyway:
            raise gr.Error(self.answers.reason(seen, ENGLISH), print_exception=False)
        return seen


def add_endpoints(answers: Answers) -> None:
    """Add the endpoints to the page that is being built, with components that nobody sees."""
    endpoints, labels = Endpoints(answers), answers.classifier.labels
    with gr.Row(visible=False):
        file, files = gr.File(label="file"), gr.File(file_count="multiple", label="files")
        anyway, opacity = gr.Checkbox(label="show_anyway"), gr.Slider(0, 1, value=0.6, label="opacity")
        label = gr.Radio(labels, value=labels[-1], label="label")
        colours = gr.Radio(list(PALETTES), value="inferno", label="colours")
        scores, heat = gr.Label(label="probabilities"), gr.Image(format="png", label="overlay")
        table, saved = gr.Dataframe(label="table"), gr.File(label="csv")
        gr.Button().click(endpoints.classify, [file, anyway], scores, api_name="classify")
        request = [file, label, opacity, colours, anyway]
        gr.Button().click(endpoints.explain, request, heat, api_name="explain")
        gr.Button().click(endpoints.batch, files, [table, saved], api_name="batch")
