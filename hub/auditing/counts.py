"""How many images of which split, class and origin a dataset has, and what these numbers warn of."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hub.dataset.image_summary import AuditedImage
from train.data.dataset import SPLITS


def count_images(images: Sequence[AuditedImage]) -> dict[str, dict[str, int]]:
    """{split: {class: images}}, splits in their usual order."""
    counts = Counter((image.record.split, image.record.label) for image in images)
    labels = sorted({label for _, label in counts})
    present = {split for split, _ in counts}
    ordered = [split for split in SPLITS if split in present] + sorted(present - set(SPLITS))
    return {split: {label: counts[split, label] for label in labels} for split in ordered}


def count_origins(images: Sequence[AuditedImage]) -> dict[str, dict[str, dict[str, int]]]:
    """{origin: {split: {class: images}}}, in the order of their first images; images of unknown origin are left out."""
    of_origin: dict[str, list[AuditedImage]] = {}
    for image in images:
        if origin := image.record.facts.get("origin"):
            of_origin.setdefault(origin, []).append(image)
    return {origin: count_images(own) for origin, own in of_origin.items()}


def one_origin_warnings(origins: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """A sentence for every class whose images come from one origin alone, although there are several.

    Args:
        origins: From `count_origins`.
    """
    if len(origins) < 2:
        return []
    origins_of: dict[str, set[str]] = {}
    for origin, splits in origins.items():
        for label in {label for of_split in splits.values() for label, n in of_split.items() if n}:
            origins_of.setdefault(label, set()).add(origin)
    return [
        f"All images of class {label} come from {next(iter(names))}: a model may learn the machine, not the class."
        for label, names in sorted(origins_of.items())
        if len(names) == 1
    ]
