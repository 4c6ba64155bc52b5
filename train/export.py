"""Add the exported graph, which answers are computed with, to a model that has none.

python -m train.export RUN_OR_REPO[@COMMIT] --output FOLDER
"""

import argparse
import hashlib
import shutil
from pathlib import Path

from space.errors import CommandParser, run_cli
from space.inference.repository import check_model, commit_of, find_file
from train.common.atomic_output import check_free, written_whole
from train.common.cache_folder import cache_folder

# What is taken of a repository on the Hub: what the demo, `train.predict` and a push need.
FILES = (
    *("config.json", "preprocessor_config.json", "model.safetensors", "modeling_chest_cnn.py", "README.md"),
    *("EVALUATION.md", "results.json", "recipe.toml", "golden.safetensors", "guard.safetensors"),
)
LEFT_OUT = shutil.ignore_patterns("checkpoints", "pushed.json", ".*")


def export(name: str, revision: str | None, output: Path) -> None:
    """Copy a model repository and add its graph.

    Args:
        name: Run folder, or `owner/name` on the Hub.
        revision: Branch, tag or commit SHA on the Hub.
        output: Folder to make.

    Raises:
        UsageError: There is no such model, its head or preprocessing cannot be exported, or `output` exists.
        ChestXrayError: The Hub cannot be reached, or the graph computes something else than the model.
    """
    from train.models.graph import export_graph
    from train.models.load import load_saved

    with written_whole(output) as partial:
        is_folder = Path(name).is_dir()
        if is_folder:
            shutil.copytree(name, partial, ignore=LEFT_OUT, dirs_exist_ok=True)
        else:
            commit = commit_of(name, revision)
            for file in FILES:
                if path := find_file(name, file, commit):
                    shutil.copyfile(path, partial / file)
        export_graph(*load_saved(Path(name) if is_folder else partial), partial)


def exported_copy(name: str, revision: str | None) -> Path:
    """A copy of a model repository with a graph, made now or before, in the cache.

    Raises:
        ChestXrayError: See `export`.
    """
    commit = commit_of(name, revision)
    paths = [find_file(name, file, commit) for file in FILES]
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes() if path else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    folder = cache_folder() / "exported" / digest.hexdigest()[:32]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        export(name, commit, folder)
    return folder


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(
        prog="python -m train.export",
        description="Copy a model and add onnx/model.onnx, the graph that the demo and train.predict compute with. "
        "New runs have one already.",
    )
    parser.add_argument("model", metavar="RUN_OR_REPO[@COMMIT]", help="run folder, or model repository on the Hub")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    return parser.parse_args()


def main() -> None:
    """Check the arguments, then export."""
    args = parse_args()
    name, _, revision = (args.model, "", "") if Path(args.model).exists() else args.model.partition("@")
    check_free(args.output)
    check_model(name, "RUN_OR_REPO")
    export(name, revision or None, args.output)
    print(f"{args.output} is {name} with its graph\n")
    print(f"  serve    python app.py --model {args.output}")


if __name__ == "__main__":
    run_cli(main)
