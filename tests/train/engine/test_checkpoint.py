"""Interrupted runs continue as if nothing had happened, whatever was lost."""

import resource
import shutil
import signal

import pytest
import torch

from space.errors import ChestXrayError, UsageError
from tests.train.engine.fixtures import make_trainer, small_model, small_recipe, without_seconds
from train.common.checkpoint_folder import checkpoints_of, has_checkpoint
from train.engine.shutdown import Interrupted

# Dropout, batch norm, averaged weights, copies, momentum in channels-last memory: all that a resumed run could lose.
EVERYTHING = (
    "class_balance=oversample", "ema_decay=0.9", "checkpoint_steps=3", "epochs=3", "accumulation_steps=2",
    "batch_size=4", "clip_norm=1.0", "warmup_epochs=1",
)  # fmt: skip


def model():
    return small_model(dropout=0.3, batch_norm=True)


def interrupt(folder, recipe, step: int) -> None:
    """Train until after a step, when a signal comes."""
    trainer = make_trainer(folder, recipe, model(), interrupted=lambda: signal.SIGTERM if trainer.step >= step else 0)
    with pytest.raises(Interrupted, match=f"interrupted after step {step}.*--resume") as error:
        trainer.run()
    assert error.value.exit_code == 128 + signal.SIGTERM


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def same(ours, theirs) -> bool:
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture(scope="module", params=["adamw", "adamax", "rmsprop", "sgd"])
def uninterrupted(request, tmp_path_factory):
    recipe = small_recipe(*EVERYTHING, f"optimizer={request.param}")
    trainer = make_trainer(tmp_path_factory.mktemp("whole"), recipe, model())
    return recipe, trainer.run(), weights(trainer)


@pytest.mark.parametrize("steps", [5, 8])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(uninterrupted, tmp_path, steps):
    recipe, fit, expected = uninterrupted
    interrupt(tmp_path, recipe, steps)
    torch.manual_seed(99)  # whatever else happened in between
    trainer = make_trainer(tmp_path, recipe, small_model(dropout=0.3, batch_norm=True, seed=7))
    again = trainer.run()
    assert same(weights(trainer), expected)
    assert without_seconds(again.history) == without_seconds(fit.history)
    assert again.kept["epoch"] == fit.kept["epoch"]


@pytest.fixture
def interrupted(tmp_path):
    """A folder with the checkpoints of steps 6 and 9, and the weights of a run that was never interrupted."""
    recipe = small_recipe(*EVERYTHING)
    whole = make_trainer(tmp_path / "whole", recipe, model())
    whole.run()
    interrupt(tmp_path / "run", recipe, 9)
    assert has_checkpoint(tmp_path / "run")
    return recipe, tmp_path / "run", weights(whole)


def steps(run):
    return sorted(path.name for path in checkpoints_of(run).glob("step-*"))


@pytest.mark.parametrize("damage", ["truncate tensors", "flip a bit", "truncate facts", "delete facts", "lose weights"])
def test_a_damaged_checkpoint_is_passed_over(interrupted, capsys, damage):
    recipe, run, expected = interrupted
    earlier, last = steps(run)
    folder = checkpoints_of(run)
    path = folder / last / ("state.json" if "facts" in damage else "state.safetensors")
    if damage == "flip a bit":
        content = bytearray(path.read_bytes())
        content[-10] ^= 1
        path.write_bytes(content)
    elif damage.startswith("truncate"):
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "delete facts":
        path.unlink()
    else:  # a checkpoint refers to kept weights that are not whole
        shutil.copytree(folder / last, folder / "step-000000012")
        (folder / "step-000000012" / "state.safetensors").write_bytes(b"")
        last = "step-000000012"
    trainer = make_trainer(run, recipe, model())
    trainer.run()
    assert f"checkpoint {last} is damaged" in capsys.readouterr().err
    assert same(weights(trainer), expected)
    assert earlier != last


def test_damaged_kept_weights_take_their_checkpoints_with_them(interrupted):
    recipe, run, _ = interrupted
    for path in checkpoints_of(run).glob("kept-*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ChestXrayError, match=r"all checkpoints.*are damaged\. Delete"):
        make_trainer(run, recipe, model()).run()


def test_another_command_cannot_go_on_with_a_run(interrupted):
    recipe, run, _ = interrupted
    other = dict(recipe.to_dict(), name="other")
    with pytest.raises(UsageError, match=r"started with another name"):
        make_trainer(run, recipe, model(), identity=other).run()
    earlier = {name: value for name, value in recipe.to_dict().items() if name != "control"}
    with pytest.raises(UsageError, match=r"started with another control"):
        make_trainer(run, recipe, model(), identity=earlier).run()


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint_whole(tmp_path):
    recipe = small_recipe(*EVERYTHING)
    interrupt(tmp_path, recipe, 4)
    before = steps(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(ChestXrayError, match=r"could not be saved.*Free some space and continue with --resume"):
            make_trainer(tmp_path, recipe, model()).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert steps(tmp_path) == before
    assert not list(checkpoints_of(tmp_path).glob("*.partial"))
    make_trainer(tmp_path, recipe, model()).run()


def test_only_what_is_needed_is_kept(tmp_path):
    recipe = small_recipe("epochs=6", "checkpoint_steps=2", "selection=loss")
    fit = make_trainer(tmp_path, recipe, model()).run()
    found = sorted(path.name for path in checkpoints_of(tmp_path).iterdir())
    assert len(steps(tmp_path)) == 2
    assert f"kept-{fit.kept['step']:09}.safetensors" in found
    assert len(found) <= 4
