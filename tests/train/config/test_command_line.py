"""What train/finetune.py answers before it imports torch."""

import sys
import time

import pytest

from space.errors import UsageError
from tests.conftest import DEFAULT_MODEL, TINY_RECIPE, run_python
from train.common.atomic_output import partial_of
from train.common.checkpoint_folder import checkpoints_of
from train.config.command_line import check_dataset, check_tracker, parse_args


@pytest.fixture
def dataset(tmp_path):
    """As much of a dataset folder as can be checked without opening it."""
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train-00000-of-00001.parquet").touch()
    return folder


@pytest.fixture
def parse(monkeypatch, dataset, tmp_path):
    """Parse options; None leaves one out."""

    def parse(*more, **options):
        options = {"recipe": TINY_RECIPE, "dataset": dataset, "output": tmp_path / "run"} | options
        words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
        monkeypatch.setattr(sys, "argv", ["finetune.py", *words, *map(str, more)])
        return parse_args()

    return parse


def test_a_command_that_is_right_comes_back_with_its_recipe(parse):
    args = parse("--set", "epochs=3", "--init", "scratch")
    assert (args.recipe.training.epochs, args.recipe_path, args.seed) == (3, TINY_RECIPE, 0)


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({"recipe": "nope"}, [], "no recipe 'nope'"),
        ({"recipe": None}, [], r"missing --recipe\. For example: accelerate launch"),
        ({"recipe": None, "output": None}, [], "missing --recipe and --output"),
        ({"dataset": "nosuch"}, [], "--dataset nosuch: no such file or folder"),
        ({"dataset": "/nosuch/folder"}, [], "--dataset /nosuch/folder: no such file or folder"),
        ({}, ["--set", "epoch=3"], "did you mean epochs"),
        ({}, ["--set", "epochs=many"], "must be a valid integer"),
        ({}, ["--set", "tracker=wandb"], "pip install wandb"),
        ({}, ["--init", "imagenet1k"], "--init imagenet1k: no such file or folder"),
        ({}, ["--max-steps", "0"], "--max-steps: '0'; it must be a whole number of 1 or more"),
        ({}, ["--also", "nosuch"], "--also nosuch: no such file or folder"),
        ({}, ["--also-labels", "map.toml"], "--also-labels needs --also"),
        ({}, ["--also-drop-copies"], "--also-drop-copies needs --also"),
        ({}, ["--evaluate-only", DEFAULT_MODEL], "does not train: leave out --recipe, --output"),
        ({"recipe": None, "output": None}, ["--evaluate-only", "nosuch"], "no results.json there"),
    ],
)
def test_a_mistake_is_refused_with_what_to_do(parse, options, more, message):
    with pytest.raises(UsageError, match=message):
        parse(*more, **options)


def test_a_hub_repository_is_not_looked_for_here(parse):
    assert parse(dataset="someone/some-data").dataset == "someone/some-data"


def test_a_folder_of_images_is_told_from_a_dataset(tmp_path):
    (tmp_path / "chest_xray" / "train").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no parquet files in it\. Convert it first: python -m hub\.convert"):
        check_dataset(str(tmp_path / "chest_xray"), "--dataset")


def test_an_output_that_is_taken_is_refused(parse, tmp_path):
    (tmp_path / "run").mkdir()
    parse()
    (tmp_path / "run" / "results.json").touch()
    with pytest.raises(UsageError, match="exists already"):
        parse()


def test_an_interrupted_run_is_only_continued_on_purpose(parse, tmp_path):
    (checkpoints_of(partial_of(tmp_path / "run")) / "step-000000001").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"interrupted run in run\.partial beside it\. Add --resume"):
        parse()
    assert parse("--resume").resume


def test_a_finished_run_can_be_evaluated_again(parse):
    args = parse("--evaluate-only", DEFAULT_MODEL, recipe=None, output=None)
    assert args.evaluate_only == DEFAULT_MODEL


def test_trackers_that_are_installed_or_off_pass():
    check_tracker("tensorboard")
    check_tracker("none")


@pytest.mark.parametrize("start", [["-m", "train.finetune"], ["train/finetune.py"]])
def test_the_command_answers_without_importing_torch(dataset, tmp_path, start):
    began = time.monotonic()
    done = run_python("-X", "importtime", *start, "--recipe", "nope", "--dataset", dataset, "--output", tmp_path / "r")
    assert done.returncode == 2
    messages = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(messages) == 1
    assert messages[0].startswith("error: no recipe 'nope'")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "pydantic" in imported
    assert not imported & {"torch", "accelerate", "transformers", "datasets", "timm", "numpy"}
    assert time.monotonic() - began < 20  # 2 s on a machine that does nothing else


def test_help_names_every_option():
    done = run_python("-m", "train.finetune", "--help", real=True)
    assert done.returncode == 0
    for option in ("--recipe", "--dataset", "--resume", "--set KEY=VALUE", "--evaluate-only RUN", "--also-labels"):
        assert option in done.stdout
