"""The model of a run folder, opened for evaluation."""

import numpy as np
import pytest
import torch
from transformers import PilBackend

from space.errors import UsageError
from tests.train.engine.fixtures import SIZE, small_model
from train.evaluation.finished_model import load_finished
from train.models.factory import save


def test_a_saved_model_answers_as_before_in_full_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    model = small_model().eval()
    size, unit = {"height": SIZE, "width": SIZE}, {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    save(model, PilBackend(do_resize=True, size=size, do_normalize=True, **unit), tmp_path)
    finished = load_finished(tmp_path, torch.device("cpu"))
    assert not torch.backends.cudnn.allow_tf32
    assert not finished.model.training
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, SIZE, SIZE), dtype=np.uint8))
    normalised = ((pixels / 255 - 0.5) / 0.25).expand(-1, 3, -1, -1)
    assert torch.allclose(finished.normalise(pixels), normalised, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(finished.model(pixel_values=normalised).logits, model(pixel_values=normalised).logits)


def test_a_damaged_model_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=f"the model in {tmp_path} cannot be loaded"):
        load_finished(tmp_path)
    small_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_finished(tmp_path)
