from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from space.errors import UsageError
from space.inference.graph import FILE, Graph, Metadata
from space.inference.resizing import Resizing
from tests.conftest import THREE_LABELS
from tests.phantoms import draw_phantom
from train.models.graph import hash_of


@pytest.fixture(scope="module")
def graph(three_classes) -> Graph:
    return Graph.load(three_classes / FILE)


def foreign_graph(path, properties: dict[str, str]) -> None:
    """An ONNX file with these metadata whose only output are the pixels themselves."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, 8, 8])
    resized = helper.make_node("Cast", ["pixels"], ["resized"], to=TensorProto.FLOAT)
    body = helper.make_graph([resized, helper.make_node("Neg", ["resized"], ["logits"])], "copy", [pixels], [logits])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, properties)
    onnx.save(model, path)


def test_a_graph_says_what_it_is(graph, three_classes):
    weights = hash_of(three_classes / "model.safetensors")
    assert graph.metadata == Metadata(THREE_LABELS, Resizing(64, 64), weights)
    assert graph.channels == 256


def test_metadata_come_back_whatever_the_labels_are():
    metadata = Metadata(["Grüße", 'a "b", c', "{}"], Resizing(64, 73, False, "bicubic"), "0" * 64)
    assert Metadata.of_properties(metadata.to_properties()) == metadata


def test_answers_do_not_depend_on_the_batch(graph):
    random = np.random.default_rng(0)
    pixels = graph.prepare([draw_phantom(random, bool(number % 2), 90 + number, 70) for number in range(5)])
    together = graph.run(pixels)
    for number in range(5):
        alone = graph.run(pixels[number : number + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            assert np.allclose(one[0], all_of_them[number], atol=1e-5)
    assert np.allclose(together.probabilities.sum(axis=1), 1, atol=1e-6)
    assert together.cams.shape[:2] == (5, 3)


def test_threads_get_their_own_answers(graph):
    random = np.random.default_rng(1)
    batches = [random.integers(0, 256, (1 + number % 3, 1, 64, 64), np.uint8) for number in range(24)]
    expected = [graph.run(batch).logits for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        actual = [outputs.logits for outputs in pool.map(graph.run, batches)]
    assert all(np.array_equal(one, other) for one, other in zip(actual, expected, strict=True))


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, "not exported by this project"),
        ({"labels": "[", "resizing": "{}", "weights": "1"}, "malformed"),
        (Metadata(["a", "b"], Resizing(8, 8), "0").to_properties(), "its outputs are"),
    ],
)
def test_graphs_of_other_software_are_refused(properties, message, tmp_path):
    foreign_graph(tmp_path / "model.onnx", properties)
    with pytest.raises(UsageError, match=message):
        Graph.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("keep", [0, 1000, 0.5])
def test_a_damaged_file_is_refused(three_classes, tmp_path, keep):
    content = (three_classes / FILE).read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: keep if keep >= 1 else int(len(content) * keep)])
    with pytest.raises(UsageError, match="cannot be used: it was not exported by this project, or is damaged"):
        Graph.load(tmp_path / "model.onnx")


def test_a_graph_cannot_read_other_files(three_classes, tmp_path, monkeypatch):
    model = onnx.load(three_classes / FILE)
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    (tmp_path / "secret").write_bytes(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, "secret")
    tensor.ClearField("raw_data")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="names other files"):
        Graph.load(tmp_path / "model.onnx")
