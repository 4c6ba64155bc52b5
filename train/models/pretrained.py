"""Where training starts: weights from ImageNet, a file, a run folder or the Hub, fitted to a network."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from space.errors import ChestXrayError, UsageError, check_local
from space.inference.repository import find_file, get_file
from train.common.arguments import IMAGENET

# {SHA-256 of a file of starting weights: what it holds and under which licence}, for model cards.
KNOWN_FILES = {
    "a162a627e8a121fdfb8338c885d5c6c32649ce977b07ee5a4696b255c69fe03e": "MobileNetV2 1.0 for 224 pixels, trained on "
    "ImageNet's 1,000 classes: TensorFlow's 8-bit model `mobilenet_v2_1.0_224_quant` (Apache-2.0), turned back into "
    "float32 numbers in timm's names. The statistics of its batch norms were measured again on 256 training images of "
    "chest-xray-pneumonia, without their labels.",
}


def load_start(net: nn.Module, init: str, labels: list[str], imagenet_repo: str = "") -> None:
    """Load starting weights into a network; a last layer that was trained for other classes stays fresh.

    Args:
        net: The bare network, with `get_classifier()`.
        init: "imagenet", a .safetensors file, a run folder, or a Hub repository.
        labels: Class names in the order of the logits. Weights without a config.json beside them do not say what their
            classes were; then their number decides.
        imagenet_repo: Where timm keeps the network's ImageNet weights; "" if nowhere.

    Raises:
        UsageError: The weights do not exist, cannot be read, or do not fit.
        ChestXrayError: The Hub could not be reached for them.
    """
    path = _download(imagenet_repo, init) if init == IMAGENET else _find(init)
    try:
        weights = {name.removeprefix("timm_model."): tensor for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise UsageError(f"--init {init}: {path.name} is not a readable safetensors file ({error}).") from None
    trained_for = _labels_beside(path)
    _load(net, weights, init, with_head=trained_for in (None, labels))


def weights_sha256(init: str) -> str:
    """The SHA-256 of starting weights that are a local file or run folder; "" for others, which have a name."""
    path = Path(init) / "model.safetensors" if Path(init).is_dir() else Path(init)
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find(init: str) -> Path:
    """The weights that a user named."""
    check_local(init, "--init")
    path = Path(init)
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.is_file():
            raise UsageError(f"--init {init}: the folder has no model.safetensors.")
    elif path.suffix and path.exists() and path.suffix != ".safetensors":
        raise UsageError(f"--init {init}: weights are read from .safetensors files only.")
    return path if path.is_file() else _download(init, init)


def _download(repo: str, init: str) -> Path:
    if not repo:
        raise UsageError("timm has no ImageNet weights for this model. Use --init scratch or --init PATH.")
    what = f"ImageNet weights ({repo})" if init == IMAGENET else f"--init {init}"
    try:
        find_file(repo, "config.json")  # stored beside the weights, where `_labels_beside` looks
        return get_file(repo, "model.safetensors")
    except ChestXrayError as error:
        raise type(error)(
            f"{what}: {error} Check the name and the network, or use --init scratch (random weights) or --init PATH "
            "(a .safetensors file or a run folder)."
        ) from error


def _labels_beside(path: Path) -> list[str] | None:
    """The class names that the config.json beside some weights states, in order; None if there is none to be read."""
    try:
        config = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
        names = config.get("label_names") or list(config["id2label"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return names


def _load(net: nn.Module, weights: dict[str, Tensor], init: str, with_head: bool) -> None:
    """Load all weights that fit; without those of the last layer if it is to stay fresh."""
    classifier = net.get_classifier()
    head = next(f"{name}." for name, module in net.named_modules() if module is classifier)
    own = net.state_dict()
    fitting = {
        name: tensor
        for name, tensor in weights.items()
        if name in own and tensor.shape == own[name].shape and (with_head or not name.startswith(head))
    }
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    lacking = [name for name in own if name not in fitting and not name.startswith(head) and name not in counters]
    if lacking:
        raise UsageError(
            f"--init {init}: the weights do not fit this architecture; {len(lacking)} of {len(own)} tensors are "
            f"missing or of another shape, first {lacking[0]!r}. Use weights of the recipe's architecture and "
            "image_size."
        )
    net.load_state_dict(fitting, strict=False)
