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
# Nothing that a Space does needs lung masks.
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", LUNG_SEGMENTER.name)


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
    results, pin = read_results(source / "results.json"), pin_of(source)
    if not (source / GRAPH_FILE).is_file():
        raise UsageError(
            f"{source} has no {GRAPH_FILE}, which a Space computes with. Run `python -m train.export {source} --output "
            "FOLDER`, and push that folder."
        )
    shutil.copy2(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "space", folder / "space", ignore=NOT_COPIED)
    shutil.copy2(ROOT / "space" / "requirements.txt", folder)
    shutil.copy2(ROOT / "LICENSE", folder)
    card = RepoCard(SPACE_CARD.read_text(encoding="utf-8"))
    if pin:
        card.data["models"] = [pin["model"]]
        needed = [name for name in FETCHED if (source / name).is_file()]
        card.data["preload_from_hub"] = [f"{pin['model']} {','.join(needed)} {pin['revision']}"]
        (folder / PIN).write_text(f"{json.dumps(pin)}\n", encoding="utf-8")
    if "/" in results.dataset.name:
        card.data["datasets"] = [results.dataset.name]
    (folder / "README.md").write_text(str(card), encoding="utf-8")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return Contents({path.relative_to(folder).as_posix(): path for path in paths}, [])


def pin_of(source: Path) -> dict[str, str] | None:
    """{"model": repository, "revision": commit} of a pushed run folder; None for the bundled model, which needs none.

    Raises:
        UsageError: The run has not been pushed.
    """
    if source.resolve() == BUNDLED.resolve():
        return None
    try:
        pushed = json.loads((source / "pushed.json").read_text(encoding="utf-8"))
        return {"model": pushed["repo"], "revision": pushed["commit"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{source} has not been pushed. A Space loads its model from the Hub, so run `python -m hub.push model "
            f"{source} USER/NAME` first. To try a Space without a model of your own, give {BUNDLED.relative_to(ROOT)}."
        ) from None
