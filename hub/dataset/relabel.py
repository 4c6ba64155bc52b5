"""Classes renamed, merged or dropped, so that datasets can be compared."""

from collections.abc import Sequence
from dataclasses import replace

from hub.layouts.base import Layout, Record
from space.errors import UsageError


def apply_map(
    records: Sequence[Record], layout: Layout, mapping: dict[str, str | None]
) -> tuple[list[Record], dict[str, str]]:
    """Rename, merge and drop classes; those that the map does not name stay.

    Args:
        records: Images with the layout's classes.
        layout: Gives order and meaning of the classes.
        mapping: From `train.data.label_map.read_map`; empty: nothing is changed.

    Returns:
        The images that are left, and {class: its meaning} in the order of the dataset's indices.

    Raises:
        UsageError: The map names a class that the source does not have, or fewer than two classes are left.
    """
    present = {record.label for record in records}
    ordered = [label for label in layout.labels if label in present] or sorted(present)
    if unknown := [name for name in mapping if name not in present]:
        raise UsageError(
            f"--labels: the source has no class {', '.join(unknown)} (case matters). Its classes: {', '.join(ordered)}."
        )
    meanings: dict[str, list[str]] = {}
    for label in ordered:
        if (name := mapping.get(label, label)) is not None:
            meaning = layout.labels.get(label, "as the folder or metadata.csv names it")
            meanings.setdefault(name, []).append(meaning if name == label else f"{label}: {meaning}")
    folded = [name.casefold() for name in meanings]
    if alike := [name for name in meanings if folded.count(name.casefold()) > 1]:
        raise UsageError(f"classes {', '.join(alike)} differ only in case. Give them one name with --labels.")
    if len(meanings) < 2:
        raise UsageError(
            f"a classifier needs at least two classes, but only these are left: {', '.join(meanings) or 'none'}."
        )
    kept = [replace(r, label=name) for r in records if (name := mapping.get(r.label, r.label)) is not None]
    return kept, {name: "; ".join(texts) for name, texts in meanings.items()}
