"""Which models the page serves: folders, or repositories on the Hub, each at one commit."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from space.errors import UsageError, check_local

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
        """What the page calls it."""
        return f"{self.name}@{self.revision[:7]}" if self.revision else Path(self.name).resolve().name

    @property
    def link(self) -> str:
        """What the page calls it, in Markdown, leading to that revision on the Hub."""
        return f"[`{self.shown}`]({HUB}/{self.name}/tree/{self.revision})" if self.revision else f"`{self.shown}`"


def choose_models(text: str | None) -> tuple[list[ModelId], bool]:
    """Decide which models to serve, and whether code of chest CNNs among them may run (`TRUST_REMOTE_CODE=1`).

    Args:
        text: See `parse_model_ids`; None: `MODEL_ID`, else what model.json pins, else the bundled model.
    """
    trusted = os.environ.get("TRUST_REMOTE_CODE") == "1"
    if chosen := text or os.environ.get("MODEL_ID"):
        return parse_model_ids(chosen), trusted
    if PIN.is_file():
        pin = json.loads(PIN.read_text(encoding="utf-8"))
        return [ModelId(pin["model"], pin["revision"])], pin["trust_remote_code"]
    return [ModelId(str(BUNDLED))], trusted


def parse_model_ids(text: str) -> list[ModelId]:
    """Read a list of models, as in `owner/name@COMMIT,runs/mine`.

    Args:
        text: Up to five folders and pinned repositories, separated by commas.

    Raises:
        UsageError: There are none or too many, two have one name, or one is neither a folder nor pinned.
    """
    found = [_parse(part) for part in map(str.strip, text.split(",")) if part]
    if not 0 < len(found) <= MOST_MODELS:
        raise UsageError(f"{len(found)} models were named ({text!r}); 1 to {MOST_MODELS} can be served.")
    names = [one.shown for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"two models would be called {twice[0]!r}; name each once, and give folders names of their own."
        )
    return found


def _parse(part: str) -> ModelId:
    if Path(part).is_dir():
        return ModelId(part)
    check_local(part, "the model")
    if match := PINNED.fullmatch(part):
        return ModelId(match["name"], match["revision"])
    raise UsageError(
        f"the model {part!r} is neither a folder here nor a pinned repository. Write OWNER/NAME@COMMIT with the 40 "
        f"digits of the commit, which {HUB}/OWNER/NAME/commits/main shows: what is served must not change by itself."
    )
