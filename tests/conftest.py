"""What all tests share: no network, throw-away caches, phantoms, one short run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import onnx
import pytest
from filelock import FileLock

from tests.hub_server import HubServer
from tests.hub_state import Hub

HUB_SERVER = HubServer(Hub())  # answers where a test starts it
# Before any library is imported: they read these once.
_CACHE = tempfile.TemporaryDirectory(prefix="chest-xray-tests-")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_ENDPOINT": HUB_SERVER.endpoint,
    "HF_HOME": f"{_CACHE.name}/hf",
    "HF_DATASETS_CACHE": f"{_CACHE.name}/datasets",
    "CHEST_XRAY_CACHE": f"{_CACHE.name}/pixels",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_TEMP_DIR": f"{_CACHE.name}/gradio",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # processes that share cores would else spin while they wait for each other
}

# A shell's background job ignores Ctrl-C and hands that down, which tests of Ctrl-C must not inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

from hub.conversion import convert
from space.inference.graph import FILE as GRAPH_FILE
from tests.fork_server import ENVIRONMENT, Process, server_for
from tests.phantoms import write_kaggle_tree

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA = REPOSITORY.parent / "shared" / "data"
KERMANY = REAL_DATA / "chest-xray-pneumonia"
TINY_RECIPE = REPOSITORY / "tests" / "train" / "tiny.toml"
DEFAULT_MODEL = REPOSITORY / "space" / "default-model"
THREE_LABELS = ["NORMAL", "PNEUMONIA", "COVID"]
# Tests that drive a browser, serve the app, use a launcher, start many processes, export graphs or read the real
# radiographs.
SLOW_FIXTURES = {"launched", "real_kermany", "real_dataset"}
SLOW = (
    "browser/", "test_app", "test_mcp", "test_readme", "test_fork_server", "hub/publishing/test_space_bundle",
    "hub/publishing/test_preflight", "hub/publishing/test_retry", "hub/test_push", "hub/test_real_data",
    "hub/test_round_trip", "hub/test_verify", "space/inference/test_graph",
    "space/inference/test_classifier", "train/engine/test_cpu_kernels",
    "train/engine/test_distributed", "train/engine/test_dialogue", "train/engine/test_shutdown",
    "train/study/test_main", "train/study/test_conduct", "train/test_finetune", "train/test_earlier_runs",
    "train/test_export", "train/test_segment", "train/segmentation/test_save", "train/models/test_graph",
    "train/report/test_finish",
    "train/report/test_run_folder", "train/report/test_training_record",
    "train/test_training_run", "train/test_recipes", "train/report/test_reevaluate",
    "train/models/test_modeling_chest_cnn", "train/models/test_pretrained", "train/test_predict",
)  # fmt: skip


def run_python(
    *arguments: str | Path, cwd: Path = REPOSITORY, real: bool = False, **environment: str
) -> subprocess.CompletedProcess:
    """Run `python ARGUMENTS` in a process of its own; see `start_python`."""
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = start_python(*arguments, cwd=cwd, real=real, stdout=output, stderr=errors, **environment)
        try:
            code = process.wait(300)
        finally:
            process.kill()
        output.seek(0), errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read(), errors.read())


def start_python(
    *arguments: str | Path,
    cwd: Path = REPOSITORY,
    real: bool = False,
    stdin: IO | int = subprocess.DEVNULL,
    stdout: IO | int = subprocess.PIPE,
    stderr: IO | int = subprocess.PIPE,
    **environment: str,
) -> subprocess.Popen | Process:
    """Start `python ARGUMENTS` in a process of its own with the tests' caches.

    Args:
        arguments: Of the command line.
        cwd: The folder to run it in.
        real: Start Python itself, not a fork of a process that has imported torch and the like.
        stdin, stdout, stderr: As for `subprocess.Popen`.
        environment: Variables that differ from those of the tests.
    """
    words, variables = [*map(str, arguments)], os.environ | environment
    server = None if real else server_for(words, variables)
    files = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    if server:
        return server.start(words, cwd, variables, **files)
    return subprocess.Popen(
        [sys.executable, *words], cwd=cwd, env=variables, text=True, start_new_session=True, **files
    )


def launch_finetune(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess:
    """Run `accelerate launch train/finetune.py ARGUMENTS`, as a user would."""
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", "1", "train/finetune.py"]
    return run_python(*launcher, *arguments, **environment)


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all of pytest's workers share; `make` makes it for the first that asks."""
    temporary = tmp_path_factory.getbasetemp()
    shared = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "shared"
    shared.mkdir(exist_ok=True)
    with FileLock(shared / f".{name}.lock"):
        if not (shared / name).exists():
            make(shared / name)
    return shared / name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out."""
    for item in items:
        path = item.path.relative_to(REPOSITORY / "tests").as_posix()
        if path.startswith(SLOW) or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def fresh_environment() -> None:
    """The variables that the tests started with: libraries set some of their own, which other tests would inherit."""
    own = {name: value for name, value in os.environ.items() if name.startswith("PYTEST_")}
    os.environ.clear()
    os.environ.update(ENVIRONMENT | own)


@pytest.fixture(scope="session")
def kaggle_folder(tmp_path_factory) -> Path:
    """Phantoms in the chest-xray-pneumonia layout."""
    return write_kaggle_tree(tmp_path_factory.mktemp("kaggle"))


@pytest.fixture(scope="session")
def dataset_folder(kaggle_folder, tmp_path_factory) -> Path:
    """The phantoms, converted."""
    return made_once(tmp_path_factory, "phantoms", lambda folder: convert(kaggle_folder, folder))


@pytest.fixture(scope="session")
def launched(dataset_folder, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """A run folder made by accelerate's launcher from a short run on phantoms, and what the launcher printed."""

    def launch(output: Path) -> None:
        options = ["--recipe", TINY_RECIPE, "--dataset", dataset_folder, "--output", output, "--init", "scratch"]
        done = launch_finetune(*options)
        assert done.returncode == 0, done.stdout + done.stderr
        output.with_name("launched.json").write_text(json.dumps([done.stdout, done.stderr]))

    output = made_once(tmp_path_factory, "tiny", launch)
    return output, subprocess.CompletedProcess([], 0, *json.loads(output.with_name("launched.json").read_text()))


