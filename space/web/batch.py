"""Many images at a time: files and zip archives in, a row each out."""

import csv
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import gradio as gr
import numpy as np
from PIL import Image

from space.errors import XrayError
from space.inference.operating_point import decide
from space.parallel import in_order
from space.web.service import ModelService
from space.web.texts import Texts
from space.web.uploads import new_file

AT_ONCE = 4  # images that one thread takes at a time
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet take a cell for a formula


@dataclass(frozen=True)
class Item:
    """An image of a batch.

    Attributes:
        name: As the visitor knows it.
        source: The upload that it is, or the zip archive that it lies in, open for all threads.
        member: Its place in that archive.
    """

    name: str
    source: Path | zipfile.ZipFile
    member: zipfile.ZipInfo | None = None


def open_items(paths: Sequence[str] | None, most: int, texts: Texts) -> list[Item]:
    """The images of uploads, archives looked into; what is wrong with them becomes a sentence on the page.

    Raises:
        gr.Error: There are none, or more than `most`, or an archive is damaged.
    """
    try:
        items = _list(paths or [], most)
    except XrayError as error:
        raise gr.Error(texts.error(error), print_exception=False) from None
    if not items:
        raise gr.Error(texts("no_images" if paths else "no_files"), print_exception=False)
    if len(items) > most:
        raise gr.Error(texts("too_many_files", files=most), print_exception=False)
    return items


def _list(paths: Sequence[str], most: int) -> list[Item]:
    """The images; one more than `most` at most, so that a bomb of names ends early."""
    items: list[Item] = []
    for path in map(Path, paths[: most + 1]):
        if len(items) > most:
            break
        if not _is_archive(path):
            items.append(Item(path.name, path))
            continue
        try:
            archive = zipfile.ZipFile(path)
            members = [member for member in archive.infolist() if _is_image(member)]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise XrayError("damaged", f"The archive {path.name!r} is damaged.") from None
        items += [Item(member.filename, archive, member) for member in members[: most + 1]]
    return items[: most + 1]


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _is_image(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return not member.is_dir() and bool(parts) and "__MACOSX" not in parts and not parts[-1].startswith(".")


def header(answers: ModelService, texts: Texts) -> list[str]:
    """The columns of the table."""
    names = [texts("column_file"), texts("column_label")]
    names += [texts("column_decision")] if answers.classifier.operating_point else []
    return [*names, *answers.classifier.labels, texts("column_problem")]


def rows(answers: ModelService, items: Sequence[Item], texts: Texts) -> Iterator[list[str]]:
    """Classify images; yields a row each, in order. Those that time does not suffice for are said to be left out."""
    deadline = time.monotonic() + answers.settings.max_seconds

    def of_some(some: Sequence[Item]) -> list[list[str]]:
        if time.monotonic() > deadline:
            found = [(None, texts("too_late", seconds=answers.settings.max_seconds))] * len(some)
        else:
            found = _examine(answers, some, texts)
        return [_row(answers, item.name, *one) for item, one in zip(some, found, strict=True)]

    for table in in_order(of_some, [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]):
        yield from table


def compare(
    models: Collection[ModelService], file: str, anyway: bool, texts: Texts
) -> tuple[list[str], list[list[str]]]:
    """What several models, whose labels may differ, say of one file: a table with a column for each, and its head."""
    said = []
    for answers in models:
        row = _row(answers, answers.name, *_examine(answers, [Item("", Path(file))], texts, anyway)[0])
        said.append(dict(zip(header(answers, texts)[1:], row[1:], strict=True)))
    lines = list(dict.fromkeys(line for of_one in said for line in of_one if line != texts("column_problem")))
    table = [[line, *(of_one.get(line, "") for of_one in said)] for line in [*lines, texts("column_problem")]]
    return [texts("choose_model"), *(answers.name for answers in models)], table


def _examine(
    answers: ModelService, items: Sequence[Item], texts: Texts, anyway: bool = False
) -> list[tuple[np.ndarray | None, str]]:
    """Of each, probabilities and "", or None and why there are none; `anyway`, both where the image is doubted."""
    found: list[tuple[np.ndarray | None, str]] = [(None, "")] * len(items)
    read: dict[int, tuple[Image.Image, str | None]] = {}
    for place, item in enumerate(items):
        try:
            read[place] = answers.read(_content(item, answers.settings.limits.max_bytes))
        except XrayError as error:
            found[place] = (None, texts.error(error))
    findings = answers.classifier.examine([image for image, _ in read.values()]) if read else []
    for (place, (image, coloured)), finding in zip(read.items(), findings, strict=True):
        scores, doubt, (width, height) = finding.probabilities, coloured or finding.doubt, image.size
        problem = texts(f"doubt_{doubt}", width=width, height=height) if doubt else ""
        if not np.isfinite(scores).all():
            scores, problem = None, texts.error(XrayError("no_number", "The model's answer is no number."))
        found[place] = (scores if anyway or not problem else None, problem)
    return found


def _content(item: Item, max_bytes: int) -> bytes | Path:
    if isinstance(item.source, Path):
        return item.source
    try:
        # What the archive says of a member's size may be a lie: no more is unpacked than is needed to see it. Of other
        # methods than these, zipfile unpacks as much as there is.
        if item.member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotImplementedError
        with item.source.open(item.member) as file:
            return file.read(max_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, ValueError, EOFError):
        raise XrayError("damaged", "It cannot be unpacked.") from None


def _row(answers: ModelService, name: str, scores: np.ndarray | None, problem: str) -> list[str]:
    labels, point = answers.classifier.labels, answers.classifier.operating_point
    if scores is None:
        return [name, "", *([""] if point else []), *("" for _ in labels), problem]
    decided = [labels[int(decide(scores[None], rule, labels)[0])] for rule in ([None, point] if point else [None])]
    return [name, *decided, *(f"{score:.4f}" for score in scores), problem]


def save_table(head: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """Write a CSV file, which spreadsheets open without running anything in it, to where visitors may fetch it."""
    path = new_file("predictions.csv")
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)  # some spreadsheets would part cells at semicolons too
        writer.writerow(head)
        writer.writerows([[f"'{cell}" if cell.lstrip().startswith(FORMULA) else cell for cell in row] for row in table])
    return str(path)
