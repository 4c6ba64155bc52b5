"""What is wrong with a dataset: copies, patients on two sides, shortcuts to the label.

python -m hub.audit DIR_OR_REPO [--against OTHER_DIR_OR_REPO ...] [--output DIR]
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from hub.auditing.dataset_card import write_card
from hub.dataset.image_summary import AuditedImage
from hub.dataset.stored_dataset import StoredDataset
from hub.layouts.registry import LAYOUTS
from space.errors import UsageError, run_cli
from train.common.arguments import parse_workers
from train.common.atomic_output import write_text_whole
from train.data.dataset import SPLITS
from train.data.duplicates import Copies, find_copies, group_pairs, merge_groups

GROUPS = ("exact_duplicates", "near_duplicates", "label_conflicts")
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def audit(items: Sequence[AuditedImage], copies: Copies, facts: dict, full: bool = True) -> dict:
    """Write up what is known of a dataset, as audit.json holds it.

    Args:
        items: Its images, dropped ones too.
        copies: Which of them are copies of each other.
        facts: How the dataset was made; {} for a dataset of unknown making.
        full: Also look for what takes time: shortcuts, distributions.

    Returns:
        `images` (images in the dataset), `counts`, `exact_duplicates` and `near_duplicates` (groups of
        {split, label, source}, with `dropped` where the image was left out), `label_conflicts` (groups of copies with
        several labels), `patients_across_splits` (per pair of splits), `dropped`,
        `kept_leaks`, `against` (empty: `compare` fills it), and, with `full`, `shortcuts`, `sizes` and `intensity`.
    """
    kept = [item for item in items if not item.dropped]
    every = group_pairs(len(items), copies.pairs())
    counts = _counts(kept)
    patients = {split: {i.record.patient for i in kept if i.record.split == split} - {None} for split in counts}
    report = {
        "images": len(kept),
        "counts": counts,
        "origins": dict(Counter(o for item in kept if (o := item.record.facts.get("origin"))).most_common()),
        "patients": {
            "known": {split: len(known) for split, known in patients.items()},
            "unknown_images": sum(item.record.patient is None for item in kept),
        },
        "exact_duplicates": _groups(items, group_pairs(len(items), copies.exact.tolist()), lambda group: True),
        "near_duplicates": _groups(items, every, _has_near(copies)),
        "label_conflicts": _groups(items, every, lambda group: len({items[i].record.label for i in group}) > 1),
        "patients_across_splits": {f"{a}/{b}": len(patients[a] & patients[b]) for a, b in combinations(patients, 2)},
        "dropped": [_entry(item) for item in items if item.dropped],
        "kept_leaks": [_entry(item) | {"leak": item.leak} for item in items if item.leak and not item.dropped],
        "against": {},
        "conversion": facts,
    }
    if full:
        from hub.auditing.shortcut_probes import measure_shortcuts, warnings_of

        groups = merge_groups(every, [item.record.patient or item.record.group for item in items])
        rows = [(item, group) for item, group in zip(items, groups, strict=True) if not item.dropped]
        rows.sort(key=lambda row: row[0].record.source)  # the same folds, whatever order the images came in
        numbers = {group: number for number, group in enumerate(dict.fromkeys(group for _, group in rows))}
        labels = [item.record.label for item, _ in rows]
        report["shortcuts"] = measure_shortcuts(
            [item.look for item, _ in rows], labels, [numbers[group] for _, group in rows]
        )
        report["warnings"] = warnings_of(report["shortcuts"])
        report |= _distributions(kept)
    return report


def compare(
    items: Sequence[AuditedImage], others: Sequence[AuditedImage], pixels: Callable, other_pixels: Callable
) -> dict:
    """Which images of a dataset another dataset holds too.

    Args:
        items: The dataset.
        others: The other one.
        pixels: Gives the i-th image of the dataset in full.
        other_pixels: The same for the other one.

    Returns:
        `exact` and `near` (how many images of the dataset have such a copy; exact ones are not counted again as
        near), `conflicts` (how many have a copy of another label, although both datasets know one of the two labels;
        labels are compared without case and punctuation), `splits` ({split of this one: {split of the other:
        images}}) and `pairs`.
    """
    copies = find_copies([i.look.print for i in items], pixels, [i.look.print for i in others], other_pixels)
    exact = {int(i) for i, _ in copies.exact}
    pairs = copies.pairs()
    own, theirs = ({_plain(item.record.label) for item in of} for of in (items, others))
    named = {(i, _plain(items[i].record.label), _plain(others[j].record.label)) for i, j in pairs}
    conflicts = {i for i, label, other in named if label != other and (label in theirs or other in own)}
    splits: dict[str, dict[str, int]] = {}
    for i, split in {(i, others[j].record.split) for i, j in pairs}:
        row = splits.setdefault(items[i].record.split, {})
        row[split] = row.get(split, 0) + 1
    return {
        "exact": len(exact),
        "near": len({i for i, _ in pairs} - exact),
        "conflicts": len(conflicts),
        "splits": splits,
        "pairs": [{"this": _entry(items[i]), "other": _entry(others[j])} for i, j in pairs],
    }


def write_audit(
    folder: Path,
    report: dict,
    items: Sequence[AuditedImage],
    copies: Copies,
    pixels: Callable[[int], Image.Image] | None,
    with_samples: bool,
) -> None:
    """Write audit.json and, where `pixels` are given, the figures.

    Args:
        folder: Dataset folder.
        report: From `audit`.
        items: What it was made from.
        copies: What it was made from.
        pixels: Gives the i-th image in full.
        with_samples: Single images may be shown outside of `figures/local/`.
    """
    if pixels is not None:
        from hub.auditing.figures import draw_figures

        draw_figures(folder / "figures", items, copies, pixels, with_samples)
        report["with_samples"] = with_samples
    write_text_whole(folder / "audit.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _counts(items: Sequence[AuditedImage]) -> dict[str, dict[str, int]]:
    """{split: {class: images}}, splits in their usual order."""
    counts = Counter((item.record.split, item.record.label) for item in items)
    labels = sorted({label for _, label in counts})
    found = {split for split, _ in counts}
    ordered = [split for split in SPLITS if split in found] + sorted(found - set(SPLITS))
    return {split: {label: counts[split, label] for label in labels} for split in ordered}


def _groups(
    items: Sequence[AuditedImage], groups: Sequence[int], wanted: Callable[[list[int]], bool]
) -> list[list[dict]]:
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return [[_entry(items[i]) for i in of] for of in members.values() if len(of) > 1 and wanted(of)]


def _has_near(copies: Copies) -> Callable[[list[int]], bool]:
    near = set(copies.near.ravel().tolist())
    return lambda group: any(index in near for index in group)


def _entry(item: AuditedImage) -> dict[str, str | None]:
    record = item.record
    entry = {"split": record.split, "label": record.label, "source": record.source}
    return entry | ({"dropped": item.leak} if item.dropped else {})


def _distributions(items: Sequence[AuditedImage]) -> dict:
    """Quantiles of image sizes in pixels and, per class, of mean brightness in 0..255; formats and channels."""
    sizes = np.array([item.look.print.size for item in items])
    means = np.array([item.look.print.thumbnail.mean() for item in items])
    labels = np.array([item.record.label for item in items])
    return {
        "sizes": {
            "width": np.quantile(sizes[:, 0], QUANTILES).tolist(),
            "height": np.quantile(sizes[:, 1], QUANTILES).tolist(),
            "most common": [[f"{w} x {h}", n] for (w, h), n in Counter(map(tuple, sizes.tolist())).most_common(5)],
        },
        "files": dict(Counter(f"{item.look.format}, {item.look.channels} channel(s)" for item in items).most_common()),
        "intensity": {
            label: np.round(np.quantile(means[labels == label], QUANTILES), 1).tolist() for label in sorted(set(labels))
        },
        "quantiles": list(QUANTILES),
    }


def _plain(label: str) -> str:
    return "".join(character for character in label.casefold() if character.isalnum())


def main() -> None:
    """Command line of the audit."""
    parser = argparse.ArgumentParser(prog="python -m hub.audit", description="look for what is wrong with a dataset")
    parser.add_argument("dataset", help="dataset folder, or owner/name on the Hub")
    parser.add_argument("--against", nargs="+", default=[], metavar="OTHER", help="datasets to look for copies in")
    parser.add_argument(
        "--output", type=Path, help="where audit.json and figures go (default: into the dataset folder)"
    )
    parser.add_argument("--workers", type=parse_workers, help="images read at a time (default: one per core)")
    parser.add_argument("--with-samples", action="store_true", help="show single images in the card's figures")
    args = parser.parse_args()
    dataset = StoredDataset(args.dataset)
    others = [StoredDataset(name) for name in args.against]
    if any(other.folder.resolve() == dataset.folder.resolve() for other in others):
        raise UsageError(f"--against names {args.dataset} itself; give other datasets.")
    output = dataset.output(args.output)
    items = dataset.items(args.workers)
    copies = find_copies([item.look.print for item in items], dataset.pixels)
    before = dataset.report()
    report = audit(items, copies, before.get("conversion", {}))
    report |= {key: before[key] for key in ("dropped", "kept_leaks", "against") if key in before}
    report["looked_at"] = "stored"
    for other in others:
        twice = [one.name for one in others].count(other.name) > 1
        name = f"{other.folder.resolve().parent.name}/{other.name}" if twice else other.name
        report["against"][name] = compare(items, other.items(args.workers), dataset.pixels, other.pixels)
    write_audit(output, report, items, copies, dataset.pixels, args.with_samples)
    if report["conversion"].get("layout") in LAYOUTS and output == dataset.folder:
        write_card(output, report)
    print("\n".join([*_findings(report), f"All findings: {output / 'audit.json'}"]))


def _findings(report: dict) -> list[str]:
    """What a person wants to know first, a line each."""
    found = ", ".join(f"{len(report[key])} {key.replace('_', ' ')}" for key in GROUPS)
    lines = [f"{report['images']:,} images; groups: {found}"]
    lines += [f"{pair}: {n} patients in both" for pair, n in report["patients_across_splits"].items() if n]
    for name, other in report["against"].items():
        lines.append(
            f"in {name} too: {other['exact']:,} by exact and {other['near']:,} by near copies, "
            f"{other['conflicts']:,} of them under another label"
        )
    return lines + [f"warning: {sentence}" for sentence in report["warnings"]]


if __name__ == "__main__":
    run_cli(main)
