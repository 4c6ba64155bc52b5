"""The forward pass of a model on the CPU: by OpenVINO where it computes the same numbers, else by torch."""

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from space.inference.gradcam import split_network

# Largest difference of a logit that is still called the same: golden outputs and `pipeline()` are held to it as well.
TOLERANCE = 1e-4
# OpenVINO's default would compute in bfloat16 where the processor can, which moves logits by 0.1. Its hint for latency
# gives all cores to one batch: on two cores that is fastest for one image and no slower than two batches at a time.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backend:
    """A way to run a model.

    Attributes:
        name: "OpenVINO" or "torch".
        run: Normalised images (B, 3, H, W) float32 -> logits (B, K) and last feature maps (B, C, h, w), float32; may
            be called from several threads.
        converted: The model as OpenVINO's, if it was converted here.
    """

    name: str
    run: Callable[[Tensor], tuple[Tensor, Tensor]]
    converted: object = None


def choose_backend(model: nn.Module, example: Tensor) -> Backend:
    """Choose OpenVINO if it is installed, can run the model, and agrees with torch; torch otherwise.

    Args:
        model: An image classifier on the CPU, in evaluation mode (see `space.inference.gradcam.split_network`).
        example: Two or more different normalised images (B, 3, H, W), on which the two are compared.

    Returns:
        The backend; the model itself is left as it is.
    """
    plain = torch_backend(model)
    if (openvino := import_openvino()) is None:
        return plain
    failures = (
        *(RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError),
        *(kind for kind in vars(openvino.frontend).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    )
    try:
        with _one_torch_thread():
            fast = openvino_backend(openvino, model, example)
            difference = largest_difference(fast, example, plain.run(example))
    except failures as error:
        log.warning("OpenVINO cannot run this model (%s); torch does, more slowly.", type(error).__name__)
        return plain
    if not difference <= TOLERANCE:  # also where it is no number
        log.warning("OpenVINO's numbers differ by %.1e from torch's; torch computes, more slowly.", difference)
        return plain
    return fast


def largest_difference(backend: Backend, example: Tensor, expected: tuple[Tensor, Tensor]) -> float:
    """Between a backend's logits or features and the expected ones; that of values above 1 relative to the largest."""
    # One image alone as well: a conversion may have taken the example's batch size for a constant.
    found = [*backend.run(example), *backend.run(example[:1])]
    pairs = zip(found, [*expected, *(values[:1] for values in expected)], strict=True)
    differences = [(one - other).abs().max() / other.abs().max().clamp(min=1) for one, other in pairs]
    return float(torch.stack(differences).max())  # no number if one of them is none


def torch_backend(model: nn.Module) -> Backend:
    """The model as it is."""
    features_of, head = split_network(model)

    def run(pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():  # not inference mode: Grad-CAM goes on from the features
            features = features_of(pixel_values)
            return head(features).float(), features.float()

    return Backend("torch", run)


def openvino_backend(openvino, model: nn.Module, example: Tensor) -> Backend:
    """The model, converted in memory, for batches of any size.

    Args:
        openvino: The module.
        model: See `choose_backend`.
        example: Normalised images (B, 3, H, W).

    Returns:
        The backend. It computes one batch at a time, which already takes all cores.

    Raises:
        Exception: Of various kinds: an operation has no counterpart in OpenVINO.
    """
    with _undisturbed(), _without_gradients(model), torch.inference_mode():
        # A function is traced in half the time of a module. torch.export, which is to replace tracing, takes seconds.
        features_of, head = split_network(model)

        def both(pixels: Tensor) -> tuple[Tensor, Tensor]:
            features = features_of(pixels)
            return head(features), features

        traced = torch.jit.trace(both, example[:1], check_trace=False)
        converted = openvino.convert_model(traced, example_input=example[:1], input=[-1, *example.shape[1:]])
    return compiled_backend(openvino, converted)


def compiled_backend(openvino, converted) -> Backend:
    """A model that was converted.

    Args:
        openvino: The module.
        converted: An `openvino.Model`, from normalised images to logits and features.
    """
    request = openvino.Core().compile_model(converted, "CPU", EXACT).create_infer_request()
    lock = threading.Lock()

    def run(pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        pixels = pixel_values.contiguous().numpy()
        with lock:  # results are views of the request's memory
            results = request.infer([pixels], share_inputs=True)
            return torch.from_numpy(results[0].copy()), torch.from_numpy(results[1].copy())

    return Backend("OpenVINO", run, converted)


def import_openvino():
    """The module, without its telemetry; None if it is not installed."""
    # Importing openvino reports to Google Analytics and leaves an identifier in the home folder, unless the package
    # openvino_telemetry, which pip brings along, cannot be imported. What reads patients' images reports to no one.
    sys.modules.setdefault("openvino_telemetry", None)
    try:
        import openvino
        import openvino.frontend
    except ImportError:
        return None
    return openvino


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Let torch compute a few images in one thread: several take seconds where other processes use the cores too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep torch's deprecation warnings from users, and the root logger from openvino, which mutes it when it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Let parameters be constants of a traced function for a while."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
