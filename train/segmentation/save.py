"""The folder of a lung segmenter: weights, graph, checks, card."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from huggingface_hub import ModelCardData
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from space.errors import ChestXrayError, UsageError, first_line
from space.inference.graph import FILE, INPUT
from space.inference.lungs import OUTPUT, SIZE, LungSegmenter
from train.common.templates import render_template
from train.models.golden import golden_pixels
from train.models.graph import check_operators, hash_of, open_session, to_onnx
from train.segmentation.results import SegmenterResults
from train.segmentation.unet import LungUNet

TEMPLATE = Path(__file__).parent / "card.md.jinja"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
TOLERANCE = 1e-4  # of a probability, by which a runtime may differ from torch


class _Probabilities(nn.Module):
    def __init__(self, network: LungUNet):
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network(pixels).sigmoid()


def save_segmenter(network: LungUNet, folder: Path) -> None:
    """Write weights, configuration and graph, and check the graph.

    Args:
        network: On the CPU, in evaluation mode.
        folder: Where to write.

    Raises:
        ChestXrayError: The graph computes something else than the network.
    """
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS)
    config = {"model_type": "lung-unet", "widths": list(network.widths), "image_size": SIZE, "labels": [OUTPUT]}
    (folder / CONFIG).write_text(f"{json.dumps(config, indent=2)}\n", encoding="utf-8")
    graph = to_onnx(_Probabilities(network), torch.zeros(2, 1, SIZE, SIZE, dtype=torch.uint8), [OUTPUT])
    onnx.helper.set_model_props(graph, {"labels": json.dumps([OUTPUT]), "weights": hash_of(folder / WEIGHTS)})
    onnx.checker.check_model(graph)
    (folder / FILE).parent.mkdir()
    (folder / FILE).write_bytes(graph.SerializeToString())
    check_segmenter(folder)


def load_segmenter(folder: Path) -> LungUNet:
    """The network that a folder's weights are of, in evaluation mode.

    Raises:
        UsageError: A file is missing or damaged.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        network = LungUNet(tuple(config["widths"]))
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UsageError(f"{folder} holds no lung segmenter: {first_line(error)}") from None
    return network.eval()


@torch.no_grad()
def check_segmenter(folder: Path) -> None:
    """Compare the graph with the weights, in onnxruntime and in OpenVINO.

    Raises:
        UsageError: A file is missing or damaged.
        ChestXrayError: The graph holds operators that no network needs, or computes something else.
    """
    path, pixels = folder / FILE, golden_pixels(SIZE)
    served = LungSegmenter.load(folder)
    check_operators(path)
    expected = _Probabilities(load_segmenter(folder))(pixels).numpy()
    answers = {
        "onnxruntime": open_session(path).run([OUTPUT], {INPUT: pixels.numpy()})[0],
        "OpenVINO": served.run(pixels[:, 0].numpy())[:, None],
    }
    for runtime, answer in answers.items():
        difference = np.abs(answer - expected).max()
        if not difference <= TOLERANCE:  # also where it is not a number
            raise ChestXrayError(
                f"{FILE} in {runtime}: probabilities differ from torch's by {difference:.1e}; at most {TOLERANCE} is "
                "allowed."
            )


def render_segmenter_card(results: SegmenterResults) -> str:
    """README.md of a segmenter's folder."""
    header = ModelCardData(
        license="apache-2.0",
        pipeline_tag="image-segmentation",
        library_name="onnx",
        tags=["chest-xray", "lung-segmentation"],
    )
    return render_template(TEMPLATE, header=header.to_yaml(), size=SIZE, **asdict(results))
