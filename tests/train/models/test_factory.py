import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from safetensors.torch import save as save_bytes
from transformers import AutoImageProcessor, AutoModelForImageClassification

from space.errors import ChestXrayError, UsageError
from space.inference.classifier import Classifier
from tests.conftest import launch_finetune, run_python
from tests.hub_server import serving
from train.config.recipe import ModelRecipe
from train.data.dataset import load_data
from train.models.chest_cnns import default_init
from train.models.factory import build, classifier_layer, save
from train.models.freezing import check_batch_norm, freeze, train_mode
from train.models.preprocessing import input_size

TINY = ModelRecipe("test_efficientnet", 64, 0.1)
CHEST_CNN = ModelRecipe("chest_cnn_pneumonia", 32, 0.0)
LABELS = ["NORMAL", "PNEUMONIA"]


def test_a_built_model_survives_saving_with_labels_weights_and_preprocessing(tmp_path):
    model, processor = build(TINY, LABELS, init="scratch")
    save(model, processor, tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    inputs = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.eval()(pixel_values=inputs).logits, again(pixel_values=inputs).logits)
    assert again.config.id2label == {0: "NORMAL", 1: "PNEUMONIA"}
    assert again.config.problem_type == "single_label_classification"
    config = AutoImageProcessor.from_pretrained(tmp_path).data_config
    assert config == processor.data_config
    assert (config["crop_pct"], config["crop_mode"], input_size(processor)) == (1.0, "squash", 64)


def test_convolutions_keep_timms_own_initialisation():
    model, _ = build(ModelRecipe("mobilenetv2_100", 64, 0.0), LABELS, init="scratch")
    assert model.timm_model.conv_stem.weight.std() > 0.05  # transformers would draw with 0.02
    assert model.config.gradcam_layer == "timm_model.bn2"


@pytest.mark.parametrize("recipe", [TINY, CHEST_CNN], ids=lambda recipe: recipe.architecture)
@pytest.mark.parametrize("as_folder", [True, False])
def test_init_takes_a_run_folder_or_a_file_and_replaces_a_head_of_other_size(tmp_path, as_folder, recipe):
    source, processor = build(recipe, LABELS, init="scratch")
    save(source, processor, tmp_path)
    init = str(tmp_path if as_folder else tmp_path / "model.safetensors")
    same, _ = build(recipe, LABELS, init=init)
    other, _ = build(recipe, ["a", "b", "c"], init=init)
    expected = source.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in same.state_dict().items())
    body = {name: tensor for name, tensor in other.state_dict().items() if "classifier" not in name}
    assert len(body) > 20
    assert all(torch.equal(tensor, expected[name]) for name, tensor in body.items())
    assert classifier_layer(other).out_features == 3
    assert other.config.num_labels == 3
    assert other.config.id2label[2] == "c"


