"""What `hub.convert` and `hub.audit` print at the end, most important first, one line each."""

from pathlib import Path

GROUPS = {"exact_duplicates": "exact copies", "near_duplicates": "near copies", "label_conflicts": "conflicting labels"}


def summarise_conversion(output: Path, report: dict) -> str:
    """The end of a conversion.

    Args:
        output: The dataset folder.
        report: The content of its audit.json.
    """
    facts, counts = report["conversion"], report["counts"]
    lines = [f"{output}: {_by_split(counts)} images"]
    if "validation" not in counts and "train" in counts:
        lines.append("note: there is no validation split, which training needs")
    if facts["leaks"]:
        reasons = ", ".join(f"{n:,} by {why}" for why, n in facts["leaks"].items())
        done = "kept, although" if facts["leaks_kept"] else "dropped, because"
        lines.append(f"{done} the test split holds them too: {reasons}")
    groups = ", ".join(f"{len(report[key]):,} of {words}" for key, words in GROUPS.items() if report[key])
    if groups:
        lines.append(f"groups of images that are copies: {groups}; audit.json lists them")
    lines += [f"{column}: {n:,} images have one" for column, n in facts["masks"].items() if n]
    left_out = {
        "image files outside the layout": facts["outside_layout"],
        "images whose DICOM tags say that they are no frontal chest X-rays": facts["not_frontal"],
        "files that are not images": facts["not_images"],
    }
    if any(left_out.values()):
        counted = " and ".join(f"{n:,} {what}" for what, n in left_out.items() if n)
        lines.append(f"left out: {counted}, listed in quarantine.csv")
    if facts["shared_keys"]:
        lines.append(
            f"note: {facts['shared_keys']:,} loose patient keys occur both in test and elsewhere; this does not prove "
            "a shared patient (the card explains the rules)"
        )
    if facts["quarantined"] or facts["bad_masks"]:
        n = sum(facts["quarantined"].values())
        lines.append(f"unreadable: {n:,} images and {facts['bad_masks']:,} masks, listed in quarantine.csv")
    return _with_warnings(lines, report, f"The card is {output / 'README.md'}; audit.json beside it has the details.")


def summarise_merge(output: Path, report: dict) -> str:
    """The end of a merge.

    Args:
        output: The dataset folder.
        report: The content of its audit.json.
    """
    facts = report["merge"]
    lines = [f"{output}: {_by_split(report['counts'])} images"]
    for source in facts["sources"]:
        n = _by_split(report["origins"].get(source["origin"], {})) or "no image left"
        dropped = "; ".join(f"{n:,} {why}" for why, n in source["dropped"].items())
        cut = f"; {' and '.join(source['cut'])} cut here" if source["cut"] else ""
        lines.append(f"{source['origin']}: {n}{cut}{f'; dropped: {dropped}' if dropped else ''}")
    if facts["moved"]:
        lines.append(f"moved from validation to train, where a copy or patient of theirs is: {facts['moved']:,} images")
    if facts["test_conflicts"]:
        lines.append(f"note: {facts['test_conflicts']:,} test images have a copy with another label; they were kept")
    return _with_warnings(lines, report, f"The card is {output / 'README.md'}; audit.json beside it has the details.")


def summarise_audit(output: Path, report: dict) -> str:
    """The end of an audit.

    Args:
        output: The folder that audit.json was written to.
        report: Its content.
    """
    groups = ", ".join(f"{len(report[key]):,} of {words}" for key, words in GROUPS.items())
    lines = [f"{report['images']:,} images; groups: {groups}"]
    lines += [f"{pair}: {n:,} patients in both" for pair, n in report["patients_across_splits"].items() if n]
    for name, other in report["against"].items():
        lines.append(
            f"also in {name}: {other['exact']:,} as exact and {other['near']:,} as near copies; {other['conflicts']:,} "
            "of them carry another label there"
        )
    return _with_warnings(lines, report, f"The details are in {output / 'audit.json'}.")


def _by_split(counts: dict[str, dict[str, int]]) -> str:
    """Images of each split, for example "train 1,200, test 300", from {split: {label: images}}."""
    return ", ".join(f"{split} {sum(of_labels.values()):,}" for split, of_labels in counts.items())


def _with_warnings(lines: list[str], report: dict, where: str) -> str:
    """The lines, the audit's warnings, and where to read on."""
    return "\n".join([*lines, *(f"warning: {sentence}" for sentence in report.get("warnings", ())), where])
