"""What the page's events do: uploads and choices in, values of its components out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import gradio as gr

from space.errors import XrayError
from space.web.batch import compare, header, open_batch, rows, save_table
from space.web.fetch import fetch_to_file
from space.web.service import ExaminedImage, ModelService, refusal
from space.web.settings import Settings
from space.web.texts import ALL, preferred
from space.web.uploads import new_file

SHOWN_AT_ONCE = 20  # rows by which a table grows
OFF = {"value": None, "interactive": False}


def class_choices(service: ModelService, examined: ExaminedImage | None = None) -> dict:
    """The classes of a model, and which is explained first: the positive one, or the most likely."""
    labels, point = service.classifier.labels, service.classifier.operating_point
    likely = max(examined.scores, key=examined.scores.get) if examined else labels[0]
    return {"choices": labels, "value": point.positive_label if point else likely}


class Handlers:
    """What the events of the page do; each gets the language and the model that are chosen.

    A session remembers an `ExaminedImage`, or the `XrayError` of a file that has no answer, or None.

    Args:
        models: The services, by their model's name.
        settings: Limits.
    """

    def __init__(self, models: dict[str, ModelService], settings: Settings):
        self.models, self.settings = models, settings

    def choose_language(self, request: gr.Request) -> str:
        """The language of a visitor's browser."""
        return preferred(request.headers.get("accept-language", ""))

    def fetch_image(self, url: str, language: str) -> str:
        """Fetch an image from the web into the upload."""
        try:
            return str(fetch_to_file(url, self.settings.limits.max_bytes))
        except XrayError as error:
            raise refusal(ALL[language].error(error)) from None

    def change_file(self, file: str | None, model: str) -> tuple:
        """Examine a new file, or none: the outputs of `examine`, and the box for doubted images unticked."""
        return *self._examine_if_any(file, model), False

    def change_model(self, file: str | None, model: str) -> tuple:
        """Examine the file with another model: the outputs of `examine`, and no table of the model before."""
        return *self._examine_if_any(file, model), None, None

    def examine(self, file: str | None, model: str) -> tuple:
        """Examine the upload: what the session remembers, the image, and the classes to explain."""
        service = self.models[model]
        try:
            examined = service.shrunk(service.examine(Path(file) if file else None))
        except XrayError as error:
            return error, None, gr.update(**class_choices(service))
        return examined, examined.image, gr.update(**class_choices(service, examined))

    def _examine_if_any(self, file: str | None, model: str) -> tuple:
        return self.examine(file, model) if file else (None, None, gr.update(**class_choices(self.models[model])))

    def show_scores(self, examined: ExaminedImage | XrayError | None, anyway: bool, language: str) -> tuple:
        """Scores and verdict of what was examined."""
        texts = ALL[language]
        if not isinstance(examined, ExaminedImage):
            return None, f"**{texts.error(examined)}**" if examined else ""
        scores = None if examined.is_withheld and not anyway else examined.scores
        return scores, self.models[examined.model].verdict(examined, anyway, texts)

    def show_map(
        self,
        examined: ExaminedImage | XrayError | None,
        anyway: bool,
        label: str,
        opacity: float | None,
        colours: str,
        language: str,
    ) -> tuple:
        """The map of a class over the image, as a file too, and a note on it; without a forward pass."""
        texts = ALL[language]
        # For a moment after the model was changed, the label may be one of the model before.
        if not isinstance(examined, ExaminedImage) or label not in examined.scores:
            return None, gr.update(**OFF), ""
        service = self.models[examined.model]
        if examined.is_withheld and not anyway:
            return None, gr.update(**OFF), service.verdict(examined, anyway, texts)
        image, is_empty = service.overlay(examined, label, opacity or 0, colours)
        path = new_file("grad-cam.png")
        image.save(path)
        note = [texts("despite", reason=examined.reason(texts))] if examined.doubt else []
        note.append(texts("of_class", label=label, share=texts.percent(examined.scores[label], 1)))
        note += [texts("empty_map", label=label)] if is_empty else []
        return (examined.image, str(path)), gr.update(value=str(path), interactive=True), "\n\n".join(note)

    def compare_models(self, wanted: bool, file: str | None, anyway: bool, language: str):
        """What every model says of an upload, side by side, if that is wanted."""
        if not wanted or not file:
            return gr.update(visible=False, value=None)
        head, table = compare(self.models.values(), file, anyway, ALL[language])
        return gr.update(visible=True, value={"headers": head, "data": table})

    def classify_all(
        self, files: Sequence[str] | None, language: str, model: str, progress: gr.Progress = gr.Progress()
    ) -> Iterator[tuple]:
        """The table of many images, growing, and at the end the file of it."""
        texts, service = ALL[language], self.models[model]
        table: list[list[str]] = []
        head = header(service, texts)
        with open_batch(files, self.settings, texts) as images:
            for row in rows(service, images, texts):
                table.append(row)
                if len(table) % SHOWN_AT_ONCE == 0:
                    progress((len(table), len(images)), desc=texts("working", done=len(table), n=len(images)))
                    yield {"headers": head, "data": table}, None
        yield {"headers": head, "data": table}, save_table(head, table)
