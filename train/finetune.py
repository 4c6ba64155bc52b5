"""Fine-tune a chest X-ray classifier; writes a run folder that is a Hub model repository.

accelerate launch --quiet train/finetune.py --recipe mobilenetv2-pneumonia --dataset DIR --output RUN
"""

import sys
from pathlib import Path

if not __package__:  # as a script, `train/` itself would come first and shadow packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from space.errors import run_cli
from train.config.command_line import parse_args


def main() -> None:
    """Train, evaluate and write a run folder, or evaluate one again."""
    args = parse_args()
    # Only now: torch and transformers take seconds to import, and mistakes should be reported at once.
    if args.evaluate_only:
        from train.report.reevaluate import reevaluate

        reevaluate(args)
    else:
        from train.training_run import make_run

        make_run(args)


if __name__ == "__main__":
    run_cli(main)
