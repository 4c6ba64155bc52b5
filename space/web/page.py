"""The page: tabs for one image, its Grad-CAM, many images and the model."""

from collections.abc import Sequence
from functools import partial

import gradio as gr

from space.inference.heatmap import PALETTES
from space.web.batch import header
from space.web.endpoints import add_endpoints
from space.web.events import Handlers, class_choices
from space.web.service import EXAMPLES, ModelService
from space.web.settings import Settings
from space.web.texts import ALL, LANGUAGES, Texts
from space.web.uploads import KEPT_SECONDS

# No share button: it would upload the visitor's X-ray to a public forum.
IMAGE = {"interactive": False, "format": "png", "buttons": ["download", "fullscreen"]}
PRIVATE = {"api_visibility": "private"}
MAP = {"interactive": False, "format": "png"}
SILENT = PRIVATE | {"show_progress": "hidden"}
# The sentence on maps that a model's own deletion test supports.
CAPTIONS = {True: "caption_more", False: "caption_no_more", None: "caption_untested"}


class Page:
    """The components of the page, and which event does what (see `space.web.events`).

    Args:
        models: The services, by their model's name; the first is chosen when the page opens.
        settings: Limits.
    """

    def __init__(self, models: dict[str, ModelService], settings: Settings):
        self.models, self.settings, self.do = models, settings, Handlers(models, settings)
        self.first, self.several = next(iter(models.values())), len(models) > 1
        self._texts: list[tuple[gr.blocks.Block, dict[str, str]]] = []  # component, {property: key of its text}

    def build(self) -> gr.Blocks:
        """Lay out the page and connect its events."""
        title = ALL["en"]("title")
        with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as demo:
            self.examined = gr.State(None, time_to_live=KEPT_SECONDS)
            self._head()
            with self._make(gr.Tab, {"label": "tab_classify"}), gr.Row():
                self._classify_tab()
            with self._make(gr.Tab, {"label": "tab_gradcam"}), gr.Row():
                self._gradcam_tab()
            with self._make(gr.Tab, {"label": "tab_batch"}):
                self._batch_tab()
            with self._make(gr.Tab, {"label": "tab_about"}):
                self.card = gr.Markdown(self._card(self.first, ALL["en"]))
            self._connect(demo)
            add_endpoints(self.models, self.settings)
        return demo.queue(max_size=self.settings.max_queue, default_concurrency_limit=self.settings.concurrency)

    def _make(self, kind, texts: dict[str, str], **options):
        """A component whose texts, {property: key}, follow the language."""
        component = kind(**{name: self._sentence(key, ALL["en"], self.first) for name, key in texts.items()}, **options)
        self._texts.append((component, texts))
        return component

    def _sentence(self, key: str, texts: Texts, service: ModelService) -> str:
        values = {"megabytes": self.settings.max_upload_mb, "files": self.settings.max_batch_files}
        values |= {"link": service.facts.model.link, "labels": ", ".join(service.classifier.labels)}
        sentence = texts(key, **values)
        if key == "model" and service.facts.population:
            return f"{sentence} {texts('population', population=service.facts.population)}"
        return f"{sentence} {texts(CAPTIONS[service.facts.hottest_counts_more])}" if key == "caption" else sentence

    def _card(self, service: ModelService, texts: Texts) -> str:
        return service.facts.card or texts("no_card")

    def _head(self) -> None:
        with gr.Row():
            with gr.Column(scale=4):
                self._make(gr.Markdown, {"value": "heading"})
                self._make(gr.Markdown, {"value": "notice"})
                self._make(gr.Markdown, {"value": "model"})
            choices = [(name, code) for code, name in LANGUAGES.items()]
            self.language = gr.Radio(choices, value="en", label="Language / Язык", min_width=160)
        names = list(self.models)
        self.model = self._make(
            gr.Dropdown, {"label": "choose_model"}, choices=names, value=names[0], visible=self.several
        )

    def _classify_tab(self) -> None:
        with gr.Column():
            self.file = self._make(gr.File, {"label": "file"})
            self._make(gr.Markdown, {"value": "file_hint"})
            gr.set_static_paths([EXAMPLES])  # shown from where they are, not from among the uploads, which are deleted
            self._make(gr.Markdown, {"value": "examples"})
            with gr.Row():
                self.examples = {
                    path: self._make(gr.Button, {"value": path.stem}, icon=path, size="sm", min_width=120)
                    for path in sorted(EXAMPLES.glob("*.png"))
                }
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
            self.compare = self._make(gr.Checkbox, {"label": "compare_models"}, visible=self.several)
            table = {"interactive": False, "wrap": True, "visible": False}
            self.side_by_side = self._make(gr.Dataframe, {"label": "side_by_side"}, **table)
            self.preview = self._make(gr.Image, {"label": "as_read"}, **IMAGE)

    def _gradcam_tab(self) -> None:
        with gr.Column():
            self.target = self._make(gr.Radio, {"label": "class"}, **class_choices(self.first))
            self.opacity = self._make(gr.Slider, {"label": "opacity"}, minimum=0, maximum=1, value=0.6, step=0.05)
            self.colours = self._make(gr.Radio, {"label": "colours"}, choices=list(PALETTES), value="inferno")
            self.download = self._make(gr.DownloadButton, {"label": "download_map"}, interactive=False)
        with gr.Column():
            self.slider = self._make(gr.ImageSlider, {"label": "compare"}, slider_position=8, **MAP)
            self.note = gr.Markdown()
            self._make(gr.Markdown, {"value": "caption"})

    def _batch_tab(self) -> None:
        self.files = self._make(gr.File, {"label": "many_files"}, file_count="multiple")
        self.run = self._make(gr.Button, {"value": "run_batch"}, variant="primary")
        # Wide enough for words, also where a screen then shows a part of the table only.
        widths = ["160px", *["115px"] * (len(header(self.first, ALL["en"])) - 2), "300px"]
        self.table = self._make(
            gr.Dataframe,
            {"label": "table"},
            interactive=False,
            wrap=True,
            column_widths=None if self.several else widths,
        )
        self.csv = self._make(gr.File, {"label": "download_table"}, interactive=False)

    def _connect(self, demo: gr.Blocks) -> None:
        do, language, model = self.do, self.language, self.model
        for path, button in self.examples.items():
            button.click(partial(str, path), None, self.file, **SILENT)
        self.pasted.upload(lambda path: (path, None), self.pasted, [self.file, self.pasted], **SILENT)
        if self.settings.allow_url_input:
            gr.on([self.fetch.click, self.url.submit], do.fetch_image, [self.url, language], self.file, **PRIVATE)
        # However fast the inputs change, every event runs on the latest of them.
        last = {"trigger_mode": "always_last"}
        outputs = [self.examined, self.preview, self.target]
        self.file.change(do.change_file, [self.file, model], [*outputs, self.anyway], **PRIVATE, **last)
        self.button.click(do.examine, [self.file, model], outputs, **PRIVATE, **last)
        changed, inputs = [self.examined.change, self.anyway.input, language.change], [self.examined, self.anyway]
        gr.on(changed, do.show_scores, [*inputs, language], [self.scores, self.verdict], **SILENT, **last)
        map_outputs = [self.slider, self.download, self.note]
        inputs += [self.target, self.opacity, self.colours, language]
        map_changed = [self.target.change, self.opacity.change, self.colours.input]
        gr.on([*changed, *map_changed], do.show_map, inputs, map_outputs, **SILENT, **last)
        compared = [self.compare, self.file, self.anyway, language]
        if self.several:
            gr.on([*changed, self.compare.input], do.compare_models, compared, self.side_by_side, **SILENT, **last)
        table = [self.table, self.csv]
        self.run.click(do.classify_all, [self.files, language, model], table, **PRIVATE)
        model.input(do.change_model, [self.file, model], [*outputs, *table], **SILENT, **last)
        texts = [self.card, *(component for component, _ in self._texts)]
        gr.on([language.change, model.input], self._relabel, [language, model], texts, **SILENT, **last)
        demo.load(do.choose_language, None, language, **SILENT)

    def _relabel(self, language: str, model: str) -> list:
        """The card, and all texts of the page in a language."""
        texts, service = ALL[language], self.models[model]
        return [self._card(service, texts)] + [
            gr.update(**{name: self._sentence(key, texts, service) for name, key in keys.items()})
            for _, keys in self._texts
        ]


def build_ui(services: Sequence[ModelService], settings: Settings) -> gr.Blocks:
    """Build the page around models, with the endpoints of `space.web.endpoints`."""
    return Page({service.name: service for service in services}, settings).build()
