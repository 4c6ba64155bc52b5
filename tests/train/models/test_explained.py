import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from space.errors import UsageError
from train.config.recipe import ModelRecipe
from train.models.explained import ExplainedModel, explain_head
from train.models.factory import build

ARCHITECTURES = ["mobilenetv2_100", "densenet121", "chest_cnn_covid19", "chest_cnn_pneumonia"]


def natural(architecture: str, labels: list[str]):
    """A model whose activations have a natural scale, and whose logits differ."""
    torch.manual_seed(0)
    model, processor = build(ModelRecipe(architecture, 64, 0.0), labels, init="scratch")
    model.train()
    with torch.no_grad():
        for _ in range(5):  # statistics of batch norms
            model(pixel_values=torch.rand(8, 3, 64, 64))
        nn.init.normal_(getattr(model, "timm_model", model).get_classifier().weight, std=0.5)
    return model.eval(), processor


def full_backward_gradcam(model, inputs: torch.Tensor) -> torch.Tensor:
    """The textbook way: hook the layer, run the whole network, one backward pass for each class."""
    kept = []
    handle = model.get_submodule(model.config.gradcam_layer).register_forward_hook(
        lambda module, args, output: kept.append(output)
    )
    logits = model(pixel_values=inputs).logits
    handle.remove()
    gradients = [torch.autograd.grad(of_class.sum(), kept[0], retain_graph=True)[0] for of_class in logits.T]
    weights = [gradient.mean(dim=(2, 3), keepdim=True) for gradient in gradients]
    return torch.stack([F.relu((weight * kept[0]).sum(dim=1)) for weight in weights], dim=1).detach()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_it_answers_as_the_model_and_explains_as_a_full_backward_pass(architecture):
    model, processor = natural(architecture, ["a", "b", "c"])
    inputs = torch.rand(2, 3, 64, 64)
    explanation = ExplainedModel(model, processor).explain(inputs)
    logits = model(pixel_values=inputs).logits
    assert torch.allclose(explanation.logits, logits, atol=1e-5)
    assert torch.allclose(explanation.probabilities, logits.softmax(dim=1), atol=1e-6)
    features = getattr(model, "timm_model", model).forward_features(inputs)
    assert torch.allclose(explanation.embedding, features.mean(dim=(2, 3)), atol=1e-6)
    with torch.enable_grad():
        expected = full_backward_gradcam(model, inputs)
    assert (expected.amax(dim=(2, 3)) > 0).any(dim=0).sum() >= 2  # classes that have a map
    assert (explanation.cams.clamp(min=0) - expected).abs().max() <= 1e-5 * max(1, expected.max())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("architecture", ["mobilenetv2_100", "chest_cnn_covid19"])
@torch.no_grad()
def test_pixels_of_any_size_go_through_the_models_own_preprocessing(architecture):
    model, processor = natural(architecture, ["a", "b"])
    explained = ExplainedModel(model, processor)
    for height, width in ((64, 64), (100, 50), (30, 200)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width), np.uint8)
        values = processor(Image.fromarray(pixels).convert("RGB"), return_tensors="pt")["pixel_values"]
        expected = explained.explain(values)
        actual = explained(torch.from_numpy(pixels)[None, None])
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_a_model_keeps_its_mode_and_its_statistics(training):
    model, _ = build(ModelRecipe("test_efficientnet", 64, 0.0), ["a", "b"], init="scratch")
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    explain_head(model, 64)
    assert {module.training for module in model.modules()} == {training}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenetv2_035", {"global_pool": "max"}),
        ("mobilenetv2_035", {"global_pool": "avgmax"}),
        ("mobilenetv3_small_050", {}),  # an activation between pooling and classifier
        ("test_convnext", {}),  # a norm there
        ("test_vit", {"img_size": 64}),
    ],
)
def test_other_heads_are_refused(name, options):
    network = timm.create_model(name, num_classes=2, **options)
    with pytest.raises(UsageError, match="averages its last feature map and ends in one linear layer"):
        explain_head(network, 64)
