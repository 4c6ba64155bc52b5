"""Train a lung segmenter from the lung masks of some datasets.

python -m train.segment --dataset DIR [DIR ...] --output FOLDER
"""

import argparse
import shlex
import time
from pathlib import Path

from space.errors import CommandParser, run_cli
from train.common.arguments import parse_count, parse_seed, public_name
from train.common.atomic_output import check_free, written_whole

EPOCHS = 25


def segment(args: argparse.Namespace) -> None:
    """Train, check and measure a lung segmenter.

    Args:
        args: What `parse_args` returned.

    Raises:
        UsageError: A dataset cannot be used.
        ChestXrayError: An image cannot be read, or the graph computes something else than the network.
    """
    import torch

    from space.inference.lungs import LungSegmenter
    from train.engine.cpu_kernels import keep_freed_memory
    from train.engine.runtime import use_all_cores
    from train.report.training_record import environment
    from train.segmentation.dice import score_masks
    from train.segmentation.fit import fit
    from train.segmentation.mask_sets import load_mask_sets
    from train.segmentation.results import SegmenterResults, write_segmenter_results
    from train.segmentation.save import render_segmenter_card, save_segmenter

    keep_freed_memory()
    with written_whole(args.output) as folder:
        sets = load_mask_sets(args.dataset, use_all_cores())
        start = time.monotonic()
        network, epoch = fit(sets.train, sets.validation, args.epochs, args.seed)
        seconds = time.monotonic() - start
        save_segmenter(network, folder)
        served = LungSegmenter.load(folder)  # what is measured is what is served
        results = SegmenterResults(
            command=command_of(args),
            masks_by=args.masks_by,
            seed=args.seed,
            epochs=args.epochs,
            epoch=epoch,
            weights=sum(parameter.numel() for parameter in network.parameters()),
            train_seconds=seconds,
            environment=environment(torch.device("cpu")),
            sources=sets.sources,
            validation=score_masks(served.run(sets.validation.pixels), sets.validation),
            tests={name: score_masks(served.run(images.pixels), images) for name, images in sets.tests.items()},
        )
        write_segmenter_results(folder / "results.json", results)
        (folder / "README.md").write_text(render_segmenter_card(results), encoding="utf-8")
    print(f"{args.output}: Dice {results.validation.mean.value:.3f} on validation")
    for name, scores in results.tests.items():
        print(f"  {name}, test: {scores.mean.value:.3f} ({scores.mean.low:.3f} to {scores.mean.high:.3f})")


def command_of(args: argparse.Namespace) -> str:
    """The command for the card, with local paths shortened to names."""
    words = ["python", "-m", "train.segment", "--dataset", *map(public_name, args.dataset)]
    words += ["--output", public_name(str(args.output)), "--epochs", str(args.epochs), "--seed", str(args.seed)]
    return shlex.join(words)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog="python -m train.segment", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", nargs="+", required=True, metavar="DIR_OR_REPO",
        help="datasets with lung masks; each one's test split is only measured",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--epochs", type=parse_count, default=EPOCHS, help=f"passes over the masks (default {EPOCHS})")
    parser.add_argument("--seed", type=parse_seed, default=0, help="seed of training (default 0)")
    parser.add_argument(
        "--masks-by", default="", metavar="TEXT", help="who drew the masks, and their licence, for the card"
    )
    return parser.parse_args()


def main() -> None:
    """Check the arguments, then train."""
    args = parse_args()
    check_free(args.output)
    segment(args)


if __name__ == "__main__":
    run_cli(main)
