"""What README and the guides say is true: commands parse or run, links and options exist, numbers are recorded ones."""

import ast
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

import app
from hub.layouts.registry import LAYOUTS
from space.results.results_file import read_results
from space.web.settings import Settings
from tests.conftest import DEFAULT_MODEL, REPOSITORY, TINY_RECIPE
from tests.phantoms import draw_phantom, write_kaggle_tree
from tests.server import running_app
from tests.test_layout import tracked
from train.config.recipe_file import RECIPES
from train.report.hospitals import unseen_hospitals

NAMES = (
    "README.md", "CONTRIBUTING.md", "train/README.md", "hub/README.md", "space/web/README.md", "tests/README.md",
    "tests/benchmarks/RESULTS.md",
)  # fmt: skip
GUIDES = {name: (REPOSITORY / name).read_text() for name in NAMES}
README = GUIDES["README.md"]
COMMANDS = (
    "train.finetune", "train.predict", "train.study", "train.study.cross_validation", "train.segment",
    "train.report.model_card",
    "hub.convert", "hub.merge", "hub.audit", "hub.push", "app",
)  # fmt: skip
BENCHMARKS = tuple(f"tests.benchmarks.{name}" for name in ("convert", "predict", "serve", "train"))
OTHER_PROGRAMS = {"hf", "pip", "pip3", "curl", "sudo", "source", "tensorboard", "pre-commit", ".ci/run", "export"}
OTHER_OPTIONS = {"--num_processes", "--nproc_per_node", "--logdir", "--cpu"}
OPTION = r"(?<![\w-])--[a-z][\w-]*"
INTERVAL = r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)"


class Asked(Exception):
    """Carries a command's parser out of its `main`, before the command does anything."""


def main_of(module: str) -> Callable[[], None]:
    return app.main if module == "app" else importlib.import_module(module_name(module)).main


def module_name(module: str) -> str:
    package = (REPOSITORY / module.replace(".", "/")).is_dir()
    return f"{module}.__main__" if package else module


@cache
def parser_of(module: str) -> ArgumentParser:
    """The argument parser that a command's `main` builds."""

    def stop(parser: ArgumentParser, *_):
        raise Asked(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArgumentParser, "parse_args", stop)
        with pytest.raises(Asked) as asked:
            main_of(module)()
    return asked.value.args[0]


def commands(text: str) -> list[list[str]]:
    """Every shell command of a guide's blocks, split into words, without its comment."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return [words for line in blocks.splitlines() if (words := shlex.split(line, comments=True))]


def check(words: list[str]) -> None:
    """Fail unless a command is one of ours and its arguments parse, or is a program that others bring."""
    program, *rest = words
    if program == "make":
        assert set(rest) <= set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)), words
    elif Path(program).name == "python":
        module, arguments = (rest[1], rest[2:]) if rest[0] == "-m" else ("app", rest[1:])
        assert rest[0] in ("-m", "app.py") and importlib.util.find_spec(module), words
        if module in COMMANDS + BENCHMARKS:
            parser_of(module).parse_args(arguments)
    elif words[:2] == ["accelerate", "launch"] or program == "torchrun":
        parser = get_args_parser() if program == "torchrun" else launch_command_parser()
        args = parser.parse_args(rest if program == "torchrun" else rest[1:])
        assert args.training_script == "train/finetune.py"
        parser_of("train.finetune").parse_args(args.training_script_args)
    else:
        assert program in OTHER_PROGRAMS or re.match(r"\w+=", program), words


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_blocks_parse(name):
    for words in commands(GUIDES[name]):
        check(words)


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_in_the_text_exist(name):
    helps = "".join(parser_of(module).format_help() for module in COMMANDS + BENCHMARKS)
    options = OTHER_OPTIONS.union(re.findall(OPTION, helps))
    prose = re.sub(r"```.*?```", "", GUIDES[name], flags=re.DOTALL)
    for span in re.findall(r"`([^`]+)`", prose):
        assert set(re.findall(OPTION, span)) <= options, span
        for module in re.findall(r"python -m ([\w.]+)", span):
            assert importlib.util.find_spec(module), span
        for target in re.findall(r"^make ([\w-]+)", span):
            check(["make", target])


@pytest.mark.parametrize("name", NAMES)
def test_files_and_modules_that_are_named_exist(name):
    for module in re.findall(r"`((?:train|hub|space|tests)(?:\.\w+)+)`", GUIDES[name]):
        assert importlib.util.find_spec(module), module
    for path in re.findall(r"`((?:app\.py|(?:train|hub|space|tests)/)[\w./-]*)`", GUIDES[name]):
        folder = (REPOSITORY / name).parent
        assert (REPOSITORY / path).exists() or (folder / path).exists(), path


def test_relative_links_lead_somewhere():
    for name in tracked():
        if not name.endswith(".md") or (name.startswith("tests/") and name not in GUIDES):
            continue  # cards that tests compare with
        text = (REPOSITORY / name).read_text()
        for path, anchor in re.findall(r"\]\((?![a-z]+:)([^)#]*)(?:#([^)]*))?\)", text):
            target = (REPOSITORY / name).parent / path if path else REPOSITORY / name
            assert target.exists(), f"{name}: {path}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{name}: #{anchor}"


def test_every_layout_and_its_page_on_kaggle_are_listed():
    for layout in LAYOUTS.values():
        assert layout.name in GUIDES["hub/README.md"] and layout.link in GUIDES["hub/README.md"], layout.name


def test_python_snippets_are_python():
    for text in GUIDES.values():
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            ast.parse(code)


def test_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_commands_from_kaggle_to_a_model_run_as_written(tmp_path):
    write_kaggle_tree(tmp_path / "chest-xray-pneumonia")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    story = [words for words in commands(README) if {"hub.convert", "train/finetune.py", "train.predict"} & {*words}]
    assert len(story) == 3
    for words in story:
        words = [str(TINY_RECIPE) if word == "mobilenetv2-pneumonia" else word for word in words]
        words = [str(REPOSITORY / word) if word == "train/finetune.py" else word for word in words]
        words += ["--init", "scratch", "--max-steps", "2"] if words[0] == "accelerate" else []
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    serve = next(words for words in commands(README) if words[:2] == ["python", "app.py"])
    assert (tmp_path / serve[serve.index("--model") + 1] / "model.safetensors").is_file()
    assert "PNEUMONIA" in (tmp_path / "predictions.csv").read_text()


@pytest.mark.parametrize("name", ["README.md", "train/README.md"])
def test_the_tables_of_recipes_are_complete(name):
    rows = "\n".join(line for line in GUIDES[name].splitlines() if line.startswith("|"))
    named = set(re.findall(r"`((?:best|fast|chestcnn|mobilenetv2|densenet\d+)-[\w-]+)`", rows))
    assert named == {path.stem for path in RECIPES.glob("*.toml")}


def test_the_table_of_settings_is_complete():
    rows = "\n".join(line for line in GUIDES["space/web/README.md"].splitlines() if line.startswith("|"))
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", rows))
    assert {field.name.upper() for field in fields(Settings)} <= named
    sources = "".join(path.read_text() for path in (REPOSITORY / "space" / "web").glob("*.py"))
    for variable in named - {field.name.upper() for field in fields(Settings)}:
        assert variable in sources, variable


def interval(entry: dict) -> str:
    """A metric's entry of results.json as README writes it."""
    return f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"


