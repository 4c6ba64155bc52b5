"""All that answering needs of a model, and how it is kept between starts.

transformers, timm and torchvision take longer to import than everything else together, and serve to build a model that
is converted right away. What comes out is kept under the hash of what went in; the next start reads it, asks it the
same question, and takes it if the answer is what torch's was.
"""

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from space.cache import cache_folder
from space.inference.backends import (
    TOLERANCE,
    Backend,
    choose_backend,
    compiled_backend,
    import_openvino,
    largest_difference,
    torch_backend,
)
from space.inference.gradcam import constant_weights
from space.inference.preprocessing import TableLookup, find_table, process
from space.inference.repository import find_file

VERSION = 1  # of what is kept; count it up whenever it is made in another way
MOST_KEPT = 8  # models
SOURCES = ("config.json", "preprocessor_config.json", "model.safetensors")
LIBRARIES = ("openvino", "Pillow", "timm", "torch", "transformers")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConvertedModel:
    """A model that answers.

    Attributes:
        labels: Class names in the order of the logits.
        operating_point: `{"rule", "positive_label", "threshold"}`, or None.
        lookup: What its image processor does to images of mode "L", if that can be done faster.
        backend: What computes logits and features.
        channels: Of the features.
        weights: Grad-CAM's, (K, C), if they are the same for every image.
    """

    labels: list[str]
    operating_point: dict | None
    lookup: TableLookup | None
    backend: Backend
    channels: int
    weights: Tensor | None


def serve(model, processor, key: str | None) -> ConvertedModel:
    """Prepare a model, in evaluation mode, to answer, and keep what comes out under a key, if that can be."""
    config, lookup, images = model.config, find_table(processor), _synthetic_images()
    examples = lookup(images) if lookup else process(processor, images)
    backend = choose_backend(model, examples)
    features = backend.run(examples)[1]
    labels = [config.id2label[number] for number in range(config.num_labels)]
    weights, point = constant_weights(model, features), getattr(config, "operating_point", None)
    served = ConvertedModel(labels, point, lookup, backend, features.shape[1], weights)
    if key and lookup and backend.converted:
        _keep(served, torch_backend(model).run(examples), key)
    return replace(served, backend=replace(backend, converted=None))


def key_of(name: str, revision: str | None) -> str | None:
    """The hash of a model's files and of the libraries that read them; None if it has no model.safetensors."""
    paths = [find_file(name, file, revision) for file in SOURCES]
    if paths[-1] is None:
        return None
    digest = hashlib.sha256(f"{VERSION} {[_version(library) for library in LIBRARIES]}".encode())
    for path in paths:
        content = path.read_bytes() if path else b""
        digest.update(f"{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def recall(key: str) -> ConvertedModel | None:
    """What was kept under a key, if it is there, whole, and answers on this machine as torch did."""
    openvino = import_openvino()
    try:
        folder = _folder() / key
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "tensors.safetensors")
        lookup = TableLookup(tensors["table"].numpy(), tuple(facts["size"]), Image.Resampling(facts["resampling"]))
        backend = compiled_backend(openvino, openvino.Core().read_model(folder / "model.xml"))
        expected = tensors["logits"], tensors["features"]
        if not largest_difference(backend, lookup(_synthetic_images()), expected) <= TOLERANCE:
            return None
        labels, point = facts["labels"], facts["operating_point"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError):
        return None
    backend = replace(backend, converted=None)
    return ConvertedModel(labels, point, lookup, backend, expected[1].shape[1], tensors.get("weights"))


def _keep(served: ConvertedModel, expected: tuple[Tensor, Tensor], key: str) -> None:
    """Write what `recall` reads, whole or not at all; a disk that is full or read-only is no obstacle."""
    tensors = {"table": torch.from_numpy(served.lookup.table), "logits": expected[0], "features": expected[1]}
    tensors |= {} if served.weights is None else {"weights": served.weights}
    facts = {"labels": served.labels, "operating_point": served.operating_point}
    facts |= {"size": served.lookup.size, "resampling": int(served.lookup.resampling)}
    try:
        parent = _folder()
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=parent))
        try:
            import_openvino().save_model(served.backend.converted, partial / "model.xml", compress_to_fp16=False)
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial / "tensors.safetensors")
            (partial / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
            shutil.rmtree(parent / key, ignore_errors=True)  # something that could not be read
            os.replace(partial, parent / key)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in sorted(parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-MOST_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        log.debug("The converted model is not kept: %s", error)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _folder() -> Path:
    return cache_folder() / "served"


def _synthetic_images() -> list[Image.Image]:
    """Two different seeded images of noise, which a processor's resizing makes smooth."""
    return [Image.fromarray(pixels) for pixels in np.random.default_rng(0).integers(0, 256, (2, 8, 8), np.uint8)]
