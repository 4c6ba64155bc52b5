"""Choose the models to serve: folders, or repositories on the Hub, each at one commit."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from space.errors import UsageError
from space.inference.repository import check_model

BUNDLED = Path(__file__).parents[1] / "default-model"
PIN = Path(__file__).parents[2] / "model.json"  # in a Space that hub.push made: the model and its commit
MOST_MODELS = 5
PINNED = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})", re.ASCII)
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class ModelId:
    """Where a model is.

    Attributes:
        name: Folder, or `owner/name` on the Hub.
        revision: Commit SHA (40 hexadecimal digits) on the Hub; None for a folder.
    """

    name: str
    revision: str | None = None

    @property
    def shown(self) -> str:
        """Its name on the page."""
        return f"{self.name}@{self.revision[:7]}" if self.revision else Path(self.name).resolve().name

    @property
    def link(self) -> str:
        """Its name on the page in Markdown, linked to that revision on the Hub."""
        return f"[`{self.shown}`]({HUB}/{self.name}/tree/{self.revision})" if self.revision else f"`{self.shown}`"


def choose_models(text: str | None) -> list[ModelId]:
    """Decide which models to serve.

    Args:
        text: See `parse_model_ids`; None: `MODEL_ID`, else what model.json pins, else the bundled model.
    """
    if chosen := text or os.environ.get("MODEL_ID"):
        return parse_model_ids(chosen)
    if PIN.is_file():
        pin = json.loads(PIN.read_text(encoding="utf-8"))
        return [ModelId(pin["model"], pin["revision"])]
    return [ModelId(str(BUNDLED))]


def parse_model_ids(text: str) -> list[ModelId]:
    """Read a list of models, as in `owner/name@COMMIT,runs/mine`.

    Args:
        text: Up to five folders and pinned repositories, separated by commas.

    Raises:
        UsageError: There are none or too many, two have the same name, or one is neither a folder nor pinned.
    """
    models = [_parse(part) for part in map(str.strip, text.split(",")) if part]
    if not 0 < len(models) <= MOST_MODELS:
        raise UsageError(f"{len(models)} models were named in {text!r}; 1 to {MOST_MODELS} can be served.")
    names = [model.shown for model in models]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"two models have the name {twice[0]!r}: give each model once, and rename folders of the same name."
        )
    return models


def _parse(part: str) -> ModelId:
    if Path(part).exists():
        check_model(part, "model")
        return ModelId(part)
    if match := PINNED.fullmatch(part):
        return ModelId(match["name"], match["revision"])
    raise UsageError(
        f"model {part}: no such folder. To serve a model from the Hub, write OWNER/NAME@COMMIT with all 40 digits of "
        f"the commit ({HUB}/OWNER/NAME/commits/main lists them), so that it never changes while it is served."
    )