def test_the_bundled_models_results_are_those_recorded():
    results = json.loads((DEFAULT_MODEL / "results.json").read_text())
    for name, group in results["subgroups"]["test"]["origin"].items():
        measured = " | ".join(
            interval(group["operating_point"][key]) for key in ("auroc", "sensitivity", "specificity")
        )
        (row,) = re.findall(rf"^\| .*\(`{name}`\) \| .*$", README, re.MULTILINE)
        assert row.endswith(f"| {group['images']} | {measured} |")
    unseen = unseen_hospitals(read_results(DEFAULT_MODEL / "results.json").hospitals.results)
    assert [result.tested_on for result in unseen] == ["NIH", "kermany", "covid-qu-ex"]
    swap, page = results["swaps"]["test"], " ".join(README.split())
    controls = [results["shortcuts"][name]["changed"]["auroc"] for name in ("frame_only", "lungs_removed")]
    for entry in (*(asdict(result.auroc) for result in unseen), swap["lungs"], swap["surroundings"], *controls):
        assert interval(entry) in page


def test_the_results_beside_the_studies_are_those_of_the_recipes_headers():
    rows = [line for line in README.splitlines() if re.match(r"\|.*`\w+-[\w-]+` \|$", line)]
    assert len(rows) == 9
    for row in rows:
        for recipe in re.findall(r"`([\w-]+)`", row):
            header = (RECIPES / f"{recipe}.toml").read_text()
            numbers = re.findall(INTERVAL, row)
            assert numbers or "not run in full" in header, recipe
            for number in numbers:
                assert number in re.sub(r"\s*\n#\s*|\s+", " ", header), recipe


def test_the_api_answers_as_written(tmp_path):
    draw_phantom(np.random.default_rng(3), True, 300, 280).save(tmp_path / "xray.png")
    with zipfile.ZipFile(tmp_path / "xrays.zip", "w") as archive:
        archive.write(tmp_path / "xray.png", "xray.png")
    snippets = re.findall(r"```(python|bash)\n(.*?)```", GUIDES["space/web/README.md"] + README, re.DOTALL)
    shells = {"python": [sys.executable, "-c"], "bash": ["bash", "-euo", "pipefail", "-c"]}
    asked = [[*shells[kind], code] for kind, code in snippets if "http://127.0.0.1:7860/" in code or "Client(" in code]
    assert len(asked) == 4
    environment = os.environ | {"HF_HUB_OFFLINE": "0"}  # Hugging Face's client would else ask no server at all
    with running_app() as address:
        for command in asked:
            if "curl" in command[-1] and not which("curl"):
                continue
            command[-1] = command[-1].replace("http://127.0.0.1:7860", address)
            options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
            done = subprocess.run(command, **options, timeout=120)
            assert done.returncode == 0, done.stderr
            assert "PNEUMONIA" in done.stdout
    assert (tmp_path / "map.png").is_file() or not which("curl")
