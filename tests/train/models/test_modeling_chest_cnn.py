import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from transformers import AutoModelForImageClassification

from tests.conftest import run_python
from train.config.recipe import ModelRecipe
from train.data.pixel_cache import Normaliser
from train.models.chest_cnns import CHEST_CNNS
from train.models.explained import ExplainedModel
from train.models.factory import build, save
from train.models.modeling_chest_cnn import ChestCnnConfig, ChestCnnForImageClassification
from train.models.preprocessing import input_size, normalisation, resize

STUDIES = {"chest_cnn_covid19": (256, ["Covid", "Normal", "Viral Pneumonia"]), "chest_cnn_pneumonia": (150, ["N", "P"])}


def built(architecture: str, size: int | None = None):
    """The model, its processor and its labels, at the study's image size or another one."""
    native, labels = STUDIES[architecture]
    torch.manual_seed(0)
    return *build(ModelRecipe(architecture, size or native, 0.0), labels), labels


def randomise_norms(model: nn.Module) -> None:
    """Give batch norms statistics and weights that a mix-up of theirs would show in."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)


def covid19_in_plain_torch() -> nn.Sequential:
    def block(channels: int, width: int, padding: int, rate: float) -> Sequence[nn.Module]:
        return nn.Conv2d(channels, width, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(rate)

    convolutions = [*block(3, 16, 0, 0), *block(16, 64, 1, 0.25), *block(64, 128, 1, 0.3), *block(128, 128, 1, 0.4)]
    dense = [nn.Linear(28800, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3)]
    return nn.Sequential(*convolutions, nn.Flatten(), *dense)


def pneumonia_in_plain_torch() -> nn.Sequential:
    layers: list[nn.Module] = []
    for (channels, width), rate in zip(pairwise((1, 32, 64, 64, 128, 256)), (0, 0.1, 0, 0.2, 0.2), strict=True):
        norm = nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Dropout(rate), norm]
        layers.append(nn.MaxPool2d(2, ceil_mode=True))  # 150, 75, 38, 19, 10, 5: "same" pooling keeps the odd row
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6400, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 2))


@pytest.mark.parametrize(
    ("architecture", "plain", "parameters", "shapes"),
    [
        (
            "chest_cnn_covid19",
            covid19_in_plain_torch,
            448 + 9_280 + 73_856 + 147_584 + 3_686_528 + 8_256 + 195,
            [(16, 127, 127), (64, 63, 63), (128, 31, 31), (128, 31, 31)],
        ),
        (
            "chest_cnn_pneumonia",
            pneumonia_in_plain_torch,
            1_245_313 + 129,  # the study's trainable parameters, and a second logit
            [(32, 75, 75), (64, 38, 38), (64, 19, 19), (128, 10, 10), (256, 10, 10)],
        ),
    ],
)
def test_a_studys_network_is_the_published_one_layer_by_layer(architecture, plain, parameters, shapes):
    model = built(architecture)[0].eval()
    randomise_norms(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    plain = plain().eval()
    own = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    theirs = [module for module in plain if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for source, target in zip(own, theirs, strict=True):
        target.load_state_dict(source.state_dict())
    size = model.config.image_size
    gray = torch.rand(2, 1, size, size)
    inputs = gray.expand(-1, 3, -1, -1)
    logits = model(pixel_values=inputs).logits
    assert logits.std() > 0.01
    expected = plain(inputs if model.config.num_channels == 3 else gray)
    assert torch.allclose(logits, expected, atol=1e-6)
    seen = inputs if model.config.num_channels == 3 else gray
    for block, shape in zip(model.features, shapes, strict=True):
        seen = block(seen)
        assert tuple(seen.shape[1:]) == shape


@pytest.mark.parametrize(
    ("architecture", "plain"), [(name, globals()[f"{name[10:]}_in_plain_torch"]) for name in STUDIES]
)
def test_dropout_stands_where_the_study_has_it(architecture, plain):
    def kinds(modules) -> list[tuple]:
        leaves = [module for module in modules if not list(module.children())]
        return [(type(m), getattr(m, "p", None)) for m in leaves if getattr(m, "p", None) != 0]

    assert kinds(built(architecture)[0].modules()) == kinds(plain())


def test_weights_start_as_keras_draws_them():
    model = built("chest_cnn_covid19")[0]
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 7
    for layer in layers:
        receptive = layer.weight[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        limit = (6 / (receptive * (layer.weight.shape[0] + layer.weight.shape[1]))) ** 0.5
        assert 0.9 * limit < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize("architecture", STUDIES)
def test_a_saved_model_comes_back_with_weights_labels_and_settings(architecture, tmp_path):
    model, processor, labels = built(architecture, size=64)
    randomise_norms(model)
    save(model, processor, tmp_path)
    files = {"config.json", "model.safetensors", "modeling_chest_cnn.py", "preprocessor_config.json"}
    assert {path.name for path in tmp_path.iterdir()} == files
    again, found = AutoModelForImageClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    inputs = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.eval()(pixel_values=inputs).logits, again.eval()(pixel_values=inputs).logits)
    assert list(again.config.id2label.values()) == labels
    assert again.config.problem_type == "single_label_classification"
    assert again.config.widths == list(CHEST_CNNS[architecture]["widths"])
    save(again, processor, tmp_path / "again")  # as after calibration: the code still travels along
    assert {path.name for path in (tmp_path / "again").iterdir()} == files
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()


STRANGER = """
import json, sys
from PIL import Image
from transformers import pipeline
folder, *images = sys.argv[1:]
classify = pipeline("image-classification", model=folder, trust_remote_code=True)
scores = [classify(Image.open(image), function_to_apply="none") for image in images]
try:
    pipeline("image-classification", model=folder, trust_remote_code=False)
    refusal = None
