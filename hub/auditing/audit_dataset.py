"""What an audit does: read a stored dataset, look for copies, compare it with others, write what was found."""

from dataclasses import asdict
from pathlib import Path

from hub.auditing.audit_file import read_earlier_audit
from hub.auditing.dataset_card import write_card
from hub.auditing.merged_card import write_merged_card
from hub.auditing.report import audit, compare, write_audit
from hub.auditing.summary import summarise_audit
from hub.dataset.image_summary import AuditedImage
from hub.dataset.stored_dataset import StoredDataset
from hub.layouts.registry import LAYOUTS
from space.errors import UsageError
from train.data.duplicates import find_copies


def audit_dataset(
    name: str, against: list[str], output: Path | None, workers: int | None = None, with_samples: bool = False
) -> None:
    """Audit a dataset and print what was found.

    Args:
        name: Dataset folder, or `owner/name` on the Hub.
        against: Other datasets to look for the same images in.
        output: Folder for audit.json and figures; None: the dataset's own.
        workers: Images read at a time; None: one per core.
        with_samples: Show single images in the card's figures.

    Raises:
        UsageError: Something is not a dataset, or the audit of a repository has no folder to go to.
        ChestXrayError: An image cannot be read.
    """
    dataset = StoredDataset(name)
    others = [StoredDataset(other) for other in against]
    if any(other.folder.resolve() == dataset.folder.resolve() for other in others):
        raise UsageError(f"--against names {name} itself. Give other datasets.")
    folder = dataset.output(output)
    earlier = read_earlier_audit(dataset.folder)
    images = dataset.images(workers)
    copies = find_copies([image.summary.fingerprint for image in images], dataset.pixels)
    report = audit(images, copies, earlier.conversion)
    # What a conversion dropped is not in the dataset any more: its own audit is the only witness.
    report |= {"dropped": earlier.dropped, "kept_leaks": earlier.kept_leaks}
    report["against"] = asdict(earlier)["against"] | _compare_all(dataset, images, others, workers)
    report |= {"looked_at": "stored", "with_samples": with_samples}
    report |= {"merge": asdict(earlier.merge)} if earlier.merge else {}
    write_audit(folder, report, images, copies, dataset.pixels, with_samples)
    is_own = folder.resolve() == dataset.folder.resolve()
    if is_own and earlier.merge:
        write_merged_card(folder, report)
    elif is_own and earlier.conversion and earlier.conversion.layout in LAYOUTS:
        write_card(folder, report)
    print(summarise_audit(folder, report))


def _compare_all(
    dataset: StoredDataset, images: list[AuditedImage], others: list[StoredDataset], workers: int | None
) -> dict[str, dict]:
    """{name of another dataset: what the two share}; names that occur twice are told apart by their folders."""
    names = [other.name for other in others]
    return {
        f"{other.folder.resolve().parent.name}/{other.name}" if names.count(other.name) > 1 else other.name: compare(
            images, other.images(workers), dataset.pixels, other.pixels
        )
        for other in others
    }
