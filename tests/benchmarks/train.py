"""How fast training is beside the usual way and beside the bare network, and its memory.

python -m tests.benchmarks.train DATASET [--architecture mobilenetv2_100] [--steps 20] [--rounds 2]

DATASET is a folder made by hub.convert. Each round runs the contestants one after the other in fresh processes:

usual   transformers' example scripts' way: `datasets` with a per-image torchvision transform, a DataLoader, fp32
plain   forward, backward and optimiser step on one batch that stays on the device, in our precision and memory format
bare    the same with what train.engine.cpu_kernels does on a CPU: the network as our loop runs it
ours    train.engine.trainer, with all of the recipe's augmentation
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

WARM_UP = 5
BATCH = 32
SIZE = 224


def usual(dataset: str, architecture: str, tick: Callable) -> None:
    """Steps as transformers' `run_image_classification_no_trainer.py` works (written anew)."""
    import torch
    from accelerate import Accelerator
    from datasets import load_dataset
    from torchvision import transforms

    accelerator = Accelerator(mixed_precision="no")
    change = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )

    def transform(rows: dict) -> dict:
        return {"pixels": [change(image.convert("RGB")) for image in rows["image"]], "label": rows["label"]}

    def collate(rows: list[dict]) -> tuple:
        return torch.stack([row["pixels"] for row in rows]), torch.tensor([row["label"] for row in rows])

    train = load_dataset(dataset, split="train").select_columns(["image", "label"]).with_transform(transform)
    loader = torch.utils.data.DataLoader(train, BATCH, shuffle=True, collate_fn=collate)
    model = _model(architecture)
    model, optimizer, loader = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), 1e-3), loader)
    model.train()
    for pixels, labels in loader:
        loss = model(pixel_values=pixels, labels=labels).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        tick()


def plain(dataset: str, architecture: str, tick: Callable) -> None:
    """Steps on a batch that is already there."""
    _resident(_model(architecture), tick)


def bare(dataset: str, architecture: str, tick: Callable) -> None:
    """The same, the network's slow kernels avoided."""
    import torch

    from train.engine.cpu_kernels import avoid_slow_kernels, keep_freed_memory

    keep_freed_memory()
    model = _model(architecture)
    if not torch.cuda.is_available():
        avoid_slow_kernels(model)
    _resident(model, tick)


def _resident(model, tick: Callable) -> None:
    import torch
    from accelerate import Accelerator, PartialState

    from train.engine.runtime import mixed_precision

    accelerator = Accelerator(mixed_precision=mixed_precision("auto", PartialState().device))
    model = model.to(memory_format=torch.channels_last)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), 1e-3, fused=True))
    pixels = torch.randn(BATCH, 3, SIZE, SIZE, device=accelerator.device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH, device=accelerator.device) % 2
    model.train()
    while True:
        with accelerator.autocast():
            logits = model(pixel_values=pixels).logits
        accelerator.backward(torch.nn.functional.cross_entropy(logits.float(), labels))
        optimizer.step()
        optimizer.zero_grad()
        tick()


def ours(dataset: str, architecture: str, tick: Callable) -> None:
    """Steps of `train.engine.trainer`."""
    from accelerate import Accelerator, PartialState

    from train.config.recipe_file import find_recipe, load_recipe
    from train.data.dataset import load_data
    from train.data.pixel_cache import Normaliser, load_pixels
    from train.engine.cpu_kernels import keep_freed_memory
    from train.engine.runtime import mixed_precision, use_all_cores
    from train.engine.trainer import Trainer
    from train.engine.training_inputs import TrainingInputs
    from train.models.factory import build
    from train.models.preprocessing import normalisation

    keep_freed_memory()
    recipe = load_recipe(find_recipe("mobilenetv2-pneumonia"), [f"architecture={architecture}", f"image_size={SIZE}"])
    data = load_data(dataset)
    accelerator = Accelerator(mixed_precision=mixed_precision("auto", PartialState().device))
    model, processor = build(recipe.model, data.labels, "scratch")
    splits = load_pixels(data, processor, use_all_cores(), ["train", "validation"])
    normalise = Normaliser(*normalisation(processor), accelerator.device)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingInputs(recipe, model, splits, normalise, Path(folder), 0, None, {}, None, lambda: 0)

        class Ticking(Trainer):
            def _optimise(self, batches: list) -> None:
                super()._optimise(batches)
                tick()

        Ticking(accelerator, job).run()


def _model(architecture: str):
    from train.config.recipe import ModelRecipe
    from train.models.factory import build

    return build(ModelRecipe(architecture, SIZE, 0.2), ["NORMAL", "PNEUMONIA"], "scratch")[0]


CONTESTANTS = {"usual": usual, "plain": plain, "bare": bare, "ours": ours}


class _Enough(Exception):
    """Ends a contestant."""


class _Clock:
    """Is called after each step; ends the contestant after a warm-up and so many timed steps."""

    def __init__(self, steps: int):
        self.left, self.steps, self.rate = WARM_UP + steps, steps, 0.0

    def __call__(self) -> None:
        import torch

        self.left -= 1
        if self.left not in (0, self.steps):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.left == 0:
            self.rate = self.steps * BATCH / (now - self.start)
            raise _Enough
        self.start = now


def measure(name: str, dataset: str, architecture: str, steps: int) -> dict[str, float]:
    """Images per second after a warm-up, and peak memory in MiB, of this process."""
    import torch

    from train.engine.runtime import use_all_cores

    use_all_cores()
    clock = _Clock(steps)
    with suppress(_Enough):
        CONTESTANTS[name](dataset, architecture, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {"rate": clock.rate, "peak": peak}


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--architecture", default="mobilenetv2_100")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=CONTESTANTS, help="measure one in this process and print JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.only, args.dataset, args.architecture, args.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for _ in range(args.rounds):
        for name in CONTESTANTS:
            command = [sys.executable, "-m", "tests.benchmarks.train", args.dataset, "--only", name]
            command += ["--architecture", args.architecture, "--steps", str(args.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    rates = {name: statistics.median(run["rate"] for run in runs) for name, runs in found.items()}
    print(f"{args.architecture}, {SIZE} px, batches of {BATCH}, {args.steps} steps, {args.rounds} rounds")
    for name, runs in found.items():
        peak = max(run["peak"] for run in runs)
        ratios = f"{rates[name] / rates['usual']:.2f} x usual   {rates[name] / rates['bare']:.2f} x bare"
        print(f"{name:8} {rates[name]:7.1f} images/s   {ratios}   peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
