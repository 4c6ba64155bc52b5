import torch
from safetensors.torch import load_file

from tests.conftest import DEFAULT_MODEL
from tests.train.engine.fixtures import SIZE, small_model
from train.models.golden import golden_pixels, write_golden


def test_the_images_are_those_that_earlier_versions_drew():
    assert torch.equal(golden_pixels(160), load_file(DEFAULT_MODEL / "golden.safetensors")["pixels"])


def test_what_is_written_is_what_the_model_answers_in_evaluation_mode(tmp_path):
    model = small_model(dropout=0.5).train()
    write_golden(tmp_path / "golden.safetensors", model, lambda pixels: pixels / 255, SIZE)
    golden = load_file(tmp_path / "golden.safetensors")
    assert golden["pixels"].shape == (4, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(golden["logits"], model.eval()(pixel_values=golden["pixels"] / 255).logits)
