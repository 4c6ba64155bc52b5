"""Check, in a process of its own, that a model folder still gives the outputs that its run recorded.

python -m hub.verify FOLDER
"""

import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import pipeline

from space.errors import ChestXrayError, CommandParser, run_cli
from space.inference.classifier import TOLERANCE, Classifier
from space.results.results_file import Results, read_results
from train.models import modeling_chest_cnn
from train.models.graph import check_graph
from train.models.load import load_saved

CODE = Path(modeling_chest_cnn.__file__)
AUTO_MAP = {
    "AutoConfig": f"{CODE.stem}.ChestCnnConfig",
    "AutoModelForImageClassification": f"{CODE.stem}.ChestCnnForImageClassification",
}


def verify_model(folder: Path) -> None:
    """Load a model folder in every way that its card names, and compare.

    Raises:
        UsageError: It was not evaluated, or cannot be loaded.
        ChestXrayError: It does not give the recorded golden outputs or labels.
    """
    results = read_results(folder / "results.json")
    golden = load_file(folder / "golden.safetensors")
    classifier = Classifier.load(folder)
    if classifier.labels != results.labels:
        raise ChestXrayError(f"config.json has the labels {classifier.labels}, but the run recorded {results.labels}.")
    images = [Image.fromarray(pixels[0].numpy()) for pixels in golden["pixels"]]
    if classifier.operating_point != results.operating_point:
        raise ChestXrayError(
            f"config.json has the operating point {classifier.operating_point or 'argmax'}, but the run recorded "
            f"{results.operating_point or 'argmax'}."
        )
    threshold = classifier.guard.threshold if classifier.guard else None
    recorded = results.guard.threshold if results.guard else None
    if not (threshold == recorded or (threshold and recorded and abs(threshold - recorded) <= TOLERANCE * recorded)):
        raise ChestXrayError(f"guard.safetensors has the threshold {threshold}, but the run recorded {recorded}.")
    _check_code(folder, results)
    model, processor = load_saved(folder)
    check_graph(folder, model, processor)
    pixel_values = processor([image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = model(pixel_values=pixel_values).logits
    _compare(logits, golden["logits"], "the outputs of transformers differ from the recorded ones")
    _check_pipeline(folder, images, golden["logits"].softmax(dim=1), results)
    if not results.remote_code:
        _check_timm(folder, pixel_values, golden["logits"], results.labels)


def _check_code(folder: Path, results: Results) -> None:
    """A repository may bring this project's own, unchanged code for a chest CNN, and no other."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    expected = AUTO_MAP if results.remote_code else None
    if config.get("auto_map") != expected:
        raise ChestXrayError(f"config.json has the auto_map {config.get('auto_map')}; it must be {expected}.")
    path = folder / CODE.name
    if results.remote_code and not (path.is_file() and path.read_bytes() == CODE.read_bytes()):
        raise ChestXrayError(f"{path} is not this project's {CODE.name}. Copy that file there, or train again.")


def _check_pipeline(folder: Path, images: list[Image.Image], expected: Tensor, results: Results) -> None:
    classify = pipeline("image-classification", model=str(folder))
    for image, scores in zip(images, expected, strict=True):
        answers = {answer["label"]: answer["score"] for answer in classify(image, top_k=None)}
        if answers.keys() != set(results.labels):
            raise ChestXrayError(
                f"pipeline() returns the labels {sorted(answers)}, but the run recorded {results.labels}."
            )
        actual = torch.tensor([answers[label] for label in results.labels])
        _compare(actual, scores, "the probabilities of pipeline() differ from the recorded ones")


def _check_timm(folder: Path, pixels: Tensor, expected: Tensor, labels: list[str]) -> None:
    import timm

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.inference_mode():
        _compare(model(pixels), expected, "the outputs of timm differ from the recorded ones")
    if list(model.pretrained_cfg.get("label_names", [])) != labels:
        raise ChestXrayError(f"timm reads the labels {model.pretrained_cfg.get('label_names')}, not {labels}.")


def _compare(actual: Tensor, expected: Tensor, problem: str) -> None:
    difference = float((actual - expected).abs().max())
    if not difference <= TOLERANCE:  # also where it is not a number
        raise ChestXrayError(
            f"{problem} by {difference:.1e}; at most {TOLERANCE} is allowed. The weights or the config were changed."
        )


def main() -> None:
    """Command line: verify one folder."""
    parser = CommandParser(prog="python -m hub.verify", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="run folder, or a copy of it from the Hub")
    folder = parser.parse_args().folder
    verify_model(folder)
    print(f"{folder} reproduces the recorded outputs")


if __name__ == "__main__":
    run_cli(main)
