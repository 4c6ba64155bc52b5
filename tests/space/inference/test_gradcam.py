import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image

from space.inference.gradcam import class_activation_maps, constant_weights, overlay, split_network, weigh
from train.config.recipe import ModelRecipe
from train.models.factory import build


def full_backward_gradcam(model, layer: str, inputs: torch.Tensor, k: int) -> torch.Tensor:
    """The textbook way: hook the layer, run the whole network with gradients, one backward pass per class."""
    kept = {}

    def keep(module, args, output):
        output.retain_grad()
        kept["features"] = output

    handle = model.get_submodule(layer).register_forward_hook(keep)
    model(pixel_values=inputs).logits[:, k].sum().backward()
    handle.remove()
    features = kept["features"]
    weights = features.grad.mean(dim=(2, 3), keepdim=True)
    return F.relu((weights * features).sum(dim=1)).detach()


@pytest.mark.parametrize("architecture", ["mobilenetv2_100", "densenet121"])
def test_maps_of_all_classes_equal_a_full_backward_pass(architecture):
    torch.manual_seed(0)
    model, _ = build(ModelRecipe(architecture, 64, 0.0), ["a", "b", "c"], init="scratch")
    torch.nn.init.normal_(model.timm_model.get_classifier().weight, std=0.5)
    model.train()
    with torch.no_grad():  # fresh batch norm statistics, so that activations have a natural scale
        for _ in range(5):
            model(pixel_values=torch.randn(8, 3, 64, 64))
    model.eval()
    inputs = torch.randn(2, 3, 64, 64)
    logits, maps = class_activation_maps(model, inputs)
    assert torch.allclose(logits, model(pixel_values=inputs).logits, atol=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())
    for k in range(3):
        expected = full_backward_gradcam(model, model.config.gradcam_layer, inputs, k)
        assert expected.max() > 0
        assert (maps[:, k] - expected).abs().max() <= 1e-5 * max(1, expected.max())
        model.zero_grad()
    features = split_network(model)[0](inputs)
    weights = constant_weights(model, features.detach())
    assert torch.allclose(F.relu(weigh(features, weights)), maps, atol=1e-5 * max(1, maps.max()))


def test_a_head_that_is_not_linear_gets_its_exact_gradient():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc1, self.fc2 = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(144, 8), torch.nn.Linear(8, 2)

        def forward_features(self, x):
            return self.conv(x)

        def forward_head(self, x):
            return self.fc2(torch.tanh(self.fc1(x.flatten(1))))

    net, inputs = Net().eval(), torch.randn(1, 3, 8, 8)
    _, maps = class_activation_maps(net, inputs)
    features = net.conv(inputs).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net.forward_head(features)[0, 1], features)
    expected = F.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1))
    assert torch.allclose(maps[:, 1], expected, atol=1e-6)
    assert constant_weights(net, features.detach()) is None


@pytest.mark.parametrize("pool", ["max", "avgmax"])
def test_a_linear_head_that_does_not_average_gets_its_exact_gradient(pool):
    net = timm.create_model("mobilenetv2_035", num_classes=2, global_pool=pool).eval()
    assert constant_weights(net, net.forward_features(torch.randn(2, 3, 64, 64)).detach()) is None


def test_timm_names_the_split_that_gradcam_relies_on():
    net = timm.create_model("mobilenetv2_035", num_classes=2).eval()
    inputs = torch.randn(1, 3, 64, 64)
    assert torch.equal(net.forward_head(net.forward_features(inputs)), net(inputs))


def test_the_overlay_leaves_the_radiograph_alone_where_the_map_is_zero():
    image = Image.fromarray(np.full((40, 40), 90, np.uint8))
    activation = np.zeros((4, 4), np.float32)
    assert np.array_equal(np.asarray(overlay(image, activation, 1.0)), np.full((40, 40, 3), 90, np.uint8))
    activation[0, 0] = 3.0
    result = np.asarray(overlay(image, activation, 0.8)).astype(int)
    assert np.abs(result[0, 0] - 90).max() > 50
    assert np.array_equal(result[-1, -1], [90, 90, 90])
    assert np.array_equal(np.asarray(overlay(image, activation, 0.0)), np.full((40, 40, 3), 90, np.uint8))
