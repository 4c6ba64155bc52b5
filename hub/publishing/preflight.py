"""Checks that a folder must pass before anything in it is published."""

import json
import subprocess
import sys
from pathlib import Path

from datasets import Features
from pyarrow.parquet import ParquetFile

from hub.dataset.stored_dataset import StoredDataset
from hub.layouts.registry import LAYOUTS
from hub.publishing.space_bundle import ROOT
from space.errors import ChestXrayError, UsageError
from space.results.results_file import read_results
from train.data.dataset import content_digest, open_splits

NAMES = (
    "the original file names or patient keys (--keep-names), which may identify people. Convert without --keep-names, "
    "or push without --public."
)
FREE = ("apache-2.0", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "mit")
UNCHECKED = {layout.link for layout in LAYOUTS.values() if not layout.license_checked}


def check_run(folder: Path, public: bool) -> None:
    """Refuse a run that was not evaluated, or whose predictions may name persons, if everybody is to see it.

    Raises:
        UsageError: With the reason.
    """
    audit = read_results(folder / "results.json").dataset.audit
    if public and audit and audit.names_kept:
        raise UsageError(f"--public: predictions.csv in {folder} has {NAMES}")


def check_dataset(folder: Path, public: bool, licence: str | None = None) -> None:
    """Open a dataset as its users will, and hold it against its files; if everybody is to see it, ask for its licence.

    Args:
        folder: The dataset folder.
        public: Whether everybody is to see it.
        licence: The licence that its publisher states, having checked it; None: the one that we know of.

    Raises:
        UsageError: A file is damaged or belongs to no split, the card tells other classes or sizes than the files, or
            the images must not be public.
    """
    if licence and licence not in FREE:
        raise UsageError(
            f"--licence {licence} is not a licence under which anybody may share. One of: {', '.join(FREE)}."
        )
    if public:
        _check_licence(folder, licence)
    StoredDataset(str(folder))  # opens every file, and raises if one is damaged
    splits = open_splits(str(folder), content_digest(folder), f"{folder}", "a folder made by `python -m hub.convert`")
    for path in sorted(folder.rglob("*.parquet")):
        if path.name.partition("-")[0] not in splits:
            raise UsageError(
                f"{folder}: {path.name} belongs to none of the card's splits ({', '.join(splits)}). Delete it."
            )
    for split, rows in splits.items():
        files = [ParquetFile(path) for path in sorted(folder.rglob(f"{split}-*.parquet"))]
        features = [Features.from_arrow_schema(file.schema_arrow) for file in files]
        n_rows = sum(file.metadata.num_rows for file in files)
        if not files or any(of_file != rows.features for of_file in features) or len(rows) != n_rows:
            raise UsageError(
                f"{folder}: card and files disagree about the columns, classes or size of split {split}. Run "
                f"`python -m hub.audit {folder}` to rewrite the card, or convert again."
            )


def _check_licence(folder: Path, stated: str | None) -> None:
    """Refuse to publish images whose licence does not say that anybody may redistribute them, or was not checked.

    Raises:
        UsageError: With the reason.
    """
    try:
        report = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        if facts := report.get("merge"):
            unchecked = [str(source["origin"]) for source in facts["sources"] if source["link"] in UNCHECKED]
            name, note = str(facts["license"]), "the strictest of its sources'"
            note += f"; that of {', '.join(unchecked)} was not verified" if unchecked else ""
        else:
            facts = report["conversion"]
            layout = LAYOUTS[facts["layout"]]
            name, note, unchecked = layout.license, layout.license_note, not layout.license_checked
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"--public: {folder} has no audit.json from hub.convert or hub.merge, so its licence is not known."
        ) from None
    if facts.get("names_kept"):
        raise UsageError(f"--public: {folder} has {NAMES}")
    if stated:
        name, note = stated, "as stated with --licence"
    elif name not in FREE or unchecked:
        why = "has to be checked before they are published" if name in FREE else "does not allow publishing them"
        raise UsageError(
            f"--public: as far as we know, the licence of these images ({name}) {why}: {note}. Push without --public, "
            f"or, if you have checked it, state it with --licence ({', '.join(FREE)})."
        )
    print(f"licence {name}: {note}")


def verify_in_fresh_process(folder: Path) -> None:
    """Run `hub.verify` on a folder in a process that has nothing loaded.

    Raises:
        ChestXrayError: The model is not what its run recorded.
    """
    command = [sys.executable, "-m", "hub.verify", str(folder.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)  # noqa: S603 - our own program
    if done.returncode:
        lines = done.stderr.splitlines()
        reason = next((line for line in lines if line.startswith("error: ")), "".join(lines[-1:]))
        raise ChestXrayError(f"the model failed its check. {reason.removeprefix('error: ')}")
