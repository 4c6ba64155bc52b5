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


def check_run(folder: Path, public: bool) -> None:
    """Refuse a run that was not evaluated, or whose predictions may name persons, if everybody is to see it.

    Raises:
        UsageError: With the reason.
    """
    audit = read_results(folder / "results.json").dataset.audit
    if public and audit and audit.names_kept:
        raise UsageError(f"--public: predictions.csv in {folder} has {NAMES}")


def check_dataset(folder: Path, public: bool) -> None:
    """Open a dataset as its users will, and hold it against its files; if everybody is to see it, ask for its licence.

    Raises:
        UsageError: A file is damaged or belongs to no split, the card tells other classes or sizes than the files, or
            the images must not be public.
    """
    if public:
        _check_licence(folder)
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


def _check_licence(folder: Path) -> None:
    """Refuse to publish images whose licence does not say that anybody may redistribute them.

    Raises:
        UsageError: With the reason.
    """
    try:
        report = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        if facts := report.get("merge"):
            name, note = str(facts["license"]), "the strictest of its sources'"
        else:
            facts = report["conversion"]
            name, note = LAYOUTS[facts["layout"]].license, LAYOUTS[facts["layout"]].license_note
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"--public: {folder} has no audit.json from hub.convert or hub.merge, so its licence is not known."
        ) from None
    if facts.get("names_kept"):
        raise UsageError(f"--public: {folder} has {NAMES}")
    if name not in FREE:
        raise UsageError(
            f"--public: as far as we know, the licence of these images ({name}) does not allow publishing them: "
            f"{note}. Push without --public to keep the repository private."
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
