"""Rules of the house: who may import whom, which pins agree, what the repository may hold."""

import ast
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.conftest import DEFAULT_MODEL, REPOSITORY
from tests.phantoms import draw_phantom

FORBIDDEN = {"space": {"train", "hub", "app"}, "train": {"hub", "app"}, "hub": {"app"}, "app": {"train", "hub"}}
DESIGN_CARD = {
    "gradio", "transformers", "datasets", "torch", "torchvision", "timm", "huggingface_hub", "accelerate", "evaluate",
}  # fmt: skip
FLOORS = {"gradio": (6, 16), "Pillow": (12, 2), "torch": (2, 10), "transformers": (5, 3)}


def pins(path: str) -> dict[str, str]:
    """{package: version} of a requirements file; fails on anything that is not pinned exactly."""
    lines = [line.strip() for line in (REPOSITORY / path).read_text().splitlines()]
    return dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if line and line[0] not in "#-")


def tracked() -> list[str]:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    listing = ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z"]
    done = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_only_go_the_allowed_way(package):
    files = [REPOSITORY / "app.py"] if package == "app" else sorted((REPOSITORY / package).glob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] not in FORBIDDEN[package], f"{file.name}:{node.lineno} imports {name}"


def test_direct_dependencies_are_pinned_and_the_spaces_are_a_subset():
    ours, spaces = pins("requirements.txt"), pins("space/requirements.txt")
    assert set(ours) >= DESIGN_CARD
    assert spaces.items() <= ours.items()
    for package, floor in FLOORS.items():
        assert tuple(int(part) for part in ours[package].split(".")[:2]) >= floor


def test_the_space_runs_on_the_pinned_gradio():
    front_matter = (REPOSITORY / "space" / "README.md").read_text().split("---")[1]
    assert f"sdk_version: {pins('requirements.txt')['gradio']}\n" in front_matter
    assert 'python_version: "3.11"' in front_matter


def test_every_dependency_is_explained():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    for package in pins("requirements.txt") | pins("tests/requirements.txt"):
        assert f"`{package}`" in text, package


def test_the_space_imports_nothing_beyond_its_own_requirements():
    provided = {"PIL" if name == "Pillow" else name for name in pins("space/requirements.txt")} | {"space"}
    for file in [*(REPOSITORY / "space").glob("*.py"), REPOSITORY / "app.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in {name.split(".")[0] for name in names}:
                assert name in provided or name in __import__("sys").stdlib_module_names, f"{file.name}: {name}"


def test_the_repository_holds_no_data_and_no_unexpected_top_level():
    names = tracked()
    top = {name.split("/")[0] for name in names if not name.startswith(".")}
    assert top <= {
        "app.py", "train", "hub", "space", "tests", "requirements.txt", "README.md", "LICENSE", "Makefile",
        "CHANGELOG.md", "CONTRIBUTING.md",
    }  # fmt: skip
    model = DEFAULT_MODEL.relative_to(REPOSITORY).as_posix()
    for name in names:
        assert not name.lower().endswith((".jpeg", ".jpg", ".dcm", ".parquet", ".npy", ".zip")), name
        if name.lower().endswith(".png"):
            allowed = (f"{model}/figures/", "space/web/examples/", "tests/browser/screenshots/", "train/studies/")
            assert name.startswith(allowed), name
        if not name.startswith(model):
            assert (REPOSITORY / name).stat().st_size < 1_000_000, name


def test_the_pages_examples_are_what_the_tests_draw():
    for number, path in enumerate(sorted((REPOSITORY / "space" / "web" / "examples").iterdir())):
        drawn = draw_phantom(np.random.default_rng(number), bool(number), 480, 440)
        assert path.name == f"phantom_{number + 1}.png"
        # Another processor may round a gray level otherwise.
        assert np.abs(np.asarray(Image.open(path), int) - np.asarray(drawn, int)).max() <= 2
