import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from space.errors import ChestXrayError
from space.inference.graph import FILE
from tests.phantoms import draw_phantom
from train.models.graph import check_graph, export_graph
from train.models.load import load_saved


@pytest.fixture
def exported(three_classes):
    """A folder with a graph; its model and processor."""
    model, processor = load_saved(three_classes)
    return three_classes, model.eval(), processor


def changed(exported, tmp_path, change) -> tuple:
    """Arguments of `check_graph` for a copy of the folder whose graph was changed."""
    folder, *rest = exported
    copy = shutil.copytree(folder, tmp_path / "copy")
    graph = onnx.load(folder / FILE)
    change(graph)
    onnx.save(graph, copy / FILE)
    return copy, *rest


def test_a_graph_tells_nothing_of_this_machine(exported):
    content = (exported[0] / FILE).read_bytes()
    assert b".py" not in content
    assert b"/" + b"train" not in content


def test_the_same_model_gives_the_same_bytes(exported, tmp_path):
    folder, model, processor = exported
    shutil.copy(folder / "model.safetensors", tmp_path)
    export_graph(model, processor, tmp_path)
    assert (tmp_path / FILE).read_bytes() == (folder / FILE).read_bytes()


def test_a_graph_agrees_with_its_model_on_x_rays_of_any_size(exported):
    folder, model, processor = exported
    random = np.random.default_rng(0)
    images = [draw_phantom(random, True, *size) for size in ((90, 70), (300, 500))]
    check_graph(folder, model, processor, images)


def test_a_graph_of_other_weights_is_refused(exported, tmp_path):
    copy, model, processor = changed(exported, tmp_path, lambda graph: None)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(ChestXrayError, match="was exported from other weights"):
        check_graph(copy, model, processor)


def test_a_changed_weight_is_noticed(exported, tmp_path):
    def change(graph):
        tensor = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, tensor.name))

    with pytest.raises(ChestXrayError, match="differ from torch's by"):
        check_graph(*changed(exported, tmp_path, change))


def test_maps_of_the_wrong_class_are_noticed(exported, tmp_path):
    def change(graph):
        node = next(node for node in graph.graph.node if "cams" in node.output)
        node.output[0] = "own_cams"
        graph.graph.initializer.append(numpy_helper.from_array(np.array([1, 0, 2]), "swapped"))
        graph.graph.node.append(onnx.helper.make_node("Gather", ["own_cams", "swapped"], ["cams"], axis=1))

    with pytest.raises(ChestXrayError, match="class activation maps, in units of their maximum, differ"):
        check_graph(*changed(exported, tmp_path, change))


def test_control_flow_is_refused(exported, tmp_path):
    def change(graph):
        branch = onnx.helper.make_graph([], "branch", [], [])
        graph.graph.node.append(onnx.helper.make_node("If", ["val_0"], [], then_branch=branch, else_branch=branch))

    with pytest.raises(ChestXrayError, match="holds If"):
        check_graph(*changed(exported, tmp_path, change))
