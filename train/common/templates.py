"""Markdown from Jinja templates in which every name must be known."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_template(path: Path, **values: object) -> str:
    """Render a Jinja template of Markdown.

    A name that `values` lacks is an error, never a gap in the text. Several blank lines in a row become one.
    """
    environment = Environment(  # noqa: S701 - Markdown, not HTML
        loader=FileSystemLoader(path.parent), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["cell"] = cell
    environment.filters["decimals"] = lambda value, digits=3: f"{value:.{digits}f}"
    environment.filters["plural"] = _plural
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(path.name).render(**values))


def cell(text: str) -> str:
    """A text from outside, such as a class name, for a cell of a table: in one line, without a cell's border."""
    return " ".join(text.split()).replace("|", "\\|")


def _plural(unit: str) -> str:
    """What is resampled (see `train.evaluation.bootstrap.BootstrapClusters`), several of it."""
    return unit.replace("patient", "patients").replace("group of", "groups of").replace("image", "images")
