"""Two processes on the CPU train the model that one trains."""

import json
import socket

import pytest
from safetensors.torch import load_file

from tests.conftest import TINY_RECIPE, run_python, start_python
from tests.train.engine.fixtures import finetune

TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node", "2"]
# No batch norm and no dropout: nothing in it depends on who computes what.
WITHOUT_NORM = ["architecture=test_nfnet", "optimizer=sgd", "epochs=2", "checkpoint_steps=5"]

RANKS = """
import hashlib, pathlib, sys
from accelerate import Accelerator
from tests.train.engine.fixtures import make_inputs, small_model, small_recipe
from train.engine.trainer import Trainer
folder = pathlib.Path(sys.argv[1])
accelerator = Accelerator(cpu=True)
recipe = small_recipe("ema_decay=0.9", "selection=loss")
trainer = Trainer(accelerator, make_inputs(folder / "run", recipe, small_model(dropout=0.2, batch_norm=True)))
trainer.run()
digest = hashlib.sha256()
for name, tensor in sorted(trainer.network.state_dict().items()):
    digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
(folder / f"rank{accelerator.process_index}").write_text(digest.hexdigest())
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def torchrun(*options):
    return run_python(*TORCHRUN, "train/finetune.py", *options)


def trained(start, dataset, output, *changes):
    """What a way of starting the run printed, and its results."""
    options = ["--recipe", TINY_RECIPE, "--dataset", dataset, "--output", output, "--init", "scratch"]
    done = start(*options, *(word for change in (*WITHOUT_NORM, *changes) for word in ("--set", change)))
    assert done.returncode == 0, done.stderr
    return done, json.loads((output / "results.json").read_text())


@pytest.fixture(scope="module")
def pair(dataset_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    _, alone = trained(finetune, dataset_folder, folder / "one", "batch_size=16")
    done, shared = trained(torchrun, dataset_folder, folder / "two", "batch_size=8")
    return folder, alone, shared, done


def test_two_processes_follow_one_with_the_same_global_batch(pair):
    folder, *_ = pair
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    assert max((tensor - two[name]).abs().max() for name, tensor in one.items()) < 1e-5


def test_metrics_are_those_of_one_process_without_images_counted_twice(pair):
    _, alone, shared, _ = pair
    assert alone["images"]["validation"] % 2 == 1  # two processes cannot share it evenly
    for ours, theirs in zip(alone["history"], shared["history"], strict=True):
        for name in ("train_loss", "validation_loss", "validation_auroc", "validation_accuracy"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5), name
    for rule, metrics in alone["splits"]["test"].items():
        for name, found in metrics.items():
            assert found["value"] == pytest.approx(shared["splits"]["test"][rule][name]["value"], abs=1e-5)


def test_only_the_main_process_writes_and_speaks(pair):
    folder, _, shared, done = pair
    assert shared["processes"] == 2
    assert done.stdout.count("2 process(es)") == done.stdout.count("written:") == 1
    assert {path.name for path in folder.iterdir()} == {"one", "two"}
    assert {path.name for path in (folder / "one").iterdir()} == {path.name for path in (folder / "two").iterdir()}


def test_every_process_ends_with_the_same_weights_and_statistics(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])

    processes = []
    for rank in "01":  # as torchrun would start them
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        with (tmp_path / f"errors{rank}").open("w") as errors:
            processes.append(start_python("-c", RANKS, tmp_path, stdout=errors, stderr=errors, **place))
    for rank, process in enumerate(processes):
        assert process.wait(300) == 0, (tmp_path / f"errors{rank}").read_text()
    assert (tmp_path / "rank0").read_text() == (tmp_path / "rank1").read_text()
