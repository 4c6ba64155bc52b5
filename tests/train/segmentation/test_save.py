import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from space.errors import ChestXrayError, UsageError
from space.inference.lungs import BUNDLED
from train.segmentation.results import read_segmenter_results
from train.segmentation.save import (
    CONFIG,
    WEIGHTS,
    check_segmenter,
    load_segmenter,
    render_segmenter_card,
    save_segmenter,
)
from train.segmentation.unet import LungUNet


def test_a_saved_network_comes_back_with_a_graph_that_equals_it(tmp_path):
    torch.manual_seed(1)
    network = LungUNet((4, 8, 8)).eval()
    save_segmenter(network, tmp_path)
    loaded = load_segmenter(tmp_path).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in network.state_dict().items())
    assert json.loads((tmp_path / CONFIG).read_text())["widths"] == [4, 8, 8]
    content = (tmp_path / "onnx" / "model.onnx").read_bytes()
    assert b".py" not in content  # no trace of this machine


def test_a_graph_of_other_weights_is_told(tmp_path):
    shutil.copytree(BUNDLED, tmp_path / "copy")
    weights = load_file(tmp_path / "copy" / WEIGHTS)
    weights["last.bias"] += 1
    save_file(weights, tmp_path / "copy" / WEIGHTS)
    with pytest.raises(ChestXrayError, match=r"probabilities differ from torch's by"):
        check_segmenter(tmp_path / "copy")


@pytest.mark.parametrize("damage", [{"widths": [4]}, {"widths": "x"}, {}])
def test_what_holds_no_segmenter_is_refused(tmp_path, damage):
    shutil.copytree(BUNDLED, tmp_path / "copy")
    (tmp_path / "copy" / CONFIG).write_text(json.dumps(damage))
    with pytest.raises(UsageError, match="holds no lung segmenter"):
        load_segmenter(tmp_path / "copy")


def test_the_card_says_what_was_measured_and_whose_masks_they_are():
    results = read_segmenter_results(BUNDLED / "results.json")
    card = render_segmenter_card(results)
    assert results.command in card
    for scores in (results.validation, *results.tests.values()):
        assert f"{scores.mean.value:.3f} ({scores.mean.low:.3f} to {scores.mean.high:.3f})" in card
    assert all(source.citation in card for source in results.sources)
