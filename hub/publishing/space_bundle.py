"""The folder of a Space: app.py and space/ as they are here, card and pins lifted to where the Hub looks for them."""

import json
import shutil
from pathlib import Path

from huggingface_hub import RepoCard

from hub.publishing.allowlist import Contents
from space.errors import UsageError
from space.inference.classifier import GOLDEN_FILE
from space.inference.graph import FILE as GRAPH_FILE
from space.inference.guard import FILE as GUARD_FILE
from space.inference.lungs import BUNDLED as LUNG_SEGMENTER
from space.results.results_file import read_results

ROOT = Path(__file__).resolve().parents[2]
SPACE_CARD = ROOT / "space" / "README.md"
BUNDLED = ROOT / "space" / "default-model"
# What a Space reads of a model repository.
FETCHED = (GRAPH_FILE, GOLDEN_FILE, GUARD_FILE, "config.json", "README.md", "results.json")
PIN = "model.json"  # tells app.py which model to load, and which commit of it
PRIVATE = """
## What must its owner set?

The model {model} is private, so the Space needs a token that can read it. Make one with read permission at
https://huggingface.co/settings/tokens, and add it in the Space's settings as a secret named `HF_TOKEN`. Without it, the
Space does not start.
"""
# Nothing that a Space does needs lung masks, nor where its model was pushed to.
NOT_COPIED = shutil.ignore_patterns("pushed.json", "__pycache__", "*.pyc", ".*", LUNG_SEGMENTER.name)


def build_bundle(source: Path, folder: Path) -> Contents:
    """Write a Space's folder.

    Args:
        source: A run folder that was pushed, whose commit the Space will load; or the bundled model's folder, which
            lies in the Space itself.
        folder: Where to write; must be empty.

    Returns:
        All files of it.

    Raises:
        UsageError: The run has no graph, or has not been pushed.
    """
    pin = pin_of(source)
    if not (source / GRAPH_FILE).is_file():
        raise UsageError(
            f"{source} has no {GRAPH_FILE}, which a Space computes with. Run `python -m train.export {source} --output "
            "FOLDER`, and push that folder."
        )
    shutil.copy2(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "space", folder / "space", ignore=NOT_COPIED)
    shutil.copy2(ROOT / "space" / "requirements.txt", folder)
    shutil.copy2(ROOT / "LICENSE", folder)
    if pin:
        (folder / PIN).write_text(f"{json.dumps(pin)}\n", encoding="utf-8")
    write_card(source, folder / "README.md", private=bool(pin) and not _read_pushed(source).get("public"))
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return Contents({path.relative_to(folder).as_posix(): path for path in paths}, [])


def write_card(source: Path, path: Path, private: bool) -> None:
    """Write the card of a Space, whose header tells the Hub what to install and fetch.

    Args:
        source: The run folder.
        path: The card.
        private: The model's repository is private. The Hub fetches nothing from it while it builds a Space, and the
            Space itself needs a token, which the card says.

    Raises:
        UsageError: There is no results.json, or the run has not been pushed.
    """
    card, results, pin = RepoCard(SPACE_CARD.read_text("utf-8")), read_results(source / "results.json"), pin_of(source)
    if pin:
        card.data["models"] = [pin["model"]]
    if pin and not private:
        needed = [name for name in FETCHED if (source / name).is_file()]
        card.data["preload_from_hub"] = [f"{pin['model']} {','.join(needed)} {pin['revision']}"]
    if "/" in results.dataset.name:
        card.data["datasets"] = [results.dataset.name]
    path.write_text(str(card) + (PRIVATE.format(**pin) if private else ""), encoding="utf-8")


def pin_of(source: Path) -> dict[str, str] | None:
    """{"model": repository, "revision": commit} of a pushed run folder; None for the bundled model, which needs none.

    Raises:
        UsageError: The run has not been pushed.
    """
    if source.resolve() == BUNDLED.resolve():
        return None
    try:
        pushed = _read_pushed(source)
        return {"model": pushed["repo"], "revision": pushed["commit"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{source} has not been pushed. A Space loads its model from the Hub, so run `python -m hub.push model "
            f"{source} USER/NAME` first. To try a Space without a model of your own, give {BUNDLED.relative_to(ROOT)}."
        ) from None


def _read_pushed(source: Path) -> dict:
    return json.loads((source / "pushed.json").read_text(encoding="utf-8"))
