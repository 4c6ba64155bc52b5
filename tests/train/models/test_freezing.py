import pytest
import torch

from space.errors import UsageError
from train.config.recipe import ModelRecipe
from train.models.factory import build
from train.models.freezing import check_batch_norm, freeze, train_mode

TINY = ModelRecipe("test_efficientnet", 64, 0.1)
CHEST_CNN = ModelRecipe("chest_cnn_pneumonia", 32, 0.0)
LABELS = ["NORMAL", "PNEUMONIA"]
HEADS = {
    "mobilenetv2_035": ["classifier."],
    "densenet121": ["classifier."],
    "resnet18": ["fc."],
    "chest_cnn_covid19": ["head."],
    "chest_cnn_pneumonia": ["head."],
}
LAST_STAGES = {
    "mobilenetv2_035": ["blocks.6.", "conv_head.", "bn2."],
    "densenet121": ["features.denseblock4.", "features.norm5."],
    "resnet18": ["layer4."],
    "chest_cnn_covid19": ["features.block4."],
    "chest_cnn_pneumonia": ["features.block5."],
}


@pytest.mark.parametrize("architecture", HEADS)
def test_freezing_leaves_the_named_part_trainable_and_nothing_else(architecture):
    model, _ = build(ModelRecipe(architecture, 64, 0.0), LABELS, init="scratch")
    names = [name.removeprefix("timm_model.") for name, _ in model.named_parameters()]
    parts = {"head": HEADS[architecture], "last-stage": HEADS[architecture] + LAST_STAGES[architecture], "all": [""]}
    sizes = []
    for trainable in ("last-stage", "head", "all"):  # in an order in which each must undo the one before
        freeze(model, trainable)
        wanted = [name for name in names if name.startswith(tuple(parts[trainable]))]
        got = [name for name, parameter in zip(names, model.parameters(), strict=True) if parameter.requires_grad]
        assert got == wanted
        assert all(any(name.startswith(part) for name in got) for part in parts[trainable])
        sizes.append(len(got))
    assert sizes[1] < sizes[0] < sizes[2] == len(names)


def test_what_cannot_be_frozen_is_refused_with_what_is_allowed():
    model, _ = build(TINY, LABELS, init="scratch")
    with pytest.raises(UsageError, match="all, last-stage, head"):
        freeze(model, "backbone")


@pytest.mark.parametrize("recipe", [TINY, CHEST_CNN], ids=lambda recipe: recipe.architecture)
def test_a_frozen_part_stays_as_it_is_while_the_rest_learns(recipe):
    torch.manual_seed(0)
    model, _ = build(recipe, LABELS, init="scratch")
    freeze(model, "last-stage")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.eval()
    for _ in range(2):
        train_mode(model)
        inputs = torch.rand(4, 3, recipe.image_size, recipe.image_size)
        model(pixel_values=inputs, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
        optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    owners = {name.rpartition(".")[0] for name in trained}
    assert {name.rpartition(".")[0] for name in changed} == owners
    assert trained <= changed
    norms = [name for name in before if name.endswith("running_mean")]
    moved = [name in changed for name in norms]
    assert not moved[0]
    assert moved[-1]
    assert model.training
    freeze(model, "all")
    train_mode(model)
    assert all(module.training for module in model.modules())


def test_a_batch_of_one_image_is_refused_where_batch_norm_learns_from_it():
    model, _ = build(TINY, LABELS, init="scratch")
    check_batch_norm(model, 2)
    with pytest.raises(UsageError, match="at least two images"):
        check_batch_norm(model, 1)
    freeze(model, "head")
    check_batch_norm(model, 1)