def test_a_chest_cnn_starts_from_scratch_unless_told_otherwise(tmp_path):
    assert (default_init("chest_cnn_pneumonia"), default_init("densenet121")) == ("scratch", "imagenet")
    build(CHEST_CNN, LABELS)
    with pytest.raises(UsageError, match=r"no ImageNet weights for chest_cnn_pneumonia.*--init scratch"):
        build(CHEST_CNN, LABELS, init="imagenet")
    with pytest.raises(UsageError, match=r"dropout = 0\.5.*built in"):
        build(ModelRecipe("chest_cnn_covid19", 64, 0.5), LABELS)
    save(*build(CHEST_CNN, LABELS), tmp_path)
    with pytest.raises(UsageError, match=r"do not fit.*head\.dense1\.weight.*image_size"):
        build(ModelRecipe("chest_cnn_pneumonia", 64, 0.0), LABELS, init=str(tmp_path))


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_file({"conv_stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="do not fit"):
        build(TINY, LABELS, init=str(tmp_path / "other.safetensors"))
    (tmp_path / "text.safetensors").write_text("nonsense")
    with pytest.raises(UsageError, match="not a readable safetensors"):
        build(TINY, LABELS, init=str(tmp_path / "text.safetensors"))
    (tmp_path / "pickle.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"\.safetensors files only"):
        build(TINY, LABELS, init=str(tmp_path / "pickle.bin"))
    with pytest.raises(UsageError, match=r"no model\.safetensors"):
        build(TINY, LABELS, init=str(tmp_path.parent))


def test_without_the_hub_imagenet_weights_are_an_error_that_names_the_ways_out():
    with pytest.raises(ChestXrayError, match=r"--init scratch.*--init PATH"):
        build(ModelRecipe("mobilenetv2_100", 64, 0.0), LABELS)
    for recipe in (TINY, CHEST_CNN):
        with pytest.raises(ChestXrayError, match="--init scratch"):
            build(recipe, LABELS, init="someone/some-model")
    with pytest.raises(UsageError, match="no such file or folder"):
        build(TINY, LABELS, init="not/a/path/nor a repo")


def test_starting_weights_come_from_the_hub(tmp_path):
    torch.manual_seed(1)
    weights = timm.create_model("mobilenetv2_100", num_classes=1000).state_dict()
    chest = build(CHEST_CNN, LABELS)[0].state_dict()
    code = (
        "import sys; from safetensors.torch import save_file; from train.models.factory import build; "
        "from train.config.recipe import ModelRecipe; "
        "model, _ = build(ModelRecipe('mobilenetv2_100', 64, 0.0), ['a', 'b']); "
        "save_file(model.timm_model.state_dict(), sys.argv[1]); "
        "model, _ = build(ModelRecipe('chest_cnn_pneumonia', 32, 0.0), ['a', 'b'], init='someone/chest'); "
        "save_file(model.state_dict(), sys.argv[2])"
    )
    files = {"timm/mobilenetv2_100.ra_in1k/model.safetensors": save_bytes(weights)}
    files["someone/chest/model.safetensors"] = save_bytes(chest)
    with serving(files) as endpoint:
        hub = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
        done = run_python("-c", code, tmp_path / "built.safetensors", tmp_path / "chest.safetensors", **hub)
    assert done.returncode == 0, done.stderr
    built = load_file(tmp_path / "built.safetensors")
    assert built["classifier.weight"].shape == (2, 1280)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in built.items() if "classifier" not in name)
    built = load_file(tmp_path / "chest.safetensors")
    assert built.keys() == chest.keys()
    assert all(torch.equal(tensor, chest[name]) for name, tensor in built.items())


def test_the_command_line_never_falls_back_silently(dataset_folder, tmp_path):
    options = ["--recipe", "mobilenetv2-pneumonia", "--dataset", dataset_folder, "--output", tmp_path / "run"]
    done = launch_finetune(*options)
    assert done.returncode != 0
    assert "--init scratch" in done.stderr
    assert "--init PATH" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_architecture_is_refused_with_similar_names():
    with pytest.raises(UsageError, match="mobilenetv2_100"):
        build(ModelRecipe("mobilenetv2_999", 64, 0.0), LABELS, init="scratch")
    with pytest.raises(UsageError, match="Similar names: chest_cnn_covid19"):
        build(ModelRecipe("chest_cnn_covid", 64, 0.0), LABELS, init="scratch")


def test_an_architecture_without_a_linear_head_is_refused():
    with pytest.raises(UsageError, match="ends in a linear layer"):
        build(ModelRecipe("efficientformer_l1", 224, 0.0), LABELS, init="scratch")


def test_the_saved_weights_are_plain_safetensors(tmp_path):
    save(*build(TINY, LABELS, init="scratch"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert load_file(tmp_path / "model.safetensors")


def test_a_mistyped_path_is_told_from_a_repository_without_asking_the_hub(tmp_path):
    missing = str(tmp_path / "nope")
    for open_it in (load_data, Classifier.load, lambda path: build(TINY, LABELS, init=path)):
        with pytest.raises(UsageError, match="no such file or folder"):
            open_it(missing)


HEADS = {
    "mobilenetv2_035": ["classifier."],
    "densenet121": ["classifier."],
    "resnet18": ["fc."],
    "test_vit": ["head."],
    "chest_cnn_covid19": ["head."],
    "chest_cnn_pneumonia": ["head."],
}
LAST_STAGES = {
    "mobilenetv2_035": ["blocks.6.", "conv_head.", "bn2."],
    "densenet121": ["features.denseblock4.", "features.norm5."],
    "resnet18": ["layer4."],
    "test_vit": ["blocks.5.", "norm."],
    "chest_cnn_covid19": ["features.block4."],
    "chest_cnn_pneumonia": ["features.block5."],
}


@pytest.mark.parametrize("architecture", HEADS)
def test_freezing_leaves_the_named_part_trainable_and_nothing_else(architecture):
    size = 160 if architecture == "test_vit" else 64
    model, _ = build(ModelRecipe(architecture, size, 0.0), LABELS, init="scratch")
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
    model, _ = build(ModelRecipe("poolformer_s12", 64, 0.0), LABELS, init="scratch")
    with pytest.raises(UsageError, match="'head' or 'all'"):
        freeze(model, "last-stage")
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


def test_a_head_for_other_classes_is_replaced_even_if_there_are_as_many(tmp_path):
    source, processor = build(TINY, LABELS, init="scratch")
    save(source, processor, tmp_path)
    same, _ = build(TINY, LABELS, init=str(tmp_path))
    assert torch.equal(same.timm_model.classifier.weight, source.timm_model.classifier.weight)
    for labels in (["PNEUMONIA", "NORMAL"], ["COVID", "NORMAL"]):
        other, _ = build(TINY, labels, init=str(tmp_path))
        assert not torch.equal(other.timm_model.classifier.weight, source.timm_model.classifier.weight)
        assert torch.equal(other.timm_model.conv_stem.weight, source.timm_model.conv_stem.weight)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (ModelRecipe("mobilenetv2_100.nonsense", 64), "timm cannot make"),
        (ModelRecipe("vit_tiny_patch16_224", 64), "does not work with image_size = 64"),
    ],
)
def test_what_timm_refuses_is_one_sentence(recipe, sentence):
    with pytest.raises(UsageError, match=sentence):
        build(recipe, LABELS, init="scratch")


def test_a_batch_of_one_image_is_refused_where_batch_norm_learns_from_it():
    model, _ = build(TINY, LABELS, init="scratch")
    check_batch_norm(model, 2)
    with pytest.raises(UsageError, match="at least two images"):
        check_batch_norm(model, 1)
    freeze(model, "head")
    check_batch_norm(model, 1)
