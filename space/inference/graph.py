"""A model repository's exported graph: 8-bit pixels in; probabilities, embedding and class activation maps out."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import NamedTuple

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from space.errors import UsageError, first_line
from space.inference.resizing import Resizing
from space.parallel import cores

FILE = "onnx/model.onnx"  # in a model repository: the Hub's usual place
INPUT, RESIZED = "pixels", "resized"  # names in the graph: (N, 1, H, W) uint8, and what its resizing makes of it
LARGEST = 2 * 10**9  # bytes, what one protobuf message can hold
# OpenVINO's default would compute in bfloat16 where the processor can, which moves logits by 0.1. Its hint for latency
# gives all cores to one batch.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
# Each core computes a batch of its own: two cores that share one wait for each other, and take 1.4 times as much time.
EXACT_PER_CORE = EXACT | {"NUM_STREAMS": str(cores()), "INFERENCE_NUM_THREADS": str(cores())}
NOT_OURS = "it was not exported by this project, or is damaged"


class Outputs(NamedTuple):
    """A graph's outputs for N images, K classes and C channels, float32; tensors where torch computes them.

    Attributes:
        logits: (N, K).
        probabilities: (N, K), in [0, 1].
        embedding: (N, C), means over the h x w places of the last feature map.
        cams: (N, K, h, w), class activation maps with both signs; they cover the whole image. Grad-CAM is the positive
            part.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    embedding: np.ndarray
    cams: np.ndarray


class Metadata(NamedTuple):
    """What a graph says of itself; each is JSON in the file's `metadata_props`.

    Attributes:
        labels: Class names in the order of the logits.
        resizing: What was built into it, so that a caller can do it beforehand.
        weights: SHA-256 of the model.safetensors that it was made from.
    """

    labels: list[str]
    resizing: Resizing
    weights: str

    def to_properties(self) -> dict[str, str]:
        """As `metadata_props`."""
        adapters = self.__annotations__.items()
        return {name: TypeAdapter(kind).dump_json(getattr(self, name)).decode() for name, kind in adapters}

    @classmethod
    def of_properties(cls, properties: Mapping[str, str]) -> "Metadata":
        """Read `metadata_props`.

        Raises:
            ValueError: Something is missing or malformed.
        """
        adapters = cls.__annotations__.items()
        try:
            return cls(**{name: TypeAdapter(kind).validate_json(properties[name]) for name, kind in adapters})
        except KeyError as error:
            raise ValueError(f"its metadata_props lack {error}") from None
        except ValidationError as error:
            raise ValueError(f"its metadata_props are malformed: {first_line(error)}") from None


class Graph:
    """An exported graph, run by OpenVINO on the CPU in float32; may be used from several threads.

    Attributes:
        metadata: What the graph says of itself.
        sha256: Of the file, in hexadecimal digits.
        channels: C, the length of an embedding.
    """

    def __init__(self, content: bytes):
        """Compile a graph.

        Args:
            content: Of the file.

        Raises:
            ValueError: It is not such a graph, or it is damaged.
        """
        core, model = read_graph(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            properties = {key: model.get_rt_info(["framework", key]).astype(str) for key in Metadata._fields}
            self.metadata = Metadata.of_properties(properties)
            model = _without_resizing(model, self.metadata.resizing.size)
            compiled = core.compile_model(model, "CPU", EXACT_PER_CORE)
        except RuntimeError:
            raise ValueError(NOT_OURS) from None
        shapes = {output.get_any_name(): output.partial_shape.to_string() for output in model.outputs}
        classes = len(self.metadata.labels)
        if tuple(shapes) != Outputs._fields or not shapes["cams"].startswith(f"[?,{classes},"):
            raise ValueError(f"its outputs are {shapes}, which does not fit {classes} labels")
        self.channels = int(shapes["embedding"].strip("[]").split(",")[1])
        self._requests: LifoQueue = LifoQueue()  # the one that was used last has its memory at hand
        for _ in range(cores()):
            self._requests.put(compiled.create_infer_request())

    @classmethod
    def load(cls, path: Path) -> "Graph":
        """Read and compile a file.

        Raises:
            UsageError: See the constructor's ValueError.
        """
        try:
            if os.path.getsize(path) > LARGEST:
                raise ValueError(f"it has more than {LARGEST:,} bytes")
            return cls(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"the graph {path} cannot be used: {first_line(error)}") from None

    def prepare(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Resize radiographs, mode "L", to what `run` takes."""
        return np.stack([self.metadata.resizing(image) for image in images])[:, None]

    def run(self, pixels: np.ndarray) -> Outputs:
        """Compute.

        Args:
            pixels: (N, 1, size, size) uint8, of the size that the metadata name.
        """
        request = self._requests.get()
        try:
            results = request.infer([np.ascontiguousarray(pixels)], share_inputs=True)
            # Copies, because results are views of the request's memory.
            return Outputs(*(results[number].copy() for number in range(len(Outputs._fields))))
        finally:
            self._requests.put(request)


def read_graph(content: bytes) -> tuple:
    """Read a graph that names no other files.

    Args:
        content: Of the file.

    Returns:
        The `openvino.Core`, and the graph as an `openvino.Model`.

    Raises:
        ValueError: It is no graph, or it is damaged.
    """
    # OpenVINO reads weights from any file that a graph names, under the key "location".
    if b"location" in content:
        raise ValueError("it names other files to be read")
    core = import_openvino().Core()
    try:
        return core, core.read_model(model=content)
    except RuntimeError:
        raise ValueError(NOT_OURS) from None


def _without_resizing(model, size: int):
    """The part of a graph behind its resizing, as an `openvino.Model`: Pillow resizes faster, in every thread."""
    import openvino.opset13 as operators
    from openvino import Model

    outputs = (output for node in model.get_ops() for output in node.outputs())
    resized = next((output for output in outputs if RESIZED in output.get_names()), None)
    if resized is None:
        raise ValueError(f"it has no tensor {RESIZED!r}")
    pixels = operators.parameter([-1, 1, size, size], np.uint8, INPUT)
    levels = operators.convert(pixels, "f32").output(0)
    for reader in resized.get_target_inputs():
        reader.replace_source_output(levels)
    return Model(model.get_results(), [pixels])


def import_openvino():
    """The module, without its telemetry."""
    # Importing openvino reports to Google Analytics and leaves an identifier in the home folder, unless the package
    # openvino_telemetry, which pip brings along, cannot be imported. What reads patients' images reports to no one.
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino
