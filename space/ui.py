"""The page: tabs for one picture, its Grad-CAM, many pictures and the model."""

from collections.abc import Iterator

import gradio as gr

from space.answers import Answers, Seen, new_file
from space.api import add_endpoints
from space.batch import header, open_items, rows, save_table
from space.download import fetch
from space.errors import XrayError
from space.gradcam import PALETTES
from space.texts import ALL, LANGUAGES, Texts, preferred

# No share button: it would upload the visitor's X-ray to a public forum.
PICTURE = {"interactive": False, "format": "png", "buttons": ["download", "fullscreen"]}
SILENT = {"api_visibility": "private", "show_progress": "hidden"}
SHOWN_AT_ONCE = 20  # rows by which a table grows
KEPT_SECONDS = 3600  # how long uploads and sessions are kept, and how often that is looked after


class Page:
    """The components of the page, and what their events do.

    Args:
        answers: What answers.
    """

    def __init__(self, answers: Answers):
        self.answers, self.settings = answers, answers.settings
        self._texts: list[tuple[gr.blocks.Block, dict[str, str]]] = []  # component, {property: key of its text}

    def build(self) -> gr.Blocks:
        """Lay out the page and connect its events."""
        title = ALL["en"]("title")
        with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as demo:
            self.seen = gr.State(None, time_to_live=KEPT_SECONDS)
            self._head()
            with self._make(gr.Tab, {"label": "tab_classify"}), gr.Row():
                self._classify_tab()
            with self._make(gr.Tab, {"label": "tab_gradcam"}), gr.Row():
                self._gradcam_tab()
            with self._make(gr.Tab, {"label": "tab_batch"}):
                self._batch_tab()
            with self._make(gr.Tab, {"label": "tab_about"}):
                self._make(gr.Markdown, {"value": "figures_left_out" if self.answers.facts.card else "no_card"})
                gr.Markdown(self.answers.facts.card)
            self._connect(demo)
            add_endpoints(self.answers)
        return demo.queue(max_size=self.settings.max_queue, default_concurrency_limit=self.settings.concurrency)

    def _make(self, kind, texts: dict[str, str], **options):
        """A component whose texts, {property: key}, follow the language."""
        component = kind(**{name: self._sentence(key, ALL["en"]) for name, key in texts.items()}, **options)
        self._texts.append((component, texts))
        return component

    def _sentence(self, key: str, texts: Texts) -> str:
        known = {"megabytes": self.settings.max_upload_mb, "files": self.settings.max_batch_files}
        return texts(key, link=self.answers.facts.link, **known)

    def _head(self) -> None:
        with gr.Row():
            with gr.Column(scale=4):
                self._make(gr.Markdown, {"value": "heading"})
                self._make(gr.Markdown, {"value": "notice"})
                self._make(gr.Markdown, {"value": "model"})
            choices = [(name, code) for code, name in LANGUAGES.items()]
            self.language = gr.Radio(choices, value="en", label="Language / Язык", min_width=160)

    def _classify_tab(self) -> None:
        with gr.Column():
            self.file = self._make(gr.File, {"label": "file"})
            self._make(gr.Markdown, {"value": "file_hint"})
            with self._make(gr.Accordion, {"label": "other_ways"}, open=False):
                self.pasted = self._make(gr.Image, {"label": "paste"}, sources=["clipboard"], type="filepath")
                if self.settings.allow_url_input:
                    self.url = self._make(gr.Textbox, {"label": "url"}, max_lines=1)
                    self.fetch = self._make(gr.Button, {"value": "fetch"})
            self.anyway = self._make(gr.Checkbox, {"label": "anyway"})
            self.button = self._make(gr.Button, {"value": "classify"}, variant="primary")
        with gr.Column():
            self.scores = self._make(gr.Label, {"label": "probabilities"})
            self.verdict = gr.Markdown()
            self.preview = self._make(gr.Image, {"label": "as_read"}, **PICTURE)

    def _gradcam_tab(self) -> None:
        labels, point = self.answers.classifier.labels, self.answers.classifier.operating_point
        with gr.Column():
            default = point["positive_label"] if point else labels[0]
            self.target = self._make(gr.Radio, {"label": "class"}, choices=labels, value=default)
            self.opacity = self._make(gr.Slider, {"label": "opacity"}, minimum=0, maximum=1, value=0.6, step=0.05)
            self.colours = self._make(gr.Radio, {"label": "colours"}, choices=list(PALETTES), value="inferno")
            self.download = self._make(gr.DownloadButton, {"label": "download_map"}, interactive=False)
        with gr.Column():
            self.slider = self._make(gr.ImageSlider, {"label": "compare"}, interactive=False, format="png")
            self.note = gr.Markdown()
            self._make(gr.Markdown, {"value": "caption"})

    def _batch_tab(self) -> None:
        self.files = self._make(gr.File, {"label": "many_files"}, file_count="multiple")
        self.run = self._make(gr.Button, {"value": "run_batch"}, variant="primary")
        self.table = self._make(gr.Dataframe, {"label": "table"}, interactive=False, wrap=True)
        self.csv = self._make(gr.File, {"label": "download_table"}, interactive=False)

    def _connect(self, demo: gr.Blocks) -> None:
        looked = [self.seen, self.scores, self.verdict, self.preview]
        painted = [self.slider, self.download, self.note]
        how = [self.target, self.opacity, self.colours, self.language]
        asked = [self.file, self.anyway, self.language]
        look = {"fn": self._look, "inputs": asked, "outputs": looked, "api_visibility": "private"}
        again = {"fn": self._look_again, "inputs": [self.seen, *asked[1:]], "outputs": looked[1:3]} | SILENT
        paint = {"fn": self._paint, "inputs": [self.seen, self.anyway, *how], "outputs": painted} | SILENT
        gr.on([self.file.upload, self.button.click], **look).then(**paint)
        self.anyway.input(**again).then(**paint)
        gr.on([self.target.input, self.opacity.change, self.colours.input], **paint, trigger_mode="always_last")
        self.file.clear(lambda: [None] * 7, None, looked + painted, **SILENT)
        self.pasted.upload(lambda path: path, self.pasted, self.file, **SILENT).then(**look).then(**paint)
        if self.settings.allow_url_input:
            fetch_it = {"fn": self._fetch, "inputs": [self.url, self.language], "outputs": self.file}
            given = gr.on([self.fetch.click, self.url.submit], **fetch_it, api_visibility="private")
            given.success(**look).then(**paint)
        self.run.click(self._batch, [self.files, self.language], [self.table, self.csv], api_visibility="private")
        components = [component for component, _ in self._texts]
        self.language.change(self._relabel, self.language, components, **SILENT).then(**again).then(**paint)
        demo.load(self._greet, None, self.language, **SILENT)

    def _greet(self, request: gr.Request) -> str:
        """The language of a visitor's browser."""
        return preferred(request.headers.get("accept-language", ""))

    def _look(self, file: str | None, anyway: bool, language: str):
        """Look at an upload: what a session remembers, scores, verdict and preview."""
        texts = ALL[language]
        seen = self.answers.shown(self.answers.look(file, texts))
        return seen, *self._look_again(seen, anyway, language), seen.image

    def _look_again(self, seen: Seen | None, anyway: bool, language: str):
        """Scores and verdict of what was looked at already."""
        if seen is None:
            return None, ""
        scores = None if seen.doubt and not anyway else seen.scores
        return scores, self.answers.verdict(seen, anyway, ALL[language])

    def _paint(self, seen: Seen | None, anyway: bool, label: str, opacity: float, colours: str, language: str):
        """The map of a class over the picture, as a file too, and what there is to say of it; no forward pass."""
        off = gr.update(value=None, interactive=False)
        if seen is None:
            return None, off, ""
        if seen.doubt and not anyway:
            return None, off, self.answers.verdict(seen, anyway, ALL[language])
        image, is_empty = self.answers.overlay(seen, label, opacity, colours)
        path = new_file("grad-cam.png")
        image.save(path)
        note = ALL[language]("empty_map", label=label) if is_empty else ""
        return (seen.image, str(path)), gr.update(value=str(path), interactive=True), note

    def _fetch(self, url: str, language: str) -> str:
        """Fetch a picture from the web into the upload."""
        try:
            content = fetch(url, self.settings.limits.max_bytes)
        except XrayError as error:
            raise gr.Error(ALL[language].error(error), print_exception=False) from None
        path = new_file("fetched")
        path.write_bytes(content)
        return str(path)

    def _batch(self, files: list[str] | None, language: str, progress: gr.Progress = gr.Progress()) -> Iterator[tuple]:
        """The table of many pictures, growing, and at the end the file of it."""
        texts = ALL[language]
        table: list[list[str]] = []
        head = header(self.answers, texts)
        items = open_items(files, self.settings.max_batch_files, texts)
        for row in rows(self.answers, items, texts):
            table.append(row)
            if len(table) % SHOWN_AT_ONCE == 0:
                progress((len(table), len(items)), desc=texts("working", done=len(table), n=len(items)))
                yield {"headers": head, "data": table}, None
        yield {"headers": head, "data": table}, save_table(head, table)

    def _relabel(self, language: str) -> list:
        """All texts of the page in a language."""
        texts = ALL[language]
        return [
            gr.update(**{name: self._sentence(key, texts) for name, key in keys.items()}) for _, keys in self._texts
        ]


def build_ui(answers: Answers) -> gr.Blocks:
    """Build the page around a model, with the endpoints `/classify`, `/explain` and `/batch` (see `space.api`)."""
    return Page(answers).build()
