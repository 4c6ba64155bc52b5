import pytest
import timm
import torch
from safetensors.torch import load_file, save, save_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from space.classifier import Classifier
from space.errors import ChestXrayError, UsageError
from tests.conftest import launch_finetune, run_python
from tests.hub_server import serving
from train.data import load_data
from train.models import build
from train.recipe import ModelRecipe

TINY = ModelRecipe("test_efficientnet", 64, 0.1)
LABELS = ["NORMAL", "PNEUMONIA"]


def test_a_built_model_survives_saving_with_labels_weights_and_preprocessing(tmp_path):
    model, processor = build(TINY, LABELS, init="scratch")
    model.save_pretrained(tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    inputs = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.eval()(pixel_values=inputs).logits, again(pixel_values=inputs).logits)
    assert again.config.id2label == {0: "NORMAL", 1: "PNEUMONIA"}
    assert again.config.problem_type == "single_label_classification"
    config = AutoImageProcessor.from_pretrained(tmp_path).data_config
    assert config == processor.data_config
    assert (config["crop_pct"], config["crop_mode"], config["input_size"][-1]) == (1.0, "squash", 64)


def test_convolutions_keep_timms_own_initialisation():
    model, _ = build(ModelRecipe("mobilenetv2_100", 64, 0.0), LABELS, init="scratch")
    assert model.timm_model.conv_stem.weight.std() > 0.05  # transformers would draw with 0.02
    assert model.config.gradcam_layer == "timm_model.bn2"


@pytest.mark.parametrize("as_folder", [True, False])
def test_init_takes_a_run_folder_or_a_file_and_replaces_a_head_of_other_size(tmp_path, as_folder):
    source, _ = build(TINY, LABELS, init="scratch")
    source.save_pretrained(tmp_path)
    init = str(tmp_path if as_folder else tmp_path / "model.safetensors")
    same, _ = build(TINY, LABELS, init=init)
    other, _ = build(TINY, ["a", "b", "c"], init=init)
    expected = source.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in same.state_dict().items())
    body = {name: tensor for name, tensor in other.state_dict().items() if "classifier" not in name}
    assert len(body) > 20
    assert all(torch.equal(tensor, expected[name]) for name, tensor in body.items())
    assert other.config.num_labels == 3
    assert other.config.id2label[2] == "c"


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
    with pytest.raises(ChestXrayError, match="--init scratch"):
        build(TINY, LABELS, init="someone/some-model")
    with pytest.raises(UsageError, match="no such file or folder"):
        build(TINY, LABELS, init="not/a/path/nor a repo")


def test_imagenet_weights_come_from_the_hub(tmp_path):
    torch.manual_seed(1)
    weights = timm.create_model("mobilenetv2_100", num_classes=1000).state_dict()
    code = (
        "import sys; from safetensors.torch import save_file; from train.models import build; "
        "from train.recipe import ModelRecipe; "
        "model, _ = build(ModelRecipe('mobilenetv2_100', 64, 0.0), ['a', 'b']); "
        "save_file(model.timm_model.state_dict(), sys.argv[1])"
    )
    with serving({"timm/mobilenetv2_100.ra_in1k/model.safetensors": save(weights)}) as endpoint:
        hub = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
        done = run_python("-c", code, tmp_path / "built.safetensors", **hub)
    assert done.returncode == 0, done.stderr
    built = load_file(tmp_path / "built.safetensors")
    assert built["classifier.weight"].shape == (2, 1280)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in built.items() if "classifier" not in name)


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


def test_an_architecture_without_a_linear_head_is_refused():
    with pytest.raises(UsageError, match="ends in a linear layer"):
        build(ModelRecipe("efficientformer_l1", 224, 0.0), LABELS, init="scratch")


def test_the_saved_weights_are_plain_safetensors(tmp_path):
    model, _ = build(TINY, LABELS, init="scratch")
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert load_file(tmp_path / "model.safetensors")


def test_a_mistyped_path_is_told_from_a_repository_without_asking_the_hub(tmp_path):
    missing = str(tmp_path / "nope")
    for open_it in (load_data, Classifier.load, lambda path: build(TINY, LABELS, init=path)):
        with pytest.raises(UsageError, match="there is no such file or folder"):
            open_it(missing)
