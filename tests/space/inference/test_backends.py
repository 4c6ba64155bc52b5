"""OpenVINO computes torch's numbers, or stands aside."""

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from transformers import pipeline

from space.inference import backends as backends
from space.inference.backends import choose_backend, torch_backend
from space.inference.classifier import Classifier
from space.inference.gradcam import class_activation_maps
from tests.conftest import DEFAULT_MODEL, run_python
from tests.phantoms import draw_phantom


class Wrapped(nn.Module):
    """A network with the face of a transformers classifier."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.timm_model = net


class Small(nn.Module):
    """A small network of gray images; `twist` is applied to its feature maps."""

    def __init__(self, twist=lambda maps: maps):
        super().__init__()
        self.conv, self.twist, self.linear = nn.Conv2d(1, 4, 3), twist, nn.Linear(4, 3)

    def forward_features(self, pixels: Tensor) -> Tensor:
        return self.twist(self.conv(pixels.mean(dim=1, keepdim=True)))

    def forward_head(self, maps: Tensor) -> Tensor:
        return self.linear(maps.relu().mean(dim=(2, 3)))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def phantoms():
    random = np.random.default_rng(3)
    return [draw_phantom(random, pneumonia=k % 2 == 0, width=120 + 9 * k) for k in range(9)]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(DEFAULT_MODEL)


def pixels(n: int, size: int) -> Tensor:
    return torch.rand(n, 3, size, size) * 4 - 2


NETS = {
    "mobilenetv2": lambda: timm.create_model("mobilenetv2_050", num_classes=3),
    "densenet": lambda: timm.create_model("densenet121", num_classes=3, block_config=(2, 2), growth_rate=8),
    "own": Small,
}


@pytest.mark.parametrize("net", NETS)
def test_openvino_gives_the_logits_of_torch_for_batches_of_any_size(net):
    model, size = Wrapped(NETS[net]()).eval(), 64
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    backend, plain = choose_backend(model, pixels(2, size)), torch_backend(model)
    assert backend.name == "OpenVINO"
    for n in (1, 3, 8):
        inputs = pixels(n, size)
        for found, expected in zip(backend.run(inputs), plain.run(inputs), strict=True):
            assert (found - expected).abs().max() <= 1e-4 * max(1, expected.abs().max())
            assert expected.std() > 1e-3  # else anything would agree
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable


def test_grad_cam_is_the_same_from_either(classifier, phantoms):
    for image in phantoms[:3]:
        (found,) = classifier.examine([image])
        logits, maps = class_activation_maps(classifier.model, classifier.preprocess([image]))
        assert np.abs(classifier.maps(found) - maps[0].numpy()).max() <= 1e-4 * max(1, float(maps.max()))
        assert found.probabilities == pytest.approx(logits[0].softmax(0).numpy(), abs=1e-4)


def test_the_bundled_model_gives_the_probabilities_of_pipeline(classifier, phantoms):
    assert classifier.backend == "OpenVINO"
    answers = pipeline("image-classification", model=str(DEFAULT_MODEL))([image.convert("RGB") for image in phantoms])
    expected = [[{a["label"]: a["score"] for a in answer}[label] for label in classifier.labels] for answer in answers]
    assert np.abs(classifier.probabilities(phantoms) - np.array(expected)).max() <= 1e-4


def test_without_openvino_torch_computes_the_same(classifier, phantoms, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    slow = Classifier.load(DEFAULT_MODEL)
    assert slow.backend == "torch"
    assert (classifier.logits(phantoms) - slow.logits(phantoms)).abs().max() <= 1e-4


@pytest.mark.parametrize(
    ("twist", "says"),
    [
        pytest.param(torch.special.bessel_j0, "cannot run", id="an operation that OpenVINO lacks"),
        pytest.param(lambda maps: maps + torch.rand_like(maps), "differ", id="a model that does not repeat itself"),
        pytest.param(lambda maps: maps * float("nan"), "differ", id="no numbers"),
        pytest.param(lambda maps: maps.reshape(int(maps.shape[0]), 4, 62, -1)[:, :, :, : int(maps.sum() > 0) + 1],
                     "differ", id="a model whose shape depends on the image"),
    ],
)  # fmt: skip
def test_where_openvino_fails_or_differs_torch_computes(twist, says, caplog):
    level = logging.getLogger().level
    model = Wrapped(Small(twist)).eval()
    with caplog.at_level(logging.WARNING):
        backend = choose_backend(model, torch.stack([torch.rand(3, 64, 64), torch.zeros(3, 64, 64) - 1]))
    assert backend.name == "torch"
    assert says in caplog.text
    assert backend.run(pixels(2, 64))[0].shape == (2, 3)
    assert logging.getLogger().level == level


def test_a_wrong_conversion_is_found_out(monkeypatch):
    real = backends.openvino_backend

    def off_by_little(*arguments):
        right = real(*arguments)
        return backends.Backend(right.name, lambda inputs: tuple(values + 2e-4 for values in right.run(inputs)))

    monkeypatch.setattr(backends, "openvino_backend", off_by_little)
    assert choose_backend(Wrapped(Small()).eval(), pixels(2, 32)).name == "torch"


def test_threads_do_not_mix_their_answers(classifier, phantoms):
    alone = [classifier.logits([image])[0] for image in phantoms]
    order = np.random.default_rng(0).integers(len(phantoms), size=200)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda index: classifier.logits([phantoms[index]])[0], order))
    assert max(float((answer - alone[index]).abs().max()) for answer, index in zip(answers, order, strict=True)) < 1e-5
    assert min(float((alone[i] - alone[j]).abs().max()) for i in range(9) for j in range(i)) > 1e-3


def test_loading_a_model_reports_to_no_one_and_leaves_no_file(tmp_path):
    program = (
        "import socket, sys\n"
        "def refuse(*arguments): raise SystemExit('something reached for the network')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from space.inference.classifier import Classifier\n"
        f"print(Classifier.load({str(DEFAULT_MODEL)!r}).backend)\n"
        "print(sys.modules['openvino_telemetry'])\n"
    )
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir(), scratch.mkdir()
    done = run_python("-c", program, HOME=str(home), TMPDIR=str(scratch), CI="")
    assert done.stdout.split() == ["OpenVINO", "None"], done.stderr
    assert [name for folder in (home, scratch) for name in os.listdir(folder)] == []
