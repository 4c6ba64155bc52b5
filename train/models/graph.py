"""Makes a model's exported graph, and compares it with the model in both runtimes that people use."""

import copy
import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torch import Tensor, nn

from space.errors import ChestXrayError
from space.inference.graph import FILE, INPUT, RESIZED, Graph, Metadata, Outputs
from train.models.explained import ExplainedModel
from train.models.golden import golden_pixels
from train.models.pillow_resize import resize

OPSET = 18
LONGEST_SIDE, LARGEST_BATCH = 20_000, 1024  # bounds of the export's symbolic sizes
# Probabilities, and maps in units of their maximum, by which a runtime may differ from torch.
PROBABILITY_TOLERANCE, MAP_TOLERANCE = 1e-4, 1e-3
# All that a network and its explanations need. None of them branches, loops, or reads a file.
OPERATORS = {
    "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "DepthToSpace", "Div", "Equal", "Erf", "Expand", "Floor", "Gather", "Gemm",
    "GlobalAveragePool", "Greater", "HardSigmoid", "HardSwish", "Identity", "Less", "MatMul", "Max", "MaxPool",
    "Min", "Mod", "Mul", "Not", "Pad", "Pow", "Range", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Shape",
    "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip


def export_graph(model: nn.Module, processor, folder: Path, images: Sequence[Image.Image] = ()) -> None:
    """Add the exported graph to a folder that a finished model was saved in, and check it.

    Args:
        model: The classifier, on the CPU; is put in evaluation mode.
        processor: Its image processor.
        folder: Of a model repository, with the model's model.safetensors, whose hash the graph names.
        images: Radiographs to check it on, see `check_graph`.

    Raises:
        UsageError: The model has a head or a preprocessing that cannot be exported.
        ChestXrayError: The graph computes something else than the model.
    """
    explained = ExplainedModel(model, processor)
    metadata = Metadata(labels_of(model), explained.resizing, hash_of(folder / "model.safetensors"))
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_export(explained, metadata).SerializeToString())
    check_graph(folder, model, processor, images)


def labels_of(model: nn.Module) -> list[str]:
    """A model's class names in the order of its logits."""
    return [model.config.id2label[number] for number in range(model.config.num_labels)]


