"""What the page's events do: uploads and choices in, values of its components out."""

from collections.abc import Iterator, Sequence

import gradio as gr

from space.answers import Answers, Seen
from space.batch import compare, header, open_items, rows, save_table
from space.download import fetch_to_file
from space.errors import XrayError
from space.settings import Settings
from space.texts import ALL, preferred
from space.uploads import new_file

SHOWN_AT_ONCE = 20  # rows by which a table grows
OFF = {"value": None, "interactive": False}


class Handlers:
    """What the events of the page do; every one gets the language and the model that are chosen.

    Args:
        models: What answers for each model, by its name.
        settings: Limits.
    """

    def __init__(self, models: dict[str, Answers], settings: Settings):
        self.models, self.settings = models, settings

    def greet(self, request: gr.Request) -> str:
        """The language of a visitor's browser."""
        return preferred(request.headers.get("accept-language", ""))

    def fetch(self, url: str, language: str) -> str:
        """Fetch a picture from the web into the upload."""
        try:
            return str(fetch_to_file(url, self.settings.limits.max_bytes))
        except XrayError as error:
            raise gr.Error(ALL[language].error(error), print_exception=False) from None

    def look(self, file: str | None, anyway: bool, language: str, model: str) -> tuple:
        """Look at an upload: what a session remembers, scores, verdict and preview."""
        answers = self.models[model]
        seen = answers.shown(answers.look(file, ALL[language]))
        return seen, *self.look_again(seen, anyway, language), seen.image

    def look_if_any(self, file: str | None, anyway: bool, language: str, model: str) -> tuple:
        """Like `look`, where there may be nothing yet to look at."""
        return self.look(file, anyway, language, model) if file else (None, None, "", None)

    def look_again(self, seen: Seen | None, anyway: bool, language: str) -> tuple:
        """Scores and verdict of what was looked at already."""
        if seen is None:
            return None, ""
        scores = None if seen.doubt and not anyway else seen.scores
        return scores, self.models[seen.model].verdict(seen, anyway, ALL[language])

    def paint(self, seen: Seen | None, anyway: bool, label: str, opacity: float, colours: str, language: str) -> tuple:
        """The map of a class over the picture, as a file too, and what there is to say of it; no forward pass."""
        if seen is None or label not in seen.scores:  # a class of the model that was chosen before
            return None, gr.update(**OFF), ""
        answers = self.models[seen.model]
        if seen.doubt and not anyway:
            return None, gr.update(**OFF), answers.verdict(seen, anyway, ALL[language])
        image, is_empty = answers.overlay(seen, label, opacity, colours)
        path = new_file("grad-cam.png")
        image.save(path)
        note = ALL[language]("empty_map", label=label) if is_empty else ""
        return (seen.image, str(path)), gr.update(value=str(path), interactive=True), note

    def compare(self, wanted: bool, file: str | None, anyway: bool, language: str):
        """What every model says of an upload, side by side, if that is asked for."""
        if not wanted or not file:
            return gr.update(visible=False, value=None)
        head, table = compare(self.models.values(), file, anyway, ALL[language])
        return gr.update(visible=True, value={"headers": head, "data": table})

    def run_batch(
        self, files: Sequence[str] | None, language: str, model: str, progress: gr.Progress = gr.Progress()
    ) -> Iterator[tuple]:
        """The table of many pictures, growing, and at the end the file of it."""
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
