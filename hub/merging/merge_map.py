"""The TOML file that says how sources become one dataset: their origins, their hospitals, their classes.

title = "…"                          # of the merged dataset; may be left out

[classes]                            # the common classes and what they mean, in the order of their indices
NORMAL = "no sign of pneumonia"
PNEUMONIA = "…"

[sources.kermany]                    # a dataset's folder name, or "OWNER/NAME" on the Hub
origin = "kermany"                   # what the column says; the dataset's name where this is left out
hospital = "Guangzhou"               # origins of one hospital are one group; the origin where this is left out
copies_of = ["nih"]                  # sources that this one was compiled from: images that they share are theirs
labels = { Opacity = "PNEUMONIA", COVID = false }     # false drops a class; common names need no line
population = "children"              # population, title, citation, note: for the card, in place of its own
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pydantic.dataclasses import dataclass as checked_dataclass

from space.errors import UsageError
from train.common.arguments import did_you_mean, read_toml
from train.config.strict_toml import STRICT, check_keys, parse_section

# Origins stand before patients and sources, and in tables.
_NAME = re.compile(r"\w[\w .()+-]{0,59}")


@checked_dataclass(**STRICT)
class SourceTable:
    """What the map says of one source; see the module for the keys."""

    origin: str = ""
    hospital: str = ""
    title: str = ""
    citation: str = ""
    population: str = ""
    note: str = ""
    copies_of: list[str] | None = None
    labels: dict[str, str | bool] | None = None


@dataclass(frozen=True)
class MergeMap:
    """The whole file.

    Attributes:
        title: Of the merged dataset; "" where the file does not say.
        classes: {common class: its meaning}, in the order of the indices.
        sources: {dataset's name: what is said of it}.
    """

    title: str
    classes: dict[str, str]
    sources: dict[str, SourceTable]


@dataclass(frozen=True)
class SourcePlan:
    """How one dataset goes into the merged one.

    Attributes:
        name: Its folder name, or `owner/name`.
        origin, hospital: Values of these columns.
        labels: {its class: common class, or None where it is dropped}.
        copies_of: Numbers of the sources that it was compiled from.
        title, citation, population, note: For the card; "" where the map does not say.
    """

    name: str
    origin: str
    hospital: str
    labels: dict[str, str | None]
    copies_of: frozenset[int] = frozenset()
    title: str = ""
    citation: str = ""
    population: str = ""
    note: str = ""


def read_merge_map(path: Path, names: Sequence[str]) -> MergeMap:
    """Read the map of some datasets, and check what can be told without opening them.

    Args:
        path: The TOML file.
        names: Names of the datasets.

    Raises:
        UsageError: The file is not such a map, or does not speak of exactly these datasets.
    """
    where = f"--labels {path.name}"
    try:
        table = read_toml(path)
    except UsageError as error:
        raise UsageError(f"--labels: {error}") from None
    check_keys(where, table, ("title", "classes", "sources"), ("classes", "sources"))
    title, classes, sources = table.get("title", ""), table["classes"], table["sources"]
    if not isinstance(title, str):
        raise UsageError(f"{where}: title = {title!r}. It must be a text.")
    if not isinstance(classes, dict) or len(classes) < 2 or not all(isinstance(text, str) for text in classes.values()):
        raise UsageError(f'{where}: [classes] must have two classes or more, each with a line CLASS = "its meaning".')
    if not isinstance(sources, dict):
        raise UsageError(f"{where}: sources must be tables, [sources.NAME].")
    _check_names(f"{where}: [sources]", sources, names, "is none of the datasets given")
    if missing := [name for name in names if name not in sources]:
        raise UsageError(f"{where} says nothing of {', '.join(missing)}. Add [sources.{json.dumps(missing[0])}].")
    tables = {name: parse_section(f"{where}: [sources.{name}]", SourceTable, sources[name]) for name in names}
    for name, source in tables.items():
        _check_names(f"{where}: [sources.{name}] copies_of", source.copies_of or (), set(names) - {name}, "is no other")
    try:
        TopologicalSorter({name: source.copies_of or () for name, source in tables.items()}).prepare()
    except CycleError as error:
        circle = ", ".join(error.args[1][1:])
        raise UsageError(
            f"{where}: copies_of goes in a circle ({circle}), so nobody would keep shared images."
        ) from None
    return MergeMap(title, classes, tables)


def plan_sources(map_: MergeMap, labels: Mapping[str, Sequence[str]]) -> list[SourcePlan]:
    """Apply a map to the classes that the datasets have.

    Args:
        map_: From `read_merge_map`.
        labels: {dataset's name: its classes}, in the order of the datasets.

    Raises:
        UsageError: A class is not spoken of, or not there, or goes to one that is not common; or two origins are equal.
    """
    order = list(labels)
    plans = []
    for name, classes in labels.items():
        table, where = map_.sources[name], f"--labels: [sources.{name}]"
        renamed = table.labels or {}
        _check_names(f"{where} labels", renamed, classes, "is no class of this dataset")
        for label in classes:
            target = renamed.get(label, label)
            if target is not False and target not in map_.classes:
                hint = did_you_mean(target, map_.classes) or f". Common classes: {', '.join(map_.classes)}."
                said = f"labels: {label} = {target!r}" if label in renamed else f"says nothing of class {label}"
                raise UsageError(f"{where} {said}{hint} Give a common class, or false to drop it.")
        plans.append(
            SourcePlan(
                name,
                origin := table.origin or _own_name(name),
                table.hospital or origin,
                {label: renamed.get(label, label) or None for label in classes},
                frozenset(order.index(other) for other in table.copies_of or ()),
                table.title,
                table.citation,
                table.population,
                table.note,
            )
        )
    _check_origins(plans)
    return plans


def plan_without_map(labels: Mapping[str, Sequence[str]]) -> list[SourcePlan]:
    """The plan where all datasets have the same classes.

    Args:
        labels: {dataset's name: its classes}, in the order of the datasets.

    Raises:
        UsageError: They have other classes, or two datasets have one name; the message shows a map to begin with.
    """
    if len({frozenset(classes) for classes in labels.values()}) > 1:
        listed = "; ".join(f"{name}: {', '.join(classes)}" for name, classes in labels.items())
        raise UsageError(
            f"the datasets have different classes ({listed}). Say with --labels map.toml what becomes of each class. "
            f"A map to begin with:\n{_example(labels)}"
        )
    names = {name: _own_name(name) for name in labels}
    plans = [SourcePlan(name, names[name], names[name], {c: c for c in of}) for name, of in labels.items()]
    _check_origins(plans)
    return plans


def _check_names(where: str, given: Sequence[str] | Mapping, allowed: Sequence[str] | set[str], fault: str) -> None:
    for name in given:
        if name not in allowed:
            hint = did_you_mean(name, allowed) or f". Allowed: {', '.join(sorted(allowed))}."
            raise UsageError(f"{where}: {name} {fault}{hint}")


def _check_origins(plans: Sequence[SourcePlan]) -> None:
    origins = [plan.origin for plan in plans]
    for plan in plans:
        for name in (plan.origin, plan.hospital):
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{plan.name}: {name!r} cannot be an origin or a hospital. Use up to 60 letters, digits, spaces "
                    "and . _ ( ) + -"
                )
        if origins.count(plan.origin) > 1:
            raise UsageError(
                f"two datasets have the origin {plan.origin}. Give each its own in the map (--labels); a common "
                "`hospital` makes them one group."
            )


def _own_name(name: str) -> str:
    return name.rpartition("/")[2]


def _example(labels: Mapping[str, Sequence[str]]) -> str:
    """A map in which the classes of the first dataset are the common ones, and others are dropped."""
    common = {label.casefold(): label for label in next(iter(labels.values()))}
    lines = ["[classes]", *(f'{json.dumps(label, ensure_ascii=False)} = "what it means"' for label in common.values())]
    for name, classes in labels.items():
        lines += ["", f"[sources.{json.dumps(name, ensure_ascii=False)}.labels]"]
        for label in classes:
            target = common.get(label.casefold())
            lines.append(f"{json.dumps(label, ensure_ascii=False)} = {json.dumps(target or False, ensure_ascii=False)}")
    return "\n".join(lines)
