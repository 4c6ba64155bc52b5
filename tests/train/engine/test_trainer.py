import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.train.engine.fixtures import make_inputs, make_trainer, small_model, small_recipe, small_splits
from train.data.pixel_cache import PixelDataset

STILL = (
    "rotation_degrees=0", "shift=0", "zoom=[1, 1]", "flip_probability=0", "gamma=[1, 1]", "contrast=0", "brightness=0",
    "blur_sigma=0", "noise_std=0", "erase_probability=0",
)  # fmt: skip


def state(trainer):
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def first_batch(trainer):
    (batches,) = [next(trainer.batches.epoch(0))]
    return batches[0]


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("adamw", "cosine"), ("adam", "one-cycle"), ("adamax", "plateau"), ("rmsprop", "constant"), ("sgd", "constant")],
)
def test_every_optimiser_and_schedule_lowers_the_loss(tmp_path, optimizer, schedule):
    rate = {"sgd": 0.05, "rmsprop": 1e-3}.get(optimizer, 5e-3)
    changes = (f"optimizer={optimizer}", f"schedule={schedule}", f"learning_rate={rate}", "epochs=12")
    history = make_trainer(tmp_path, small_recipe(*STILL, *changes)).run().history
    assert len(history) == 12
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]


def test_a_step_of_sgd_is_the_gradient_of_the_mean_loss(tmp_path):
    recipe = small_recipe(*STILL, "optimizer=sgd", "schedule=constant", "warmup_epochs=0", "weight_decay=0")
    trainer = make_trainer(tmp_path, recipe, max_steps=1)
    batch, before = first_batch(trainer), copy.deepcopy(trainer.network).eval()
    trainer.run()
    inputs = trainer.inputs.normalise(batch.pixels)
    F.cross_entropy(before(pixel_values=inputs).logits, batch.labels).backward()
    for (name, ours), theirs in zip(trainer.network.named_parameters(), before.parameters(), strict=True):
        # Nesterov's first step is the gradient times 1 + momentum
        assert torch.allclose(ours, theirs - 3e-3 * 1.9 * theirs.grad, atol=1e-6), name


@pytest.mark.parametrize("balance", ["none", "weighted-loss"])
def test_accumulated_batches_are_one_larger_batch(tmp_path, balance):
    changes = (*STILL, f"class_balance={balance}", "label_smoothing=0.1", "clip_norm=0.5")
    one = make_trainer(tmp_path / "one", small_recipe(*changes, "batch_size=12"), max_steps=4)
    three = make_trainer(
        tmp_path / "three", small_recipe(*changes, "batch_size=4", "accumulation_steps=3"), max_steps=4
    )
    one.run()
    three.run()
    assert all(torch.allclose(tensor, state(three)[name], atol=1e-5) for name, tensor in state(one).items())


def test_a_weighted_loss_makes_classes_count_the_same(tmp_path):
    recipe = small_recipe(*STILL, "class_balance=weighted-loss", "batch_size=48")
    trainer = make_trainer(tmp_path, recipe, max_steps=1)
    before = copy.deepcopy(trainer.network).eval()
    batch = first_batch(trainer)
    fit = trainer.run()
    with torch.no_grad():
        losses = F.cross_entropy(
            before(pixel_values=trainer.inputs.normalise(batch.pixels)).logits, batch.labels, reduction="none"
        )
    per_class = [losses[batch.labels == k].mean() for k in (0, 1)]
    assert fit.history[0]["train_loss"] == pytest.approx(float(sum(per_class) / 2), rel=1e-4)


def test_averaged_weights_follow_their_definition_and_are_what_is_kept(tmp_path):
    recipe = small_recipe("ema_decay=0.5", "checkpoint_steps=1", "epochs=1")
    trainer, seen = make_trainer(tmp_path, recipe, small_model(batch_norm=True)), []
    save = trainer._save
    trainer._save = lambda: (seen.append(state(trainer)), save())
    trainer.run()
    name = "features.block1.conv.weight"
    expected = seen[0][name]
    for weights in seen[1:6]:
        expected = 0.5 * expected + 0.5 * weights[name]
    assert torch.allclose(state(trainer)[name], expected, atol=1e-6)
    assert not torch.allclose(seen[5][name], expected, atol=1e-4)


