"""Publish a run folder, a dataset folder or a Space on the Hugging Face Hub, in one commit that is checked afterwards.

python -m hub.push model|dataset|space SOURCE USER/NAME [--public] [--revision BRANCH] [--tag v1] [--dry-run]
"""

import argparse
import tempfile
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import disable_progress_bars, validate_repo_id
from huggingface_hub.utils.logging import set_verbosity_error

from space.errors import CommandParser, UsageError, run_cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(
        prog="python -m hub.push",
        description=__doc__.splitlines()[0],
        epilog="Repositories are private unless --public. The token comes from `hf auth login` or HF_TOKEN.",
    )
    parser.add_argument("kind", choices=["model", "dataset", "space"], help="what to publish")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="run folder, or dataset folder for a dataset")
    parser.add_argument("repo", metavar="USER/NAME", help="repository; created if it does not exist")
    parser.add_argument(
        "--public", action="store_true", help="make the repository public (datasets: only if the licence allows it)"
    )
    parser.add_argument(
        "--licence", help="licence of a dataset's images, for example cc-by-4.0; state it only if you have checked it"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="push to this branch; created if it does not exist")
    parser.add_argument("--tag", help="tag the commit, for example v1")
    parser.add_argument("--verbose", action="store_true", help="show the warnings of the Hub's client too")
    parser.add_argument("--dry-run", action="store_true", help="summarise what would be pushed, and contact nobody")
    args = parser.parse_args()
    if not args.source.is_dir():
        kind = "dataset" if args.kind == "dataset" else "run"
        raise UsageError(f"{args.source} is not a folder. Give a {kind} folder.")
    if args.tag and args.tag in ("main", args.revision):
        raise UsageError(f"--tag {args.tag} is the name of a branch. Choose another, such as v1.")
    if args.licence and args.kind != "dataset":
        raise UsageError(f"--licence is for datasets. The licence of a {args.kind} is in its card.")
    if not _is_repository_name(args.repo):
        raise UsageError(
            f"{args.repo!r} is not a repository name. Give USER/NAME, of letters, digits, '-', '_' and '.'."
        )
    return args


def _is_repository_name(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name


def main() -> None:
    """Command line: collect what SOURCE holds, and publish it."""
    args = parse_args()
    # Only now: datasets takes a second to import, and mistakes should be reported at once.
    from hub.publishing.publish import gather, print_plan, publish
    from hub.publishing.repository import Target

    target = Target(args.repo, args.kind, args.public, args.revision, args.tag, args.licence)
    disable_progress_bars()
    if not args.verbose:  # it warns at every try, up to a hundred times before our own sentence
        set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        contents = gather(args.source, target, Path(folder))
        (print_plan if args.dry_run else publish)(args.source, target, contents)


if __name__ == "__main__":
    run_cli(main)
