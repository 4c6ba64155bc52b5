"""What the tests of training share."""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.conversion import Options, convert
from tests.phantoms import write_kaggle_tree, write_masked_folder


@pytest.fixture(scope="session")
def others(tmp_path_factory) -> Path:
    """A dataset of other phantoms, whose classes are called "healthy" and "ill"."""
    folder = tmp_path_factory.mktemp("others")
    tree = write_kaggle_tree(folder / "elsewhere", seed=7) / "chest_xray"
    for label, theirs in (("NORMAL", "healthy"), ("PNEUMONIA", "ill")):
        for path in sorted(tree.glob(f"*/{label}")):
            path.rename(path.with_name(theirs))
    convert(tree, folder / "others")
    return folder / "others"


@pytest.fixture(scope="session")
def merged(tmp_path_factory) -> Path:
    """A dataset of three origins in two hospitals, "North" and "South"; see `tests.train.sources.write_merged`."""
    from tests.train.sources import write_merged

    return write_merged(tmp_path_factory.mktemp("merged") / "merged")


@pytest.fixture(scope="session")
def masked_dataset(tmp_path_factory) -> Path:
    """A dataset folder, "phantoms": 40 of them, each with its lung mask."""
    folder = tmp_path_factory.mktemp("masked")
    source = write_masked_folder(folder / "source", 40)
    convert(source / "images", folder / "phantoms", Options(masks=source / "masks", audit=False))
    return folder / "phantoms"


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run of random weights, calibrated and evaluated on phantoms; see `tests.train.report.fixtures.FinishedRun`."""
    from tests.train.report.fixtures import finish_phantoms

    return finish_phantoms(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    """See `tests.train.sources.write_sources`; tests must not change it."""
    from tests.train.sources import write_sources

    return write_sources(tmp_path_factory.mktemp("images"))


@pytest.fixture
def rows_of(bundled, tmp_path) -> Callable[..., list[dict[str, str]]]:
    """Predict a source, with the bundled model or another, and read the file that was written."""
    from train.predict import predict_to_csv

    numbers = itertools.count()

    def run(source: str | Path, model=bundled) -> list[dict[str, str]]:
        output = tmp_path / f"out{next(numbers)}.csv"
        predict_to_csv(model, str(source), output)
        with output.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return run
