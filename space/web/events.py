"""What the page's events do: uploads and choices in, values of its components out."""

from collections.abc import Iterator, Sequence

import gradio as gr

from space.errors import XrayError
from space.web.batch import compare, header, open_items, rows, save_table
from space.web.fetch import fetch_to_file
from space.web.service import ExaminedImage, ModelService
from space.web.settings import Settings
from space.web.texts import ALL, preferred
from space.web.uploads import new_file

SHOWN_AT_ONCE = 20  # rows by which a table grows
OFF = {"value": None, "interactive": False}


def classes(answers: ModelService, seen: ExaminedImage | None = None) -> dict:
    """The classes of a model, and which is explained first: the positive one, or the most likely."""
    labels, point = answers.classifier.labels, answers.classifier.operating_point
    likely = max(seen.scores, key=seen.scores.get) if seen else labels[0]
    return {"choices": labels, "value": point.positive_label if point else likely}


class Handlers:
    """What the events of the page do; every one gets the language and the model that are chosen.

    Args:
        models: What answers for each model, by its name.
        settings: Limits.
    """

    def __init__(self, models: dict[str, ModelService], settings: Settings):
        self.models, self.settings = models, settings

    def greet(self, request: gr.Request) -> str:
        """The language of a visitor's browser."""
        return preferred(request.headers.get("accept-language", ""))

    def fetch(self, url: str, language: str) -> str:
        """Fetch an image from the web into the upload."""
        try:
            return str(fetch_to_file(url, self.settings.limits.max_bytes))
        except XrayError as error:
            raise gr.Error(ALL[language].error(error), print_exception=False) from None

    def take(self, file: str | None, model: str) -> tuple:
        """Look at a new file, or at none: the outputs of `look`, and no answer to what is doubted."""
        return *self._look_if_any(file, model), False

    def switch(self, file: str | None, model: str) -> tuple:
        """Look with another model: the outputs of `look`, and no table of the one before."""
        return *self._look_if_any(file, model), None, None

    def look(self, file: str | None, model: str) -> tuple:
        """Look at the upload: what a session remembers, the image, and the classes to explain."""
        answers = self.models[model]
        try:
            seen = answers.shown(answers.look(file))
        except XrayError as error:
            return error, None, gr.update(**classes(answers))
        return seen, seen.image, gr.update(**classes(answers, seen))

    def _look_if_any(self, file: str | None, model: str) -> tuple:
        return self.look(file, model) if file else (None, None, gr.update(**classes(self.models[model])))

    def read(self, seen: ExaminedImage | XrayError | None, anyway: bool, language: str) -> tuple:
        """Scores and verdict of what was looked at."""
        texts = ALL[language]
        if not isinstance(seen, ExaminedImage):
            return None, f"**{texts.error(seen)}**" if seen else ""
        scores = None if seen.is_withheld and not anyway else seen.scores
        return scores, self.models[seen.model].verdict(seen, anyway, texts)

    def paint(
        self,
        seen: ExaminedImage | XrayError | None,
        anyway: bool,
        label: str,
        opacity: float | None,
        colours: str,
        language: str,
    ) -> tuple:
        """The map of a class over the image, as a file too, and what there is to say of it; no forward pass."""
        texts = ALL[language]
        if (
            not isinstance(seen, ExaminedImage) or label not in seen.scores
        ):  # a class of the model that was chosen before
            return None, gr.update(**OFF), ""
        answers = self.models[seen.model]
        if seen.is_withheld and not anyway:
            return None, gr.update(**OFF), answers.verdict(seen, anyway, texts)
        image, is_empty = answers.overlay(seen, label, opacity or 0, colours)
        path = new_file("grad-cam.png")
        image.save(path)
        note = [texts("despite", reason=answers.reason(seen, texts))] if seen.doubt else []
        note.append(texts("of_class", label=label, share=f"{seen.scores[label]:.1%}"))
        note += [texts("empty_map", label=label)] if is_empty else []
        return (seen.image, str(path)), gr.update(value=str(path), interactive=True), "\n\n".join(note)

    def compare(self, wanted: bool, file: str | None, anyway: bool, language: str):
        """What every model says of an upload, side by side, if that is asked for."""
        if not wanted or not file:
            return gr.update(visible=False, value=None)
        head, table = compare(self.models.values(), file, anyway, ALL[language])
        return gr.update(visible=True, value={"headers": head, "data": table})

    def run_batch(
        self, files: Sequence[str] | None, language: str, model: str, progress: gr.Progress = gr.Progress()
    ) -> Iterator[tuple]:
        """The table of many images, growing, and at the end the file of it."""
        texts, answers = ALL[language], self.models[model]
        table: list[list[str]] = []
        head = header(answers, texts)
        items = open_items(files, self.settings.max_batch_files, texts)
        for row in rows(answers, items, texts):
            table.append(row)
            if len(table) % SHOWN_AT_ONCE == 0:
                progress((len(table), len(items)), desc=texts("working", done=len(table), n=len(items)))
                yield {"headers": head, "data": table}, None
        yield {"headers": head, "data": table}, save_table(head, table)
