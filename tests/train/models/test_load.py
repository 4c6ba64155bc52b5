"""Saved models, opened again: of either family, and what is refused."""

import json

import pytest
import torch
from transformers import PilBackend

from space.errors import UsageError
from tests.train.engine.fixtures import small_model
from train.config.recipe import ModelRecipe
from train.models.factory import build, save
from train.models.load import load_saved
from train.models.modeling_chest_cnn import ChestCnnForImageClassification

LABELS = ["NORMAL", "PNEUMONIA"]


@pytest.mark.parametrize("architecture", ["test_efficientnet", "chest_cnn_pneumonia"])
def test_what_was_saved_comes_back(tmp_path, architecture):
    model, processor = build(ModelRecipe(architecture, 64), LABELS, "scratch")
    save(model, processor, tmp_path)
    again, processor_again = load_saved(tmp_path)
    assert type(again) is type(model)
    assert {name: value.tolist() for name, value in again.state_dict().items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }
    assert processor_again.to_dict() == processor.to_dict()


def test_our_own_networks_need_no_remote_code_and_are_resized_by_pillow(tmp_path):
    save(*build(ModelRecipe("chest_cnn_pneumonia", 64), LABELS, "scratch"), tmp_path)
    code = tmp_path / "modeling_chest_cnn.py"
    assert code.is_file()
    code.write_text("raise SystemExit('the code of the folder was run')")
    model, processor = load_saved(tmp_path)
    assert isinstance(model, ChestCnnForImageClassification)
    assert isinstance(processor, PilBackend)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"no weights"),
        ("config.json", b"{"),
        ("config.json", json.dumps({"model_type": "no such type"}).encode()),
        ("model.safetensors", None),
        ("config.json", None),
    ],
)
def test_a_damaged_or_missing_file_is_a_usage_error_of_one_line(tmp_path, name, content):
    save(*build(ModelRecipe("test_efficientnet", 64), LABELS, "scratch"), tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"^the model in {tmp_path} cannot be loaded: ") as caught:
        load_saved(tmp_path)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_not_opened(tmp_path):
    save(*build(ModelRecipe("test_efficientnet", 64), LABELS, "scratch"), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(small_model().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_saved(tmp_path)
