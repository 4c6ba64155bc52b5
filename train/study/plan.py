"""The runs that a study asks for."""

import json
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from space.errors import UsageError
from train.common.arguments import public_name
from train.config.recipe import Recipe
from train.config.recipe_file import find_recipe, load_recipe
from train.models.chest_cnns import default_init
from train.study.study_file import BASE, LEFT_OUT_AUROC, Changes, Study, left_out_name

NEED_ROBUST_SELECTION = ("robust_auroc", "corrupted_auroc")


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
    name = setting_name(setting) + left_out_name(left_out)
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
