"""Studies: which runs a STUDY.toml asks for, read strictly.

question = "..."                    # one sentence, heads the report
base = "mobilenetv2-pneumonia"      # recipe by name or path
mode = "one-at-a-time"              # every level alone against the base; "grid": every combination of levels and base
seeds = [0, 1, 2]                   # a single one makes a screen: no intervals, and the test split stays unread
metric = "robust_auroc"             # of the kept epoch, on validation: it ranks
leave_out = [["NIH"], ["South"]]    # optional: hospitals; every run is made once for each entry, without its hospitals

[base_changes]                      # optional: in every run
epochs = 4
init = "scratch"                    # beside recipe keys: init, max_steps (as on finetune's command line)

[factors.optimizer]                 # one table per factor, one table of changes per level
sgd = { optimizer = "sgd", learning_rate = 0.05 }
"""

import json
import re
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass

from space.errors import UsageError
from train.common.arguments import check_init, public_name, read_toml
from train.config.recipe import Recipe, find_recipe, load_recipe
from train.config.strict_toml import STRICT, check_keys, check_names, parse_section
from train.models.chest_cnns import default_init

BASE = "base"
KEYS = ["question", "base", "mode", "seeds", "metric", "leave_out", "base_changes", "factors"]
OPTIONAL = ("leave_out", "base_changes")
LEFT_OUT_AUROC = "left_out_auroc"
# Higher is better in all of them. "robust_auroc" and "corrupted_auroc" exist where the recipe selects by
# "robust-auroc", the last one where the study leaves hospitals out.
METRICS = {
    "validation_auroc": "AUROC on validation",
    "validation_accuracy": "accuracy on validation",
    "robust_auroc": "robust AUROC (mean of clean and corrupted) on validation",
    "corrupted_auroc": "AUROC under corruption on validation",
    "worst_origin_auroc": "AUROC of the worst origin on validation",
    LEFT_OUT_AUROC: "AUROC on hospitals that training left out, the worst of them",
}
NEED_ROBUST_SELECTION = ("robust_auroc", "corrupted_auroc")
NAME = re.compile(r"[A-Za-z0-9_-]+")
# A table of changes: {key without its section: the text of finetune's --set, --init or --max-steps}.
Changes = dict[str, str]


@pydantic_dataclass(**STRICT)
class Header:
    """The plain keys of a study: its question, base recipe, mode and ranking metric."""

    question: str
    base: str
    mode: Literal["one-at-a-time", "grid"]
    metric: Literal[*METRICS]


