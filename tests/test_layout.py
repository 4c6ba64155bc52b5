"""Rules of the house: who may import whom, which pins agree, what the repository may hold."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import DEFAULT_MODEL, REPOSITORY
from tests.phantoms import draw_phantom

PACKAGES = ("space", "train", "hub")
DESIGN_CARD = {
    "gradio", "transformers", "datasets", "torch", "torchvision", "timm", "huggingface_hub", "accelerate", "evaluate",
}  # fmt: skip
FLOORS = {"gradio": (6, 16), "Pillow": (12, 2), "torch": (2, 10), "transformers": (5, 3)}


# Modules that have no test file of their own name, and what tests them instead.
WITHOUT_TESTS = {
    "space/results/evaluation_records.py": "tests/space/results/test_results_file.py",
    "space/results/training_records.py": "tests/space/results/test_results_file.py",
    "space/web/theme.py": "nothing: constants alone",
    "train/config/recipe.py": "tests/train/config/test_recipe_file.py",
    "train/engine/training_inputs.py": "nothing: a dataclass without behaviour",
}


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


def sources() -> list[Path]:
    """Every module of the project, tests apart."""
    return [REPOSITORY / "app.py", *(file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py"))]


def imports(file: Path) -> set[str]:
    """The modules that a file imports, those in functions too; `from a import b` names a.b where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if (REPOSITORY / f"{name.replace('.', '/')}.py").is_file()}
            found |= modules or {node.module}
    return found


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The folder that a module lies in, as a package."""
    folder = REPOSITORY / module.replace(".", "/")
    return module if folder.is_dir() else module.rpartition(".")[0]


def allowed(room: str) -> set[str]:
    """What the docstring of a room's `__init__.py` says that it may import."""
    docstring = ast.get_docstring(ast.parse((REPOSITORY / room.replace(".", "/") / "__init__.py").read_text())) or ""
    said = re.search(r"\n\nMay import: (.+)\.$", docstring, re.DOTALL)
    assert said, f"the docstring of {room} does not end with what it may import"
    return set() if said[1].startswith("nothing") else set(re.split(r",\s+", said[1]))


def test_imports_only_go_the_allowed_way():
    for file in sources():
        room = room_of(module_of(file))
        for name in imports(file):
            package, target = name.split(".")[0], room_of(name)
            if package not in (*PACKAGES, "app") or target == room:
                continue
            if room in ("", *PACKAGES):  # the top of a package uses all of its rooms
                ok = package == room or package in ({"space"} if room == "" else allowed(room))
            else:
                ok = target in allowed(room)
            assert ok, f"{file.relative_to(REPOSITORY)} imports {name}"


def test_there_is_no_circle_between_rooms_nor_between_files():
    rooms = {module_of(file.parent / "__init__.py") for file in sources()[1:]}
    # The top of a package holds its commands, which use the rooms, and, in space, what all rooms use.
    order = TopologicalSorter({room: allowed(room) - {*PACKAGES} for room in rooms - {*PACKAGES}})
    order.prepare()
    names = {module_of(file) for file in sources()}
    TopologicalSorter({module_of(file): imports(file) & names for file in sources()}).prepare()


def test_the_map_lists_every_room_and_no_other():
    folders = {parent.as_posix() for name in tracked() for parent in Path(name).parents}
    tops = (*PACKAGES, "tests")
    # Rooms are folders at most two deep, and packages at any depth. Below tests, those that mirror a package are none.
    rooms = {folder for folder in folders if folder.split("/")[0] in tops and folder.count("/") < 2}
    rooms |= {Path(name).parent.as_posix() for name in tracked() if name.endswith("/__init__.py")}
    mirrors = tuple(f"tests/{package}" for package in PACKAGES)
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    table = re.search(r"\n\| room \|.*?\n\n", text, re.DOTALL)
    listed = re.findall(r"^\| `([\w/.-]+)` \|", table[0], re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {"app.py"} | {f"{room}/" for room in rooms if not room.startswith(mirrors)}


def test_a_room_is_small_enough_to_read_from_ls():
    for folder in {file.parent for file in sources()} - {REPOSITORY}:
        modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(modules) <= 13, f"{folder.relative_to(REPOSITORY)} holds {len(modules)} modules"


def test_a_modules_tests_are_found_by_its_name():
    names = set(tracked())
    without = set()
    for file in sources()[1:]:
        path = file.relative_to(REPOSITORY)
        own = Path("tests") / path.parent / f"test_{path.stem.strip('_')}.py"
        if path.name != "__init__.py" and own.as_posix() not in names:
            without.add(path.as_posix())
    assert without == set(WITHOUT_TESTS)
    assert all((REPOSITORY / where).exists() for where in WITHOUT_TESTS.values() if not where.startswith("nothing: "))


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
    names = {"Pillow": "PIL", "python-multipart": "python_multipart"}
    provided = {names.get(name, name) for name in pins("space/requirements.txt")} | {"space"}
    for file in [*(REPOSITORY / "space").rglob("*.py"), REPOSITORY / "app.py"]:
        for name in {name.split(".")[0] for name in imports(file)}:
            assert name in provided or name in sys.stdlib_module_names, f"{file.name}: {name}"


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
