"""Which files of a folder go to the Hub, and which never do."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch, fnmatchcase
from pathlib import Path

from huggingface_hub import RepoCard
from yaml import YAMLError

from space.errors import UsageError, first_line
from space.results.results_file import read_results

GIB = 2**30
MOST_BYTES = 50 * GIB  # of one file: the Hub's own limit
MOST_FILES = 10_000  # of one folder: the Hub's own limit
SHOWN = 5
TOKEN, TEXTS = re.compile(rb"\bhf_[A-Za-z0-9]{30,}"), (".md", ".json", ".toml", ".csv", ".py")
PLACEHOLDER = "DIR_OR_REPO"  # in the snippets of cards

# What a folder of each kind may hold, as patterns of paths; "*" also stands for "/".
PUBLISHED = {
    "model": (
        *(
            "README.md",
            "EVALUATION.md",
            "config.json",
            "preprocessor_config.json",
            "recipe.toml",
            "results.json",
            "modeling_chest_cnn.py",
        ),
        *("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"),
        *("onnx/model.onnx", "golden.safetensors", "guard.safetensors"),
        *("predictions.csv", "classification_report.csv", "confusion_matrix.csv", "history.csv"),
        *("tensorboard/*events.out.tfevents.*", "figures/mistakes.png", "figures/learning_curves.png"),
        *("figures/confusion_matrix.png", "figures/roc.png", "figures/precision_recall.png"),
        *("figures/reliability.png", "figures/scores.png"),
    ),
    "dataset": (
        # images.csv lists what the parquet files hold: hashes, splits, and patients by the keys that stand there.
        *("README.md", "audit.json", "images.csv", "data/*.parquet", "figures/class_balance.png", "figures/sizes.png"),
        *("figures/mean_images.png", "figures/samples.png", "figures/near_duplicates.png"),
    ),
}
# What our tools leave in such folders and is nobody else's business: left out without a word.
PRIVATE = ("figures/local/*", "checkpoints/*", "quarantine.csv", "pushed.json", ".cache/*")
# What people leave in folders by mistake, and why it must not go: the push is refused.
DANGEROUS = {
    "a secret": (
        ".env*",
        "*/.env*",
        "*.pem",
        "*.key",
        "*id_rsa*",
        "*id_ed25519*",
        "*.netrc",
        "*token*",
        "*credentials*",
    ),
    "a pickle, which runs code when it is loaded": (
        "*.bin",
        "*.pt",
        "*.pth",
        "*.ckpt",
        "*.pkl",
        "*.pickle",
        "*.joblib",
    ),
    "an image that may show a patient": (
        *("*.png", "*.jpg", "*.jpeg", "*.dcm", "*.dicom", "*.tif", "*.tiff", "*.bmp", "*.gif", "*.webp", "*.npy"),
    ),
}


@dataclass(frozen=True)
class Contents:
    """What is pushed.

    Attributes:
        files: {path in the repository: local file}.
        left_out: Paths that stay here.
    """

    files: dict[str, Path]
    left_out: list[str]


def collect(folder: Path, kind: str) -> Contents:
    """Choose the files of a run folder or dataset folder.

    Args:
        folder: The folder.
        kind: "model" or "dataset".

    Raises:
        UsageError: It holds a file that must not be published, or that no tool of this project writes, or a token; or
            it lies beyond the Hub's limits.
    """
    files: dict[str, Path] = {}
    left_out: list[str] = []
    unknown: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise UsageError(f"{folder} contains a link, {name}. Replace it with the file itself, or delete it.")
        if path.is_dir():
            continue
        if not path.is_file():
            raise UsageError(f"{folder} contains {name}, which is not a regular file. Delete it.")
        if _matches(name, PRIVATE) or not _may_show(name, folder, kind):
            left_out.append(name)
        elif any(fnmatchcase(name, pattern) for pattern in PUBLISHED[kind]):
            files[name] = path
        else:
            unknown.append(name)
    _refuse(folder, kind, unknown)
    _check_limits(files)
    _check_secrets(files)
    return Contents(files, left_out)


def ready_card(contents: Contents, repo: str, folder: Path, licence: str | None = None) -> Contents:
    """The same contents, the card's snippets with the repository's name in them, its licence the one that is stated.

    Args:
        contents: With a README.md.
        repo: `owner/name`.
        folder: Where the changed card is written.
        licence: What the publisher states; None: the card keeps its own.

    Raises:
        UsageError: The card is not UTF-8 text, or its header is damaged.
    """
    source, card = contents.files["README.md"], folder / "README.md"
    try:
        text = source.read_text(encoding="utf-8")
        header = RepoCard(text)  # fails on a header that is no YAML
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not UTF-8 text.") from None
    except (ValueError, YAMLError) as error:
        raise UsageError(f"{source} has a damaged header: {first_line(error)}") from None
    if licence:
        for key in ("license_name", "license_link"):
            header.data.pop(key, None)
        header.data["license"] = licence
        text = f"{header}\nWhoever published this states that the images are under {licence}.\n"
    card.write_text(text.replace(PLACEHOLDER, repo), encoding="utf-8")
    return Contents(contents.files | {"README.md": card}, contents.left_out)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name.casefold(), pattern.casefold()) for pattern in patterns)


def _may_show(name: str, folder: Path, kind: str) -> bool:
    """Whether a file may go: images of single patients only from runs that were made with --with-samples."""
    if (kind, name) != ("model", "figures/mistakes.png"):
        return True
    try:
        return read_results(folder / "results.json").samples
    except UsageError:
        return False


def _danger(name: str) -> str:
    """Why a file must not go."""
    return next((why for why, patterns in DANGEROUS.items() if _matches(name, patterns)), "an unknown kind of file")


def _refuse(folder: Path, kind: str, unknown: list[str]) -> None:
    if not unknown:
        return
    reasons = [f"{name} ({_danger(name)})" for name in unknown[:SHOWN]]
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    raise UsageError(
        f"{folder} contains files that do not belong in a {kind} repository: {', '.join(reasons)}{more}. Move them "
        "elsewhere. Nothing was pushed."
    )


def _check_limits(files: dict[str, Path]) -> None:
    for name, path in files.items():
        if path.stat().st_size > MOST_BYTES:
            size, most = path.stat().st_size / GIB, MOST_BYTES / GIB
            raise UsageError(f"{name} has {size:.1f} GiB. The Hub accepts files of up to {most:.0f} GiB.")
    if len(files) > MOST_FILES:
        raise UsageError(f"There are {len(files):,} files. The Hub accepts up to {MOST_FILES:,} in a folder.")


def _check_secrets(files: dict[str, Path]) -> None:
    """Refuse texts that hold a token of the Hub."""
    for name, path in files.items():
        if path.suffix in TEXTS and TOKEN.search(path.read_bytes()):
            raise UsageError(f"{name} contains what looks like a Hugging Face token. Remove it, and revoke that token.")
