import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from space.errors import UsageError
from train.config.recipe import ModelRecipe
from train.models.factory import build, save
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


def test_a_smaller_output_stride_gives_finer_maps_and_survives_saving(tmp_path):
    recipe = ModelRecipe("mobilenetv2_100", 64, 0.0, output_stride=16)
    model, processor = build(recipe, LABELS, init="scratch")
    save(model, processor, tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    inputs = torch.randn(1, 3, 64, 64)
    assert torch.equal(model.eval()(pixel_values=inputs).logits, again(pixel_values=inputs).logits)
    assert again.timm_model.forward_features(inputs).shape == (1, 1280, 4, 4)
    usual, _ = build(ModelRecipe("mobilenetv2_100", 64, 0.0), LABELS, init="scratch")
    assert usual.timm_model.forward_features(inputs).shape == (1, 1280, 2, 2)


@pytest.mark.parametrize("architecture", ["densenet121", "mobilenetv3_small_100", "chest_cnn_pneumonia"])
def test_an_architecture_of_fixed_output_stride_is_refused(architecture):
    with pytest.raises(UsageError, match=rf"^output_stride = 16: .*{architecture}.* fixed.*eave"):
        build(ModelRecipe(architecture, 64, 0.0, output_stride=16), LABELS, init="scratch")


def test_convolutions_keep_timms_own_initialisation():
    model, _ = build(ModelRecipe("mobilenetv2_100", 64, 0.0), LABELS, init="scratch")
    assert model.timm_model.conv_stem.weight.std() > 0.05  # transformers would draw with 0.02
    assert model.config.gradcam_layer == "timm_model.bn2"


def test_a_chest_cnn_starts_from_scratch_unless_told_otherwise(tmp_path):
    build(CHEST_CNN, LABELS)
    with pytest.raises(UsageError, match=r"no ImageNet weights for chest_cnn_pneumonia.*--init scratch"):
        build(CHEST_CNN, LABELS, init="imagenet")
    with pytest.raises(UsageError, match=r"dropout = 0\.5.*built in"):
        build(ModelRecipe("chest_cnn_covid19", 64, 0.5), LABELS)
    save(*build(CHEST_CNN, LABELS), tmp_path)
    with pytest.raises(UsageError, match=r"do not fit.*head\.dense1\.weight.*image_size"):
        build(ModelRecipe("chest_cnn_pneumonia", 64, 0.0), LABELS, init=str(tmp_path))


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


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (ModelRecipe("mobilenetv2_100.nonsense", 64), "timm cannot build"),
        (ModelRecipe("vit_tiny_patch16_224", 64), "does not work with image_size = 64"),
    ],
)
def test_what_timm_refuses_is_one_sentence(recipe, sentence):
    with pytest.raises(UsageError, match=sentence):
        build(recipe, LABELS, init="scratch")
