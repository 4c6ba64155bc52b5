import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from transformers import pipeline

from space.errors import UsageError
from space.imaging.xray import read_xray
from space.inference.classifier import Classifier, MissingGraphError
from space.inference.graph import FILE as GRAPH_FILE
from space.inference.operating_point import decide
from tests.conftest import THREE_LABELS, run_python
from tests.hub_server import serving
from tests.hub_state import COMMIT
from tests.phantoms import draw_phantom


@pytest.fixture(scope="module")
def classifier(run_folder) -> Classifier:
    return Classifier.load(run_folder)


def test_labels_and_operating_point_come_from_the_checkpoint(classifier):
    assert classifier.labels == ["NORMAL", "PNEUMONIA"]
    point = classifier.operating_point
    assert point.positive_label == "PNEUMONIA"
    assert 0 <= point.threshold <= 1
    above, below = min(1, point.threshold + 1e-3), max(0, point.threshold - 1e-3)
    scores = np.array([[1 - above, above], [1 - below, below]])
    assert decide(scores, point, classifier.labels).tolist() == [1, 0]


def scores(classifier, images) -> np.ndarray:
    return np.stack([output.probabilities for output in classifier.examine(images)])


def test_an_answer_has_probabilities_and_a_map_of_every_class(classifier):
    random = np.random.default_rng(5)
    images = [draw_phantom(random, pneumonia=k > 0) for k in range(3)]
    for image, output in zip(images, classifier.examine(images), strict=True):
        assert output.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert output.maps.shape == (2, 2, 2)
        assert (output.maps >= 0).all()
        assert np.allclose(output.maps, classifier.examine([image])[0].maps, atol=1e-4)


def test_it_answers_as_pipeline_does(classifier, run_folder):
    random = np.random.default_rng(6)
    images = [draw_phantom(random, pneumonia=k % 2 == 0, width=100 + 7 * k) for k in range(4)]
    answers = pipeline("image-classification", model=str(run_folder))(images, top_k=None)
    by_label = [{score["label"]: score["score"] for score in answer} for answer in answers]
    expected = [[answer[label] for label in classifier.labels] for answer in by_label]
    assert np.allclose(scores(classifier, images), expected, atol=1e-5)


def test_16_bit_images_give_what_their_8_bit_original_gives(classifier, tmp_path):
    image = draw_phantom(np.random.default_rng(7), pneumonia=True)
    values = np.asarray(image)
    stretched = np.rint((values - values.min()) * (255.0 / (values.max() - values.min()))).astype(np.uint8)
    path = tmp_path / "deep.png"
    Image.fromarray(values.astype(np.uint16) * 16).save(path)
    assert np.allclose(
        scores(classifier, [read_xray(path).image]),
        scores(classifier, [Image.fromarray(stretched)]),
        atol=1e-6,
    )


def test_a_folder_without_a_model_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no config\.json"):
        Classifier.load(tmp_path)


def test_a_model_without_a_graph_is_told_how_to_get_one(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run", ignore=shutil.ignore_patterns("onnx"))
    with pytest.raises(MissingGraphError, match=r"python -m train\.export .*run --output FOLDER"):
        Classifier.load(tmp_path / "run")


def test_a_graph_of_another_model_is_refused(run_folder, three_classes, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    shutil.copyfile(three_classes / GRAPH_FILE, folder / GRAPH_FILE)
    with pytest.raises(UsageError, match="golden"):
        Classifier.load(folder)


def test_a_graph_that_does_not_give_the_golden_outputs_is_refused(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    golden = load_file(folder / "golden.safetensors")
    golden["logits"] += 1e-2
    save_file(golden, folder / "golden.safetensors")
    with pytest.raises(UsageError, match=r"does not give the outputs that golden\.safetensors records"):
        Classifier.load(folder)


@pytest.mark.parametrize("content", ["[1]", "{", "\x00"])
def test_a_config_that_is_not_json_is_a_usage_error(run_folder, tmp_path, content):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / "config.json").write_text(content)
    with pytest.raises(UsageError, match=r"config\.json of .* cannot be read"):
        Classifier.load(folder)


def test_the_commit_of_a_repository_is_loaded_that_its_config_was_read_of(three_classes, tmp_path):
    files = {f"user/three/{path.relative_to(three_classes)}": path.read_bytes() for path in three_classes.rglob("*.*")}
    program = "from space.inference.classifier import Classifier; print(Classifier.load('user/three').labels)"
    with serving(files) as endpoint:
        environment = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        done = run_python("-c", program, **environment, HF_HOME=str(tmp_path))
    assert done.stdout.strip() == str(THREE_LABELS), done.stderr
    assert [path.name for path in (tmp_path / "hub").glob("models--*/snapshots/*")] == [COMMIT]


def test_nothing_of_torch_is_imported_and_nothing_is_reported(run_folder, tmp_path):
    program = (
        "import sys; from space.inference.classifier import Classifier; from PIL import Image;"
        f"Classifier.load({str(run_folder)!r}).examine([Image.new('L', (90, 90))]);"
        "heavy = ('torch', 'torchvision', 'timm', 'transformers', 'onnx', 'onnxruntime');"
        "print([name for name in heavy if name in sys.modules], sys.modules['openvino_telemetry'])"
    )
    done = run_python("-c", program, HOME=str(tmp_path))
    assert done.stdout.strip() == "[] None", done.stderr
    assert not list(tmp_path.iterdir())
