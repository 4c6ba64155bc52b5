"""Where a run folder in the making keeps its checkpoints, and whether there are any."""

from pathlib import Path


def checkpoints_of(run: Path) -> Path:
    """The folder of a run's checkpoints."""
    return run / "checkpoints"


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in such a folder, the earliest first; those that are being written are left out."""
    return sorted(path for path in folder.glob("step-*") if path.suffix != ".partial")


def has_checkpoint(run: Path) -> bool:
    """Whether there is something to resume from."""
    return bool(list_checkpoints(checkpoints_of(run)))
