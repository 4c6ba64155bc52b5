"""What the tests of training share."""

from pathlib import Path

import pytest

from hub.conversion import convert
from tests.phantoms import write_kaggle_tree


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
def finished(tmp_path_factory):
    """A run of random weights, calibrated and evaluated on phantoms; see `tests.train.report.fixtures.FinishedRun`."""
    from tests.train.report.fixtures import finish_phantoms

    return finish_phantoms(tmp_path_factory.mktemp("finished") / "run")