def hash_of(weights: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _export(explained: ExplainedModel, metadata: Metadata) -> onnx.ModelProto:
    """Export to ONNX with a batch and images of any size."""
    sizes = {
        2: torch.export.Dim("height", min=8, max=LONGEST_SIDE),
        3: torch.export.Dim("width", min=8, max=LONGEST_SIDE),
    }
    example = torch.zeros(2, 1, 300, 260, dtype=torch.uint8)
    graph = to_onnx(_WithResized(explained), example, [*Outputs._fields, RESIZED], sizes)
    del graph.graph.output[-1]  # the tensor keeps its name, by which the runtime finds it
    onnx.helper.set_model_props(graph, metadata.to_properties())
    onnx.checker.check_model(graph)
    return graph


def to_onnx(network: nn.Module, example: Tensor, outputs: list[str], sizes: dict | None = None) -> onnx.ModelProto:
    """Export a network to ONNX with a batch of any size.

    Args:
        network: In evaluation mode; is left as it is.
        example: Two inputs.
        outputs: Names of what the network returns.
        sizes: {dimension of the input: `torch.export.Dim`}; other dimensions are the example's.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # the export takes half as long
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH), **(sizes or {})},),
            external_data=False,
            verbose=False,
        )
    graph = program.model_proto
    _forget_sources(graph)
    return graph


class _WithResized(nn.Module):
    """The same model with one more output: the resized pixels."""

    def __init__(self, explained: ExplainedModel):
        super().__init__()
        self.explained = explained

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        levels = resize(pixels, self.explained.resizing)
        return *self.explained.explain_resized(levels), levels


def _forget_sources(graph: onnx.ModelProto) -> None:
    """Drop what the exporter notes beside the nodes: stack traces with the paths of this machine."""
    del graph.graph.value_info[:]
    for part in (graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def check_graph(folder: Path, model: nn.Module, processor, images: Sequence[Image.Image] = ()) -> None:
    """Compare a graph with the model that it was made from: in onnxruntime, and in OpenVINO as the demo runs it.

    Args:
        folder: Of a model repository.
        model: Its classifier, on the CPU; is put in evaluation mode.
        processor: Its image processor.
        images: Radiographs of any size, mode "L", to compare them on beside golden inputs.

    Raises:
        UsageError: The folder has no graph, or OpenVINO cannot run it.
        ChestXrayError: The graph has other labels or was exported from other weights, holds operators that no network
            needs, or computes something else than the model.
    """
    path = folder / FILE
    served = Graph.load(path)
    check_operators(path)
    if served.metadata.labels != (labels := labels_of(model)):
        raise ChestXrayError(f"{FILE} has the labels {served.metadata.labels}, but config.json has {labels}.")
    if served.metadata.weights != hash_of(folder / "model.safetensors"):
        raise ChestXrayError(f"{FILE} was exported from other weights than model.safetensors. Export it again.")
    session = open_session(path)
    runtimes = {
        "onnxruntime": lambda image: Outputs(*session.run(None, {INPUT: np.asarray(image)[None, None]})),
        "OpenVINO": lambda image: served.run(served.prepare([image])),
    }
    explained = ExplainedModel(model, processor)
    for image in [*_golden_images(explained.resizing.size), *images]:
        expected = _expected(explained, processor, image)
        for name, run in runtimes.items():
            _compare(run(image), expected, f"{FILE} in {name}, on an image of {image.width} x {image.height} pixels")


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A graph in onnxruntime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_operators(path: Path) -> None:
    """Refuse a graph that does what no network needs.

    Raises:
        ChestXrayError: It holds an operator beyond `OPERATORS`, or a function.
    """
    graph = onnx.load(path, load_external_data=False)
    kinds = {f"{node.domain}:{node.op_type}".removeprefix(":") for node in graph.graph.node}
    unknown = sorted(kinds - OPERATORS) or ["functions"] * bool(graph.functions)
    if unknown:
        raise ChestXrayError(f"{FILE} holds {', '.join(unknown)}, which no network here needs.")


def _golden_images(size: int) -> list[Image.Image]:
    """Golden inputs, and enlarged, shrunk and squeezed ones."""
    golden = [Image.fromarray(pixels) for pixels in golden_pixels(size)[:, 0].numpy()]
    sizes = [(2 * size + 1, 3 * size), (size // 2 + 1, size // 3 + 1), (2 * size, size // 2 + 1)]
    return golden + [image.resize(to) for image, to in zip(golden, sizes, strict=False)]


@torch.no_grad()
def _expected(explained: ExplainedModel, processor, image: Image.Image) -> Outputs:
    """What torch computes from what the model's own processor makes of an image."""
    pixel_values = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    return Outputs(*(values.numpy() for values in explained.explain(pixel_values)))


def _compare(actual: Outputs, expected: Outputs, what: str) -> None:
    """Raise ChestXrayError where probabilities or maps differ by more than their tolerance."""
    peak = max(float(np.abs(expected.cams).max()), 1e-6)
    differences = {
        "probabilities": (np.abs(actual.probabilities - expected.probabilities).max(), PROBABILITY_TOLERANCE),
        "class activation maps, in units of their maximum,": (
            np.abs(actual.cams - expected.cams).max() / peak, MAP_TOLERANCE,
        ),
    }  # fmt: skip
    for name, (difference, tolerance) in differences.items():
        if not difference <= tolerance:  # also where it is not a number
            raise ChestXrayError(
                f"{what}: {name} differ from torch's by {difference:.1e}; at most {tolerance} is allowed."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes from users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
