"""STUDY.toml: what a study asks, read strictly.

question = "..."                    # one sentence, heads the report
base = "mobilenetv2-pneumonia"      # recipe by name or path
mode = "one-at-a-time"              # every level alone against the base; "grid": every combination of levels and base
seeds = [0, 1, 2]                   # a single one makes a screen: no intervals, and the test split stays unread
metric = "robust_auroc"             # of the kept epoch, on validation: it ranks
leave_out = [["NIH"], ["South"]]    # optional: hospitals; every run is made once for each entry, without its hospitals

[base_changes]                      # optional: in every run
epochs = 4
init = "scratch"                    # beside recipe keys: init, max_steps (as on finetune's command line)

[factors.optimizer]                 # one table per factor, one table of changes per level; optional with leave_out
sgd = { optimizer = "sgd", learning_rate = 0.05 }
"""

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass

from space.errors import UsageError
from train.common.arguments import check_init, read_toml
from train.config.strict_toml import STRICT, check_keys, check_names, parse_section

BASE = "base"
KEYS = ["question", "base", "mode", "seeds", "metric", "leave_out", "base_changes", "factors"]
OPTIONAL = ("leave_out", "base_changes", "factors")
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
# Of the swap test on validation (`train.attention.swap_test`). They do not rank: the second should be near 0.5.
SWAP_MEASURES = {
    "swap_lungs_auroc": "AUROC for the label of the lungs, swap test on validation",
    "swap_surroundings_auroc": "AUROC for the label of the surroundings, swap test on validation",
}
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


def load_study(path: Path) -> Study:
    """Read a study strictly.

    Raises:
        UsageError: The file is no TOML, or a key is unknown, missing or of a wrong kind; the message names what is
            allowed. Whether the recipes fit is found out by
            `train.study.plan.plan_runs`.
    """
    tree = read_toml(path)
    check_keys(path.name, tree, KEYS, [key for key in KEYS if key not in OPTIONAL])
    header = parse_section(path.name, Header, {field.name: tree[field.name] for field in fields(Header)})
    base_changes = _changes(f"{path.name} [base_changes]", tree["base_changes"]) if "base_changes" in tree else {}
    left_out = _leave_out(path.name, tree.get("leave_out", [[]]))
    factors = (
        _factors(f"{path.name} [factors", tree.get("factors", {})) if "factors" in tree or not any(left_out) else {}
    )
    return Study(path.stem, header, _seeds(path.name, tree["seeds"]), base_changes, factors, left_out)


def _factors(where: str, table: Any) -> dict[str, dict[str, Changes]]:
    _check_names(f"{where}]", table, "factor")
    for factor, levels in table.items():
        _check_names(f"{where}.{factor}]", levels, "level")
    return {
        factor: {level: _changes(f"{where}.{factor}.{level}]", changes) for level, changes in levels.items()}
        for factor, levels in table.items()
    }


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
    if not checked or len({left_out_name(group) for group in checked}) < len(checked):
        raise UsageError(
            f'{where} leave_out = {groups!r}; it must be a list of lists of hospitals, such as [["NIH"], ["South"]], '
            "no two alike. [] in it stands for a run that leaves none out."
        )
    return tuple(checked)


def left_out_name(left_out: tuple[str, ...]) -> str:
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