def test_the_seed_decides_the_order_of_the_images_and_how_they_change(tmp_path):
    def trained(name, seed):
        trainer = make_trainer(tmp_path / name, small_recipe(), seed=seed, max_steps=3)  # the same first weights
        trainer.run()
        return state(trainer)

    first, again, other = trained("first", 5), trained("again", 5), trained("other", 6)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items() if tensor.ndim > 1)


@pytest.mark.parametrize(("trainable", "moved"), [("head", {"head"}), ("last-stage", {"head", "features"})])
def test_frozen_weights_and_norms_stay_as_they_are(tmp_path, trainable, moved):
    trainer = make_trainer(tmp_path, small_recipe(f"trainable={trainable}", "epochs=1"), small_model(batch_norm=True))
    before = state(trainer)
    trainer.run()
    changed = {name for name, tensor in state(trainer).items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in changed} == moved
    assert not {name for name in changed if "block1" in name}


def test_an_early_stop_keeps_the_best_weights(tmp_path):
    recipe = small_recipe("selection=loss", "early_stopping_epochs=2", "learning_rate=0.5", "epochs=30", *STILL)
    fit = make_trainer(tmp_path, recipe).run()
    losses = [row["validation_loss"] for row in fit.history]
    assert len(losses) < 30
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    assert "validation_loss has not improved for 2 epochs" in fit.stopped
    assert fit.kept["epoch"] == int(np.argmin(losses)) + 1


def test_a_plateau_rolls_back_to_the_kept_weights(tmp_path):
    changes = ("schedule=plateau", "selection=loss", "plateau_epochs=1", "learning_rate=0.05", "epochs=8", *STILL)
    trainer = make_trainer(tmp_path, small_recipe(*changes, "plateau_rollback=true", "warmup_epochs=0"))
    written, seen = {}, []
    follow = trainer._follow

    def watch(decision):
        if decision.keep:
            written["kept"] = state(trainer)
        follow(decision)
        if decision.rollback:
            seen.append(all(torch.equal(tensor, written["kept"][name]) for name, tensor in state(trainer).items()))

    trainer._follow = watch
    fit = trainer.run()
    assert seen
    assert all(seen)
    rates = [row["learning_rate"] for row in fit.history]
    assert rates[0] == 0.05
    assert rates[-1] < 0.05
    assert all(math.log2(0.05 / rate) % 1 == 0 for rate in rates)


def test_oversampling_shows_originals_as_they_are_and_copies_changed(tmp_path):
    splits = small_splits((30, 10))
    recipe = small_recipe("class_balance=oversample", "batch_size=60", "flip_probability=1", "brightness=0.2")
    shown = []
    normalise = make_inputs(tmp_path, recipe).normalise
    spy = {"normalise": lambda pixels: shown.append(pixels) or normalise(pixels)}
    trainer = make_trainer(tmp_path, recipe, splits=splits, max_steps=1, **spy)
    batch = first_batch(trainer)
    assert torch.bincount(batch.labels).tolist() == [30, 30]
    assert torch.bincount(batch.labels[batch.augmented]).tolist() == [0, 20]
    trainer.run()
    pixels = shown[0]
    differs = (pixels - batch.pixels / 255).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert torch.equal(differs, batch.augmented)


def test_surroundings_are_swapped_and_hidden_in_training(tmp_path):
    whole = small_splits()
    lungs = np.zeros_like(whole["train"].pixels)
    lungs[:, 8:24, 6:13] = lungs[:, 8:24, 19:26] = 255
    masked = whole | {"train": PixelDataset(whole["train"].pixels, whole["train"].labels, lungs=lungs)}

    def shown(*changes: str) -> torch.Tensor:
        seen = []
        folder = tmp_path / "+".join(changes or ["own"])
        trainer = make_trainer(folder, small_recipe(*STILL, *changes), splits=masked, max_steps=1)
        trainer.model.register_forward_pre_hook(lambda *given: seen.append(given[2]["pixel_values"]), with_kwargs=True)
        trainer.run()
        return seen[0]

    own, *changed = (shown(*changes) for changes in ((), ("swap_surroundings=1",), ("fill_surroundings=1",)))
    for images in changed:
        assert (images - own).abs()[..., :3].mean() > 0.1
        assert ((images - own)[..., 14:18, 8:11].flatten(1).std(dim=1)).median() < 0.2