@dataclass(frozen=True)
class Study:
    """What a STUDY.toml says.

    Attributes:
        name: The file's name without its ending.
        header: Its plain keys.
        seeds: One or more; a single one makes a screen.
        base_changes: What all runs change in the base recipe.
        factors: {factor: {level: what it changes on top}}.
        leave_out: The hospitals that each run of a setting and seed is trained without; () is none. All of a setting's
            runs together are one value: a setting is judged by its worst hospital.
    """

    name: str
    header: Header
    seeds: list[int]
    base_changes: Changes
    factors: dict[str, dict[str, Changes]]
    leave_out: tuple[tuple[str, ...], ...] = ((),)

    @property
    def leaves_out(self) -> bool:
        """Whether hospitals are left out: the runs are then judged on these."""
        return any(self.leave_out)

    @property
    def reads_test(self) -> bool:
        """Whether the test split is read at the end.

        Not with one seed, which tells nothing from chance; and not where hospitals are left out: their train and
        validation images are data for development, so that the test split is kept for what is chosen by them.
        """
        return len(self.seeds) > 1 and not self.leaves_out


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study.

    Attributes:
        name: Its folder below `runs/`.
        setting: {factor: level}; factors that are not named stand at the base.
        seed: Its seed.
        recipe: What it trains by, and the hospitals that it leaves out.
        changes: finetune's --set arguments that make `recipe` of the base recipe.
        init: Starting weights, as finetune's --init takes them.
        max_steps: Limit of optimiser steps; None is no limit.
    """

    name: str
    setting: dict[str, str]
    seed: int
    recipe: Recipe
    changes: list[str]
    init: str
    max_steps: int | None


def load_study(path: Path) -> Study:
    """Read a study strictly.

    Raises:
        UsageError: The file is no TOML, or a key is unknown, missing or of a wrong kind; the message names what is
            allowed. Whether the recipes fit is found out by `plan_runs`.
    """
    tree = read_toml(path)
    check_keys(path.name, tree, KEYS, [key for key in KEYS if key not in OPTIONAL])
    header = parse_section(path.name, Header, {field.name: tree[field.name] for field in fields(Header)})
    where = f"{path.name} [factors"
    _check_names(f"{where}]", tree["factors"], "factor")
    for factor, levels in tree["factors"].items():
        _check_names(f"{where}.{factor}]", levels, "level")
    factors = {
        factor: {level: _changes(f"{where}.{factor}.{level}]", table) for level, table in levels.items()}
        for factor, levels in tree["factors"].items()
    }
    base_changes = _changes(f"{path.name} [base_changes]", tree["base_changes"]) if "base_changes" in tree else {}
    left_out = _leave_out(path.name, tree.get("leave_out", [[]]))
    return Study(path.stem, header, _seeds(path.name, tree["seeds"]), base_changes, factors, left_out)


def _check_names(where: str, table: Any, what: str) -> None:
    """Check the names of factors or levels: they become names of folders, and "base" is taken."""
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{where} must be a table with at least one {what}, each a table itself.")
    for name in table:
        if not NAME.fullmatch(name) or name == BASE:
            raise UsageError(
                f'{where}: {name!r} cannot be the name of a {what}; use letters, digits, "-" and "_". '
                f'"{BASE}" is taken: it is what every level is compared with.'
            )


def _changes(where: str, table: Any) -> Changes:
    """Flatten a table of `key = value`, `section.key = value` or `section = {key = value}`."""
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{where} must be a table of one or more recipe keys, init or max_steps.")
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    changes: Changes = {}
    for name, value in flat.items():
        key = name.rpartition(".")[2]
        if key in changes:
            raise UsageError(f"{where} names {key} twice; leave one of them out.")
        changes[key] = _text(where, name, value)
    return changes


def _text(where: str, name: str, value: Any) -> str:
    """A change as finetune's command line takes it."""
    if name == "init":
        if not isinstance(value, str):
            raise UsageError(f'{where} init = {value!r}; it must be "imagenet", "scratch", a path or a repository.')
        check_init(value, f"{where} init")
        return value
    if name == "max_steps":
        if type(value) is not int or value < 1:
            raise UsageError(f"{where} max_steps = {value!r}; it must be a whole number of at least 1.")
        return str(value)
    if name in ("test", "evaluation.test"):
        raise UsageError(f"{where} sets {name}; leave it out: a study reads the test split itself, once, at its end.")
    if name in ("leave_out", "data.leave_out"):
        raise UsageError(
            f"{where} sets {name}; write it above the tables, for all runs alike: without a hospital, validation has "
            "other images, and levels could not be compared."
        )
    return f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"


def _leave_out(where: str, groups: Any) -> tuple[tuple[str, ...], ...]:
    """The hospitals that runs leave out; a run that leaves none out comes first."""
    try:
        checked = sorted((check_names(group) for group in groups), key=bool)
    except (TypeError, ValueError):
        checked = []
    if not checked or len({_folder_name(group) for group in checked}) < len(checked):
        raise UsageError(
            f'{where} leave_out = {groups!r}; it must be a list of lists of hospitals, such as [["NIH"], ["South"]], '
            "no two alike. [] in it stands for a run that leaves none out."
        )
    return tuple(checked)


def _folder_name(left_out: tuple[str, ...]) -> str:
    """What is added to the name of a run that leaves these hospitals out."""
    return f".without-{re.sub('[^A-Za-z0-9_-]+', '-', '-'.join(left_out))}" if left_out else ""


