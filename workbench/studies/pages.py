"""What all pages share: one template environment, tables of text cells, and figures as HTML."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from workbench.files import write_whole

NONE = "–"
"""A cell without a value."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    kind: str = "ours"
    """ours, published (set apart on the page), or text."""


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    baselines: int = 0
    """How many of the first rows are chance levels and rules, not methods."""


@dataclass(frozen=True)
class Section:
    """A part of a page: what stands above its tables, the tables, and its figures."""

    title: str
    intro: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[go.Figure, ...]


def _cell(value: object) -> str:
    """Return text for a cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


_ENVIRONMENT = Environment(
    loader=PackageLoader("workbench.studies"),
    # Markdown is read as text: quoting it for HTML would show the quotes.
    autoescape=lambda name: name is not None and ".html" in name,
    undefined=StrictUndefined,
    trim_blocks=True,
)
_ENVIRONMENT.filters["cell"] = _cell


def render(template: str, **context: object) -> str:
    """Return a page of `templates/`: "card.md" or "report.html", the latter with everything in it escaped.

    Args:
        template: Name of the file without `.jinja`.
        context: What the template asks for; a name that is missing is an error.
    """
    return _ENVIRONMENT.get_template(f"{template}.jinja").render(**context)


def write_html(path: Path, template: str, **context: object) -> Path:
    """Write a page that opens offline, with plotly.min.js beside it, and return the page."""
    write_whole(path.parent / "plotly.min.js", get_plotlyjs())
    write_whole(path, render(template, **context))
    return path


def drawings(figures: Sequence[go.Figure]) -> list[dict[str, str]]:
    """Return `drawing` of each figure."""
    return [drawing(made) for made in figures]


def drawing(made: go.Figure) -> dict[str, str]:
    """Return a figure's HTML with title and subtitle beside it: a page breaks their lines, a figure does not.

    Returns:
        title, subtitle, alt (what the figure shows, in words) and html.
    """
    layout: Any = made.layout
    lines = max([note.text.count("<br>") for note in layout.annotations if note.text], default=0)  # of panels' titles
    bare = go.Figure(made).update_layout(title=None, margin_t=20 + 15 * lines, height=(layout.height or 360) - 60)
    bare.for_each_xaxis(lambda axis: axis.update(tickangle=0 if axis.tickangle is None else axis.tickangle))
    html = bare.update_xaxes(tickfont_size=10).to_html(
        full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True}
    )
    title, subtitle = (_plain(text) for text in (layout.title.text, layout.title.subtitle.text))
    return {"title": title, "subtitle": subtitle, "alt": layout.meta["alt"], "html": html}


def _plain(text: str) -> str:
    """Return text without tags; what a line break parts, a semicolon does."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"\s*;?\s*<br>\s*", "; ", text))
