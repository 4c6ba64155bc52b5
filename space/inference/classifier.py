"""A trained classifier: radiographs in, label probabilities and class activation maps out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from space.errors import UsageError, first_line
from space.inference.graph import FILE as GRAPH_FILE
from space.inference.graph import Graph
from space.inference.guard import FILE as GUARD_FILE
from space.inference.guard import Doubt, Guard, coarse_copy, doubt_by_size, thumbnail
from space.inference.operating_point import OperatingPoint
from space.inference.repository import MissingFileError, check_model, commit_of, find_file, get_file

GOLDEN_FILE = "golden.safetensors"  # in a model repository: `pixels` (N, 1, size, size) uint8 and `logits` (N, K)
# Largest difference of a logit, in units of the largest one or of 1, that is still called the same.
TOLERANCE = 1e-4


class MissingGraphError(UsageError):
    """A model repository has no exported graph."""


@dataclass(frozen=True)
class ModelOutput:
    """What the model answers for one image.

    Attributes:
        probabilities: (K,) float64, in the order of the model's labels.
        logits: (K,) float64, of which the probabilities are the softmax.
        maps: Grad-CAM of every class, (K, h, w) float32, >= 0, covering the whole image.
        doubt: Why the image is hardly a frontal chest radiograph, or None.
    """

    probabilities: np.ndarray
    logits: np.ndarray
    maps: np.ndarray
    doubt: Doubt | None


class Classifier:
    """A model repository, ready to answer with the numbers of transformers' `pipeline("image-classification")`.

    Attributes:
        labels: Class names in the order of the probabilities.
        operating_point: From config.json; None where argmax decides.
        graph: What computes.
        guard: Knows images that are unlike the training images; None if the model brings none.
    """

    def __init__(self, graph: Graph, operating_point: OperatingPoint | None = None, guard: Guard | None = None):
        self.graph, self.operating_point, self.guard = graph, operating_point, guard
        self.labels = graph.metadata.labels

    @classmethod
    def load(cls, repo_or_folder: str | Path, revision: str | None = None) -> "Classifier":
        """Load a model repository. No code of it is run, and its weights are not read: its graph has them.

        Args:
            repo_or_folder: Folder of a model, or `owner/name` on the Hub.
            revision: Branch, tag or commit SHA on the Hub.

        Raises:
            MissingGraphError: It has no graph.
            UsageError: There is no such model, or it is damaged.
            ChestXrayError: The Hub cannot be reached.
        """
        name = str(repo_or_folder)
        check_model(name, "model")
        commit = commit_of(name, revision)
        try:
            path = get_file(name, GRAPH_FILE, commit)
        except MissingFileError:
            at_commit = f"{name}@{commit}" if commit else name
            raise MissingGraphError(
                f"the model {name} has no {GRAPH_FILE}, which answers are computed with. Export it first: "
                f"python -m train.export {at_commit} --output FOLDER."
            ) from None
        graph = Graph.load(path)
        _check_golden(graph, find_file(name, GOLDEN_FILE, commit))
        guard = find_file(name, GUARD_FILE, commit)
        point = OperatingPoint.of_config(_config(name, commit).get("operating_point"), graph.metadata.labels)
        return cls(graph, point, Guard.load(guard, graph.channels) if guard else None)

    def examine(self, images: Sequence[Image.Image], guarded: bool = True) -> list[ModelOutput]:
        """Classify images and, if `guarded`, doubt those that are hardly frontal chest radiographs; one forward pass.

        May be called from several threads. Probabilities are not checked: of damaged weights they may be NaN (see
        `space.inference.classify`).

        Args:
            images: As `space.imaging.xray.read_xray` returns them.
            guarded: Whether they are looked at for doubts.
        """
        outputs = self.graph.run(self.graph.prepare(images))
        doubts = self._doubts(images, outputs.embedding) if guarded else [None] * len(images)
        probabilities, logits = outputs.probabilities.astype(np.float64), outputs.logits.astype(np.float64)
        maps = np.maximum(outputs.cams, 0)
        return [ModelOutput(*output) for output in zip(probabilities, logits, maps, doubts, strict=True)]

    def _doubts(self, images: Sequence[Image.Image], embeddings: np.ndarray) -> list[Doubt | None]:
        """A doubt, or None, of each image; `embeddings` are (B, C)."""
        copies = [coarse_copy(image) for image in images]
        doubts = [doubt_by_size(image.size, copy) for image, copy in zip(images, copies, strict=True)]
        if self.guard is None:
            return doubts
        thumbnails = np.stack([thumbnail(copy) for copy in copies])
        unlike = self.guard.distances(thumbnails, embeddings) > self.guard.threshold
        turned = self.guard.upside_down(thumbnails)
        return [
            doubt or (Doubt.UPSIDE_DOWN if is_turned else Doubt.UNLIKE if is_far else None)
            for doubt, is_turned, is_far in zip(doubts, turned, unlike, strict=True)
        ]


def _config(name: str, commit: str | None) -> dict:
    try:
        config = json.loads(get_file(name, "config.json", commit).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is not a JSON object.")
    except (OSError, ValueError) as error:
        raise UsageError(f"config.json of {name} cannot be read: {first_line(error)}") from None
    return config


def _check_golden(graph: Graph, path: Path | None) -> None:
    """Refuse a graph that does not give the recorded outputs: of another model, or computed otherwise on this machine.

    Raises:
        UsageError: It does not, or the file is damaged.
    """
    if path is None:
        return
    try:
        golden = load_file(path)
        difference = np.abs(graph.run(golden["pixels"]).logits - golden["logits"]).max()
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UsageError(f"{path.name} is damaged, or belongs to another model ({first_line(error)}).") from None
    if not difference <= TOLERANCE * max(1, np.abs(golden["logits"]).max()):  # also where it is not a number
        raise UsageError(
            f"{GRAPH_FILE} does not give the outputs that {path.name} records: they differ by {difference:.1e}. It "
            "belongs to other weights; export it again with python -m train.export."
        )