def _seeds(where: str, seeds: Any) -> list[int]:
    whole = isinstance(seeds, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not whole or len(set(seeds)) != len(seeds) or not seeds:
        raise UsageError(
            f"{where} seeds = {seeds!r}; it must be a list of one or more different whole numbers from 0 to "
            f"{2**32 - 1}."
        )
    return seeds


def plan_runs(study: Study) -> list[PlannedRun]:
    """List all runs of a study, each with the recipe it trains by; seed by seed, the base first.

    Raises:
        UsageError: A recipe does not exist or does not fit, two settings are the same run, or two factors of a grid
            change the same key.
    """
    path = find_recipe(study.header.base)
    if study.header.metric == LEFT_OUT_AUROC and not study.leaves_out:
        raise UsageError(f'{study.name}.toml: metric = "{LEFT_OUT_AUROC}" needs leave_out, such as [["NIH"]].')
    if study.header.mode == "grid":
        _check_grid(study)
    runs = [_plan_run(study, path, setting, names) for setting in list_settings(study) for names in study.leave_out]
    names: dict[tuple, str] = {}
    for run in runs:
        twin = names.setdefault((run.recipe, run.init, run.max_steps), run.name)
        if twin != run.name:
            raise UsageError(
                f"{study.name}.toml: {run.name} and {twin} would be the same run. Change or drop one of them."
            )
    return [replace(run, name=f"{run.name}-seed{seed}", seed=seed) for seed in study.seeds for run in runs]


def list_settings(study: Study) -> list[dict[str, str]]:
    """All {factor: level} of a study; {} is the base and comes first."""
    if study.header.mode == "one-at-a-time":
        return [{}] + [{factor: level} for factor, levels in study.factors.items() for level in levels]
    columns = [[(factor, level) for level in (BASE, *levels)] for factor, levels in study.factors.items()]
    return [{factor: level for factor, level in row if level != BASE} for row in product(*columns)]


def describe(changes: Changes) -> list[str]:
    """Changes as a report shows them, `key=value` each; a local file or folder by its name alone."""
    shown = {key: f"{key}={text}" for key, text in changes.items() if key in ("init", "max_steps")}
    if "init" in shown:
        shown["init"] = f"init={public_name(changes['init'])}"
    return list((changes | shown).values())


def setting_name(setting: dict[str, str]) -> str:
    """A setting's name, as folders have it: "base" or "factor.level", joined by dots where several factors change."""
    return ".".join(f"{factor}.{level}" for factor, level in setting.items()) or BASE


def _plan_run(study: Study, path: Path, setting: dict[str, str], left_out: tuple[str, ...]) -> PlannedRun:
    """The run of a setting with the first seed, named without it; `path` is the base recipe's."""
    changes = dict(study.base_changes)
    for factor, level in setting.items():
        changes |= study.factors[factor][level]
    init = changes.pop("init", "")
    max_steps = changes.pop("max_steps", None)
    sets = [*changes.values(), "evaluation.test=false"]
    sets += [f"leave_out={json.dumps(left_out, ensure_ascii=False)}"] if left_out else []
    name = setting_name(setting) + _folder_name(left_out)
    try:
        recipe = load_recipe(path, sets)
    except UsageError as error:
        raise UsageError(f"{study.name}.toml, {name}: {error}") from None
    if study.header.metric in NEED_ROBUST_SELECTION and recipe.control.selection != "robust-auroc":
        raise UsageError(
            f'{study.name}.toml, {name}: metric = "{study.header.metric}" is measured only where the recipe has '
            f'selection = "robust-auroc" (it has "{recipe.control.selection}"). Put it in [base_changes].'
        )
    init = init or default_init(recipe.model.architecture)
    return PlannedRun(name, setting, study.seeds[0], recipe, sets, init, int(max_steps) if max_steps else None)


def _check_grid(study: Study) -> None:
    owners: dict[str, str] = {}
    for factor, levels in study.factors.items():
        for key in sorted({key for changes in levels.values() for key in changes}):
            owner = owners.setdefault(key, factor)
            if owner != factor:
                raise UsageError(
                    f"{study.name}.toml: the factors {owner} and {factor} both change {key}; a grid cannot combine "
                    'them. Use mode = "one-at-a-time", or let one factor alone change it.'
                )
