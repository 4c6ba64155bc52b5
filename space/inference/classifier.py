"""A trained classifier: radiographs in, label probabilities and class activation maps out."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from space.errors import UsageError, first_line
from space.inference.converted_models import ConvertedModel, key_of, recall, serve
from space.inference.gradcam import maps_of_features, network_of, weigh
from space.inference.guard import FILE as GUARD_FILE
from space.inference.guard import Doubt, Guard, coarse_copy, doubt_by_size, thumbnail
from space.inference.operating_point import OperatingPoint
from space.inference.preprocessing import process
from space.inference.remote_code import check_code
from space.inference.repository import check_model, find_file


@dataclass(frozen=True)
class ModelOutput:
    """What the model answers for one image.

    Attributes:
        probabilities: (K,) float64, sums to 1, in the order of the model's labels.
        doubt: Why the image is hardly a frontal chest radiograph, or None.
        features: The last feature map, (1, C, h, w), for `Classifier.maps`.
    """

    probabilities: np.ndarray
    doubt: Doubt | None
    features: Tensor


class Classifier:
    """A model repository, loaded: the same numbers as transformers' `pipeline("image-classification")`.

    Attributes:
        labels: Class names in the order of the logits, as the checkpoint's config names them.
        operating_point: From config.json; None where argmax decides.
        backend: What computes logits, "OpenVINO" or "torch"; the two agree to 1e-4.
        guard: Knows images that are unlike the training images; None if the model brings none.
    """

    def __init__(self, served: ConvertedModel, load: Callable[[], tuple], guard_file: Path | None = None):
        self._served, self._load = served, load
        self.labels = served.labels
        self.operating_point = OperatingPoint.of_config(served.operating_point, served.labels)
        self.backend = served.backend.name
        self.guard = Guard.load(guard_file, served.channels) if guard_file else None

    @classmethod
    def load(
        cls, repo_or_folder: str | Path, revision: str | None = None, trust_remote_code: bool = False
    ) -> "Classifier":
        """Load a model repository (safetensors only).

        Args:
            repo_or_folder: Folder of a model, or `owner/name` on the Hub.
            revision: Branch, tag or commit SHA on the Hub.
            trust_remote_code: Run the repository's code if it is this project's own network, unchanged; no other
                code is ever run.

        Raises:
            UsageError: There is no such model, it is damaged, it is not an image classifier of the supported kind, or
                it brings code.
            ChestXrayError: The Hub cannot be reached.
        """
        name = str(repo_or_folder)
        check_model(name, "model")
        try:
            commit, code = check_code(name, revision, trust_remote_code)
            key = None if code else key_of(name, commit)
            load, loaded = partial(_load, name, commit, code), None
            served = recall(key) if key else None
            if served is None:
                loaded = load()
                served = serve(*loaded, key)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise UsageError(
                f"no model could be loaded from {name}: {first_line(error)} Give a folder with config.json and "
                "model.safetensors, or a repository on the Hub (OWNER/NAME)."
            ) from error
        return cls(served, (lambda: loaded) if loaded else load, find_file(name, GUARD_FILE, commit))

    @cached_property
    def _loaded(self) -> tuple:
        return self._load()

    @property
    def model(self):
        """The model as transformers loads it, in evaluation mode."""
        return self._loaded[0]

    @property
    def processor(self):
        """Its image processor."""
        return self._loaded[1]

    def preprocess(self, images: Sequence[Image.Image]) -> Tensor:
        """Turn radiographs into the model's input, as `pipeline()` does: (B, 3, H, W) float32, normalised."""
        lookup = self._served.lookup
        return lookup(images) if lookup and all(one.mode == "L" for one in images) else process(self.processor, images)

    def logits(self, images: Sequence[Image.Image]) -> Tensor:
        """Classify radiographs; may be called from several threads.

        Args:
            images: B images, as `space.imaging.xray.read_xray` returns them.

        Returns:
            Logits (B, K), float32.
        """
        return self._served.backend.run(self.preprocess(images))[0]

    def probabilities(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Like `logits`, as probabilities in [0, 1]: (B, K)."""
        return self.logits(images).softmax(dim=-1).numpy()

    def examine(self, images: Sequence[Image.Image], guarded: bool = True) -> list[ModelOutput]:
        """Classify images and, if `guarded`, doubt those that are hardly frontal chest radiographs; one forward pass.

        Probabilities are not checked: of damaged weights they may be NaN (see `space.inference.classify`).
        """
        logits, features = self._served.backend.run(self.preprocess(images))
        doubts = self._doubts(images, features) if guarded else [None] * len(images)
        probabilities = logits.double().softmax(dim=-1).numpy()
        return [ModelOutput(*output) for output in zip(probabilities, doubts, features.split(1), strict=True)]

    def _doubts(self, images: Sequence[Image.Image], features: Tensor) -> list[Doubt | None]:
        """A doubt, or None, of each image; `features` are their last feature maps (B, C, h, w)."""
        copies = [coarse_copy(image) for image in images]
        doubts = [doubt_by_size(image.size, copy) for image, copy in zip(images, copies, strict=True)]
        if self.guard is None:
            return doubts
        thumbnails = np.stack([thumbnail(copy) for copy in copies])
        unlike = self.guard.distances(thumbnails, features.mean(dim=(2, 3)).numpy()) > self.guard.threshold
        turned = self.guard.upside_down(thumbnails)
        return [
            doubt or (Doubt.UPSIDE_DOWN if is_turned else Doubt.UNLIKE if is_far else None)
            for doubt, is_turned, is_far in zip(doubts, turned, unlike, strict=True)
        ]

    def maps(self, output: ModelOutput) -> np.ndarray:
        """Grad-CAM of every class, (K, h, w), >= 0, covering the whole image, without another forward pass."""
        if self._served.weights is None:
            return maps_of_features(self.model, output.features)[1][0].numpy()
        return weigh(output.features, self._served.weights)[0].clamp(min=0).numpy()


def _load(name: str, commit: str | None, code: bool) -> tuple:
    """Load a model, in evaluation mode, and its image processor.

    Raises:
        UsageError: It is not an image classifier of the supported kind.
        Exception: Of various kinds: it is damaged, or not there.
    """
    # Imported here because that takes seconds, which a model that was converted before does not need.
    from transformers import AutoImageProcessor, AutoModelForImageClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # one for the weights, which are read in a moment
    options = {"revision": commit, "code_revision": commit, "trust_remote_code": code}
    model, loading = AutoModelForImageClassification.from_pretrained(
        name, use_safetensors=True, output_loading_info=True, **options
    )
    # TimmWrapper always resizes with Pillow; to say so spares users a meaningless warning.
    processor = AutoImageProcessor.from_pretrained(name, backend="pil", revision=commit, trust_remote_code=False)
    if problem := _unfit(model, loading["missing_keys"]):
        raise UsageError(f"the model {name} cannot be used: {problem}")
    return model.eval(), processor


def _unfit(model, missing_keys: Collection[str]) -> str | None:
    """Why a model that was loaded cannot be used; None if it can."""
    if missing_keys:
        return f"its weights lack {len(missing_keys)} tensors, which would be random; first {min(missing_keys)!r}."
    if model.config.num_labels < 2 or model.config.problem_type not in (None, "single_label_classification"):
        return "it must choose one of two or more labels."
    if not hasattr(network_of(model), "forward_features"):
        return f"{type(model).__name__} does not split into features and head. Use a timm model (TimmWrapper)."
    return None
