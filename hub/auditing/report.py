"""What is wrong with a dataset, as audit.json holds it: copies, patients in two splits, shortcuts to the label."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from hub.auditing.audit_file import Conversion
from hub.auditing.counts import count_images, count_origins, one_origin_warnings
from hub.dataset.image_summary import AuditedImage
from train.common.atomic_output import write_text_whole
from train.data.duplicates import Copies, find_copies, group_pairs, merge_groups

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def audit(images: Sequence[AuditedImage], copies: Copies, conversion: Conversion | None, full: bool = True) -> dict:
    """Write up what is known of a dataset.

    Args:
        images: Its images, dropped ones too.
        copies: Which of them are copies of each other.
        conversion: How the dataset was made; None where that is not known.
        full: Also measure what takes time: shortcuts, distributions.

    Returns:
        `images` (images in the dataset), `counts`, `origins` ({origin: {split: {class: images}}}), `exact_duplicates`
        and `near_duplicates` (groups of {split, label, source}, with `dropped` where the image was left out),
        `label_conflicts` (groups of copies with several labels), `patients_across_splits` (per pair of splits),
        `dropped`, `kept_leaks`, `against` (empty: `compare` fills it), `conversion`, and, with `full`, `shortcuts`,
        `origin_shortcuts` (how well the origin can be guessed), `warnings`, `sizes` and `intensity`.
    """
    kept = [image for image in images if not image.dropped]
    groups = group_pairs(len(images), copies.pairs())
    counts = count_images(kept)
    report = {
        "images": len(kept),
        "counts": counts,
        "origins": count_origins(kept),
        **_patients(kept, counts),
        **_copies(images, copies, groups),
        "dropped": [_entry(image) for image in images if image.dropped],
        "kept_leaks": [_entry(image) | {"leak": image.leak} for image in images if image.leak and not image.dropped],
        "against": {},
        "conversion": asdict(conversion) if conversion else {},
    }
    return report | (_shortcuts(images, groups) | _distributions(kept) if full else {})


def compare(
    images: Sequence[AuditedImage], others: Sequence[AuditedImage], pixels: Callable, other_pixels: Callable
) -> dict:
    """Which images of a dataset another dataset holds too.

    Args:
        images: The dataset.
        others: The other one.
        pixels: Gives the i-th image of the dataset in full.
        other_pixels: The same for the other one.

    Returns:
        `exact` and `near` (how many images of the dataset have such a copy; exact ones are not counted again as
        near), `conflicts` (how many have a copy of another label, although both datasets know one of the two labels;
        labels are compared without case and punctuation), `splits` ({split of this one: {split of the other:
        images}}) and `pairs`.
    """
    fingerprints, other_fingerprints = ([image.summary.fingerprint for image in of] for of in (images, others))
    copies = find_copies(fingerprints, pixels, other_fingerprints, other_pixels)
    exact = {int(i) for i, _ in copies.exact}
    pairs = copies.pairs()
    labels, other_labels = ([_folded(image.record.label) for image in of] for of in (images, others))
    own, theirs = set(labels), set(other_labels)
    differing = ((i, labels[i], other_labels[j]) for i, j in pairs if labels[i] != other_labels[j])
    conflicts = {i for i, label, other in differing if label in theirs or other in own}
    splits: dict[str, Counter] = {}
    for i, split in {(i, others[j].record.split) for i, j in pairs}:
        splits.setdefault(images[i].record.split, Counter())[split] += 1
    return {
        "exact": len(exact),
        "near": len({i for i, _ in pairs} - exact),
        "conflicts": len(conflicts),
        "splits": splits,
        "pairs": [{"this": _entry(images[i]), "other": _entry(others[j])} for i, j in pairs],
    }


def write_audit(
    folder: Path,
    report: dict,
    images: Sequence[AuditedImage],
    copies: Copies,
    pixels: Callable[[int], Image.Image] | None,
    with_samples: bool,
) -> None:
    """Write audit.json and, where `pixels` are given, the figures.

    Args:
        folder: Dataset folder.
        report: From `audit`.
        images: What it was made from.
        copies: What it was made from.
        pixels: Gives the i-th image in full.
        with_samples: Single images may be shown outside of `figures/local/`.
    """
    if pixels is not None:
        from hub.auditing.figures import draw_figures  # matplotlib takes half a second to load

        draw_figures(folder / "figures", images, copies, pixels, with_samples)
    write_text_whole(folder / "audit.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _patients(images: Sequence[AuditedImage], counts: dict) -> dict:
    """Known patients per split, those in two splits, and images of unknown patients."""
    keys = {split: {i.record.patient for i in images if i.record.split == split} - {None} for split in counts}
    unknown = sum(image.record.patient is None for image in images)
    return {
        "patients": {"known": {split: len(of) for split, of in keys.items()}, "unknown_images": unknown},
        "patients_across_splits": {f"{a}/{b}": len(keys[a] & keys[b]) for a, b in combinations(keys, 2)},
    }


def _copies(images: Sequence[AuditedImage], copies: Copies, groups: Sequence[int]) -> dict:
    """Groups of copies; `groups` is the group of each image that all its copies make."""
    exact = group_pairs(len(images), copies.exact.tolist())
    near = set(copies.near.ravel().tolist())
    return {
        "exact_duplicates": _groups(images, exact, lambda group: True),
        "near_duplicates": _groups(images, groups, lambda group: not near.isdisjoint(group)),
        "label_conflicts": _groups(images, groups, lambda group: len({images[i].record.label for i in group}) > 1),
    }


def _shortcuts(images: Sequence[AuditedImage], groups: Sequence[int]) -> dict:
    """How well class and origin can be guessed from what is not disease; copies and patients stay together in folds."""
    from hub.auditing.shortcut_probes import measure_shortcuts, warnings_of  # scikit-learn takes seconds to load

    groups = merge_groups(groups, [image.record.patient or image.record.group for image in images])
    kept = [(image, group) for image, group in zip(images, groups, strict=True) if not image.dropped]
    kept.sort(key=lambda pair: pair[0].record.source)  # the same folds, whatever order the images came in
    numbers = {group: number for number, group in enumerate(dict.fromkeys(group for _, group in kept))}
    shortcuts = measure_shortcuts(
        [image.summary for image, _ in kept],
        [image.record.label for image, _ in kept],
        [numbers[group] for _, group in kept],
    )
    known = [(image, numbers[group]) for image, group in kept if image.record.facts.get("origin")]
    origins = count_origins([image for image, _ in known])
    of_origin = measure_shortcuts(
        [image.summary for image, _ in known],
        [image.record.facts["origin"] for image, _ in known],
        [group for _, group in known],
    )
    warnings = one_origin_warnings(origins) + warnings_of(shortcuts)
    return {"shortcuts": shortcuts, "origin_shortcuts": of_origin, "warnings": warnings}


def _groups(
    images: Sequence[AuditedImage], groups: Sequence[int], wanted: Callable[[list[int]], bool]
) -> list[list[dict]]:
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return [[_entry(images[i]) for i in of] for of in members.values() if len(of) > 1 and wanted(of)]


def _entry(image: AuditedImage) -> dict[str, str | None]:
    record = image.record
    entry = {"split": record.split, "label": record.label, "source": record.source}
    return entry | ({"dropped": image.leak} if image.dropped else {})


def _distributions(images: Sequence[AuditedImage]) -> dict:
    """Quantiles of image sizes in pixels and, per class, of mean brightness in 0..255; formats and channels."""
    sizes = np.array([image.summary.fingerprint.size for image in images])
    means = np.array([image.summary.fingerprint.thumbnail.mean() for image in images])
    labels = np.array([image.record.label for image in images])
    files = Counter(f"{image.summary.format}, {image.summary.channels} channel(s)" for image in images)
    return {
        "sizes": {
            "width": np.quantile(sizes[:, 0], QUANTILES).tolist(),
            "height": np.quantile(sizes[:, 1], QUANTILES).tolist(),
            "most common": [[f"{w} x {h}", n] for (w, h), n in Counter(map(tuple, sizes.tolist())).most_common(5)],
        },
        "files": dict(files.most_common()),
        "intensity": {
            label: np.round(np.quantile(means[labels == label], QUANTILES), 1).tolist() for label in sorted(set(labels))
        },
        "quantiles": list(QUANTILES),
    }


def _folded(label: str) -> str:
    """A label without case and punctuation."""
    return "".join(character for character in label.casefold() if character.isalnum())