@pytest.fixture(scope="session")
def run_folder(launched) -> Path:
    """The run folder of `launched`."""
    return launched[0]


@pytest.fixture(scope="session")
def bundled():
    """The classifier that comes with the project, loaded."""
    from space.inference.classifier import Classifier

    return Classifier.load(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def three_classes(tmp_path_factory) -> Path:
    """Folder of an untrained model of `THREE_LABELS` with its graph, without guard, operating point or results."""
    import torch

    from train.config.recipe import ModelRecipe
    from train.models.factory import build, save
    from train.models.graph import export_graph

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        model, processor = build(ModelRecipe("test_efficientnet", 64), THREE_LABELS, "scratch")
        save(model.eval(), processor, folder)
        export_graph(model, processor, folder)

    return made_once(tmp_path_factory, "three", make)


def with_damaged_weights(model: Path, folder: Path) -> Path:
    """Copy a model whose graph gets logits that are not numbers; returns `folder`."""
    shutil.copytree(model, folder)
    graph = onnx.load(folder / GRAPH_FILE)
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = np.full(weights.dims, np.nan, np.float32)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(graph, folder / GRAPH_FILE)
    return folder


@pytest.fixture(scope="session")
def real_kermany() -> Path:
    """The real chest-xray-pneumonia radiographs; skips where they are not at hand."""
    if not KERMANY.is_dir():
        pytest.skip("the real radiographs (../shared/data) are not on this machine")
    return KERMANY
