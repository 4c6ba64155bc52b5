"""Many images at a time: files and zip archives in, a row each out."""

import csv
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from space.errors import ErrorCode, XrayError
from space.imaging.archives import UPLOAD_METHODS, ImageFile, Zip, ZipLimits, is_zip
from space.parallel import in_order
from space.web.service import ExaminedImage, ModelService, refusal
from space.web.settings import Settings
from space.web.texts import Texts
from space.web.uploads import new_file

AT_ONCE = 4  # images that one thread takes at a time
ENTRIES_PER_IMAGE = 20  # of a zip: folders, and the junk that some systems add
FORMULA = tuple("=+-@＝＋－＠")  # what makes a spreadsheet take a cell for a formula, in full width too
T = TypeVar("T")


@dataclass(frozen=True)
class BatchImage:
    """An image of a batch, not read yet.

    Attributes:
        name: As the visitor knows it.
        file: The upload, or what reads it from its zip.
    """

    name: str
    file: ImageFile


@contextmanager
def open_batch(paths: Sequence[str] | None, settings: Settings, texts: Texts) -> Iterator[list[BatchImage]]:
    """List the images among uploads, and in the zips among them, which stay open for the block.

    Raises:
        gr.Error: There are no images, or too many, or a zip is damaged or hostile.
    """
    with ExitStack() as archives:
        try:
            images = _list_images(paths or [], settings, archives)
        except XrayError as error:
            raise refusal(texts.error(error)) from None
        if not images:
            raise refusal(texts("no_images" if paths else "no_files"))
        if len(images) > settings.max_batch_files:
            raise refusal(texts("too_many_files", files=settings.max_batch_files))
        yield images


def _list_images(paths: Sequence[str], settings: Settings, archives: ExitStack) -> list[BatchImage]:
    """The images; one more than are allowed at most, so that a bomb of names ends early."""
    most, max_bytes = settings.max_batch_files, settings.limits.max_bytes
    limits = ZipLimits(ENTRIES_PER_IMAGE * most, most * max_bytes, methods=UPLOAD_METHODS)
    images: list[BatchImage] = []
    for path in map(Path, paths[: most + 1]):
        if len(images) > most:
            break
        if is_zip(path):
            archive = archives.enter_context(closing(Zip(path, path.name, limits)))
            names = islice(archive.sizes, most + 1)
            images += [BatchImage(name, partial(archive.read, name, max_bytes)) for name in names]
        else:
            images.append(BatchImage(path.name, path))
    return images[: most + 1]


def header(service: ModelService, texts: Texts) -> list[str]:
    """The columns of the table."""
    names = [texts("column_file"), texts("column_label")]
    names += [texts("column_decision")] if service.classifier.operating_point else []
    return [*names, *service.classifier.labels, texts("column_problem")]


def rows(service: ModelService, images: Sequence[BatchImage], texts: Texts) -> Iterator[list[str]]:
    """Classify images; yields a row of the table for each, in order."""
    return each(service, images, lambda name, result: table_row(service, name, result, texts))


def each(
    service: ModelService, images: Sequence[BatchImage], answer: Callable[[str, ExaminedImage | XrayError], T]
) -> Iterator[T]:
    """Classify images; yields `answer(name, result)` of each, in order. Images not reached in time are errors."""
    seconds = service.settings.max_seconds
    deadline = time.monotonic() + seconds
    sentence = f"Skipped: the batch reached its time limit of {seconds} seconds. Send fewer images at a time."
    too_late = XrayError(ErrorCode.TOO_LATE, sentence)

    def answers(chunk: Sequence[BatchImage]) -> list[T]:
        is_late = time.monotonic() > deadline
        results = [too_late] * len(chunk) if is_late else service.examine_all([image.file for image in chunk])
        return [answer(image.name, result) for image, result in zip(chunk, results, strict=True)]

    for chunk in in_order(answers, [images[start : start + AT_ONCE] for start in range(0, len(images), AT_ONCE)]):
        yield from chunk


def compare(
    models: Collection[ModelService], file: str, anyway: bool, texts: Texts
) -> tuple[list[str], list[list[str]]]:
    """What several models, whose labels may differ, say of one file: a table with a column for each, and its head."""
    columns = []
    for service in models:
        (result,) = service.examine_all([Path(file)])
        row = table_row(service, service.name, result, texts, anyway)
        columns.append(dict(zip(header(service, texts)[1:], row[1:], strict=True)))
    names = list(dict.fromkeys(name for column in columns for name in column if name != texts("column_problem")))
    table = [[name, *(column.get(name, "") for column in columns)] for name in [*names, texts("column_problem")]]
    return [texts("choose_model"), *(service.name for service in models)], table


def table_row(
    service: ModelService, name: str, result: ExaminedImage | XrayError, texts: Texts, anyway: bool = False
) -> list[str]:
    """The cells of one image: empty where its answer is not shown."""
    is_error = isinstance(result, XrayError)
    has_point = service.classifier.operating_point is not None
    problem = texts.error(result) if is_error else result.reason(texts) if result.doubt else ""
    if is_error or (result.is_withheld and not anyway):
        return [name, "", *[""] * has_point, *("" for _ in service.classifier.labels), problem]
    scores = result.scores
    decided = [max(scores, key=scores.get), *[service.decided(scores)] * has_point]
    return [name, *decided, *(f"{score:.4f}" for score in scores.values()), problem]


def save_table(head: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """Write a CSV file, which spreadsheets open without running anything in it, to where visitors may fetch it."""
    path = new_file("predictions.csv")
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)  # some spreadsheets also split cells at semicolons
        writer.writerow(head)
        writer.writerows([[f"'{cell}" if cell.lstrip().startswith(FORMULA) else cell for cell in row] for row in table])
    return str(path)