except ValueError as error:
    refusal = str(error)
ours = [name for name in sys.modules if name.split(".")[0] in ("train", "space", "hub", "timm")]
print(json.dumps({"scores": scores, "refusal": refusal, "ours": ours}))
"""


@pytest.mark.parametrize("architecture", STUDIES)
def test_a_stranger_with_only_transformers_gets_our_logits(architecture, tmp_path):
    model, processor, labels = built(architecture)
    save(model, processor, tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (311, 277, 4), dtype=np.uint8)
    gray = Image.fromarray(pixels[..., 0])
    images = {
        "L": gray,
        "RGB": gray.convert("RGB"),
        "RGBA": Image.merge("RGBA", [gray] * 3 + [Image.fromarray(pixels[..., 3])]),
    }
    paths = [tmp_path / f"{mode}.png" for mode in images]
    for path, image in zip(paths, images.values(), strict=True):
        image.save(path)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    done = run_python("-c", STRANGER, tmp_path / "model", *paths, cwd=elsewhere, real=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ours"] == []
    assert "trust_remote_code=True" in told["refusal"]
    own = torch.from_numpy(resize(processor, gray))[None, None]
    normalise = Normaliser(*normalisation(processor), torch.device("cpu"))
    with torch.inference_mode():
        expected = dict(zip(labels, model.eval()(pixel_values=normalise(own)).logits[0].tolist(), strict=True))
    assert len(told["scores"]) == 3
    for scores in told["scores"]:
        assert {row["label"]: row["score"] for row in scores} == pytest.approx(expected, abs=1e-4)


def test_resizing_and_normalising_are_what_the_saved_processor_says():
    _, processor, _ = built("chest_cnn_pneumonia", size=64)
    gray = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 130), dtype=np.uint8))
    expected = np.asarray(gray.resize((64, 64), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(processor, gray), expected)
    assert input_size(processor) == 64
    mean, std = normalisation(processor)
    assert (mean.flatten().tolist(), std.flatten().tolist()) == ([0, 0, 0], [1, 1, 1])
    values = processor(gray.convert("RGB"), return_tensors="pt")["pixel_values"]
    assert torch.allclose(values[0, 1], torch.from_numpy(expected / 255).float(), atol=1e-6)


@pytest.mark.parametrize("architecture", STUDIES)
def test_gradcam_equals_a_full_backward_pass_at_the_layer_that_the_config_names(architecture):
    model, processor, _ = built(architecture, size=64)
    randomise_norms(model.eval())
    with torch.no_grad():  # two opposite logits: where one has no map, the other one has
        nn.init.normal_(model.get_classifier().weight)
        model.get_classifier().weight[1] = -model.get_classifier().weight[0]
    inputs, kept = torch.rand(2, 3, 64, 64), []
    with torch.no_grad():
        logits, _, _, cams = ExplainedModel(model, processor).explain(inputs)
    maps = cams.clamp(min=0)
    assert torch.allclose(logits, model(pixel_values=inputs).logits, atol=1e-6)
    layer = model.get_submodule(model.config.gradcam_layer)
    handle = layer.register_forward_hook(lambda module, args, output: kept.append(output))
    full = model(pixel_values=inputs).logits
    handle.remove()
    assert kept[0].shape[-1] == maps.shape[-1] > 2
    for k in range(full.shape[1]):
        (gradient,) = torch.autograd.grad(full[:, k].sum(), kept[0], retain_graph=True)
        expected = F.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1))
        assert torch.allclose(maps[:, k], expected, rtol=1e-5, atol=1e-5 * float(maps.max()))
    assert (maps.amax(dim=(1, 2, 3)) > 1e-3).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_labels_give_the_cross_entropy():
    model = built("chest_cnn_covid19", size=64)[0].eval()
    inputs, labels = torch.rand(2, 3, 64, 64), torch.tensor([2, 0])
    output = model(pixel_values=inputs, labels=labels)
    assert torch.allclose(output.loss, F.cross_entropy(output.logits, labels))
    assert model(pixel_values=inputs).loss is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"paddings": (1, 1, 1)}, "paddings has 3 values; it must have 4"),
        ({"hidden_dropouts": (0.5,)}, "hidden_dropouts has 1 values; it must have 2"),
        ({"widths": (), "paddings": (), "block_dropouts": ()}, "at least one block"),
        ({"widths": (16, 0, 8, 8)}, "at least 1"),
        ({"paddings": (2, 1, 1, 1)}, "0 or 1"),
        ({"block_dropouts": (0, 0, 0, 1.0)}, r"in \[0, 1\)"),
        ({"num_channels": 2}, r"1 \(gray\) or 3"),
        ({"image_size": 17}, "at least 18 pixels"),
    ],
)
def test_settings_that_make_no_network_are_refused_with_what_is_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        ChestCnnConfig(**settings)


def test_the_smallest_image_that_the_settings_allow_works():
    model = ChestCnnForImageClassification(ChestCnnConfig(image_size=18, hidden_sizes=(), hidden_dropouts=()))
    assert model(torch.rand(1, 3, 18, 18)).logits.shape == (1, 2)


def test_images_of_another_shape_are_refused():
    model = built("chest_cnn_pneumonia", size=64)[0]
    for shape in [(1, 3, 32, 32), (3, 64, 64), (1, 2, 64, 64)]:
        with pytest.raises(ValueError, match=r"must be \(B, 3, 64, 64\)"):
            model(pixel_values=torch.zeros(shape))
