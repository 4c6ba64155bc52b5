import hashlib

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from safetensors.torch import save as save_bytes

from space.errors import ChestXrayError, UsageError
from space.inference.classifier import Classifier
from tests.conftest import run_python
from tests.hub_server import serving
from tests.train.engine.fixtures import finetune
from train.config.recipe import ModelRecipe
from train.data.dataset import load_data
from train.models.factory import build, classifier_layer, save
from train.models.pretrained import weights_sha256

TINY = ModelRecipe("test_efficientnet", 64, 0.1)
CHEST_CNN = ModelRecipe("chest_cnn_pneumonia", 32, 0.0)
LABELS = ["NORMAL", "PNEUMONIA"]


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


def test_local_weights_are_told_by_their_hash(tmp_path):
    save_file({"conv_stem.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert weights_sha256(str(tmp_path / "model.safetensors")) == weights_sha256(str(tmp_path)) == digest
    assert {weights_sha256(init) for init in ("imagenet", "scratch", "timm/some_net", str(tmp_path.parent))} == {""}


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
    done = finetune(*options)
    assert done.returncode == 1
    assert "--init scratch" in done.stderr
    assert "--init PATH" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_path_is_told_from_a_repository_without_asking_the_hub(tmp_path):
    missing = str(tmp_path / "nope")
    for open_it in (load_data, Classifier.load, lambda path: build(TINY, LABELS, init=path)):
        with pytest.raises(UsageError, match="no such file or folder"):
            open_it(missing)


def test_a_head_for_other_classes_is_replaced_even_if_there_are_as_many(tmp_path):
    source, processor = build(TINY, LABELS, init="scratch")
    save(source, processor, tmp_path)
    same, _ = build(TINY, LABELS, init=str(tmp_path))
    assert torch.equal(same.timm_model.classifier.weight, source.timm_model.classifier.weight)
    for labels in (["PNEUMONIA", "NORMAL"], ["COVID", "NORMAL"]):
        other, _ = build(TINY, labels, init=str(tmp_path))
        assert not torch.equal(other.timm_model.classifier.weight, source.timm_model.classifier.weight)
        assert torch.equal(other.timm_model.conv_stem.weight, source.timm_model.conv_stem.weight)
