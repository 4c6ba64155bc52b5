import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from space.errors import UsageError
from tests.conftest import TINY_RECIPE
from tests.train.engine.fixtures import small_splits
from train.config.recipe_file import find_recipe, load_recipe
from train.data.dataset import Data
from train.data.pixel_cache import PixelDataset
from train.engine.run_spec import RunSpec, print_plan

BINARY = ["NORMAL", "PNEUMONIA"]
MORE = ["a", "b", "c"]


def spec(labels: list[str] = BINARY, path: Path = TINY_RECIPE, changes: tuple[str, ...] = (), **options) -> RunSpec:
    """A run on a dataset that has labels and nothing else."""
    data = Data("phantoms", labels, {}, "f00d", "Phantoms", "", "")
    settings = {"folder": Path("/somewhere/run.partial"), "seed": 3, "init": "scratch", "max_steps": None}
    settings |= {"mixed_precision": "no", "processes": 1} | options
    return RunSpec(recipe=load_recipe(path, changes), recipe_path=path, changes=changes, data=data, **settings)


def test_a_positive_label_that_the_dataset_lacks_is_refused():
    with pytest.raises(UsageError, match=r"positive_label = 'PNEUMONIA', but the dataset has the classes SICK, WELL"):
        spec(["SICK", "WELL"])
    assert spec().positive == 1


def test_an_operating_point_is_refused_for_more_than_two_classes():
    with pytest.raises(UsageError, match="the dataset has 3 classes"):
        spec(MORE)
    assert spec(MORE, changes=("positive_label=''", "operating_point=argmax")).positive is None


def test_the_command_names_folders_without_their_paths():
    start = "accelerate launch --quiet train/finetune.py --recipe tiny.toml --dataset phantoms --output run --seed 3"
    assert spec().command == f"{start} --init scratch"
    ours = spec(path=find_recipe("mobilenetv2-pneumonia"), init="/home/me/weights.safetensors", max_steps=5)
    assert "--recipe mobilenetv2-pneumonia " in ours.command
    assert ours.command.endswith("--init weights.safetensors --max-steps 5")
    several = spec(processes=2, changes=("epochs=3", "positive_label='PNEUMONIA'"))
    assert several.command.startswith("torchrun --nproc_per_node 2 train/finetune.py ")
    assert several.command.endswith("""--set epochs=3 --set 'positive_label='"'"'PNEUMONIA'"'"''""")


def test_a_run_is_identified_by_all_that_decides_its_weights():
    identity = spec().identity
    assert json.loads(json.dumps(identity)) == identity
    for other in (
        spec(changes=("epochs=3",)), spec(seed=4), spec(init="imagenet"), spec(max_steps=5),
        spec(mixed_precision="bf16"), spec(processes=2),
    ):  # fmt: skip
        assert other.identity != identity
    assert spec(folder=Path("/elsewhere")).identity == identity


def test_the_recipe_is_written_with_its_story_and_what_was_changed(tmp_path):
    path = find_recipe("mobilenetv2-pneumonia")
    run = spec(path=path, changes=("epochs=3",))
    (tmp_path / path.name).write_text(run.recipe_text(), encoding="utf-8")
    assert run.recipe_text().startswith("# Study:      B, pneumonia / normal")
    assert "\n# Changed here: epochs=3\n" in run.recipe_text()
    assert load_recipe(tmp_path / path.name) == run.recipe


def test_the_plan_says_what_is_about_to_happen(capsys):
    run = spec(changes=("accumulation_steps=3",), max_steps=7)
    print_plan(run, small_splits(), torch.device("cpu"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "model    test_efficientnet, 64 px, NORMAL / PNEUMONIA; start: scratch"
    assert lines[1] == "images   48 train, 16 validation; training: NORMAL 32, PNEUMONIA 16"
    assert lines[2] == "training 14 epochs of 1 steps, batches of 16 x 1 x 3, at most 7 steps; seed 3"
    assert lines[4].startswith("device   cpu, 1 process(es), fp32, ")


def test_the_plan_counts_origins_and_names_what_is_left_out(capsys):
    run, splits = spec(), small_splits()
    train = splits["train"]
    origins = np.repeat(["a", "b", ""], [30, 10, 8])
    split = PixelDataset(train.pixels, train.labels, origins)
    data = replace(run.data, left_out=("South",))
    print_plan(replace(run, data=data), splits | {"train": split}, torch.device("cpu"))
    assert "origins  unknown 8, a 30, b 10; left out: South\n" in capsys.readouterr().out
