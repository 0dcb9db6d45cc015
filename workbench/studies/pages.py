"""What all pages share: one template environment, tables of text cells, and figures as HTML."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
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
    details: tuple[Table, ...] = ()
    """More tables, folded away in HTML and left out of Markdown."""


_MARKS = re.compile(r"[\\|`*~$]|(?<!\w)_|_(?!\w)|\](?=[(\[:])|^[#>+-](?=\s)")
"""What Markdown would read as more than text; an underscore within a word and a bracket by itself are none."""
_HTML = re.compile(r"&(?=#?\w+;)|<(?=[A-Za-z/!?])")
"""Where an entity or a tag begins; "< .001" is text as it is."""
_OURS = "b|i|em|sub|sup|span|extra|br"
"""Tags that our figures write."""
_OTHERS = re.compile(rf"<(?!/?(?:{_OURS})\b)")
"""Where another tag begins, above all a link: it came with a name."""


class Markdown(str):
    """Text that is Markdown already, and HTML for a page of that: `link` and `strong` escape the names in it."""

    html: Markup

    def __new__(cls, text: str, html: Markup) -> "Markdown":
        """Keep both."""
        made = super().__new__(cls, text)
        made.html = html
        return made

    def __html__(self) -> str:
        """Return what a template of HTML shows."""
        return self.html


def link(name: str, target: str, then: str = "") -> Markdown:
    """Return a link and what follows it; name and text are shown as they are."""
    html = Markup('<a href="{}">{}</a>{}').format(quote(target), name, then)
    return Markdown(f"[{_cell(name)}]({quote(target)}){_cell(then)}", html)


def strong(name: str, then: str = "") -> Markdown:
    """Return bold text and what follows it; both are shown as they are."""
    return Markdown(f"**{_cell(name)}**{_cell(then)}", Markup("<strong>{}</strong>{}").format(name, then))


def _cell(value: object) -> str:
    """Return text for a cell of a Markdown table, or another line: names in it are shown as they are."""
    if isinstance(value, Markdown):
        return value
    text = _HTML.sub(lambda found: "&amp;" if found[0] == "&" else "&lt;", " ".join(str(value).split("\n")))
    return _MARKS.sub(r"\\\g<0>", text)


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
    return [drawing(made, str(number)) for number, made in enumerate(figures)]


def drawing(made: go.Figure, place: str = "") -> dict[str, str]:
    """Return a figure's HTML with title and subtitle beside it: a page breaks their lines, a figure does not.

    The same figure gives the same bytes.

    Args:
        made: The figure.
        place: Tells figures that are alike apart, where a page has several.

    Returns:
        title, subtitle, alt (what the figure shows, in words), html, and broad: "broad" where it has several panels.
    """
    layout: Any = made.layout
    lines = max([note.text.count("<br>") for note in layout.annotations if note.text], default=0)  # of panels' titles
    bare = go.Figure(made).update_layout(title=None, margin_t=20 + 15 * lines, height=(layout.height or 360) - 60)
    bare.for_each_xaxis(lambda axis: axis.update(tickangle=0 if axis.tickangle is None else axis.tickangle))
    bare = _without_links(bare.update_xaxes(tickfont_size=10))
    mark = hashlib.sha256(f"{place} {made.to_json()}".encode()).hexdigest()[:16]
    html = bare.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"figure-{mark}",
        config={"displaylogo": False, "responsive": True},
    )  # fmt: skip
    title, subtitle = (_plain(text) for text in (layout.title.text, layout.title.subtitle.text))
    broad = "broad" if len(list(made.select_xaxes())) > 1 else ""
    return {"title": title, "subtitle": subtitle, "alt": layout.meta["alt"], "html": html, "broad": broad}


def _without_links(made: go.Figure) -> go.Figure:
    """Return a figure whose texts have no tags but those for letters and lines; others are shown as they are."""

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return _OTHERS.sub("&lt;", value)
        if isinstance(value, dict):
            return {key: shown(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [shown(one) for one in value]
        if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
            return [shown(one) for one in value.tolist()]
        return value

    return go.Figure(shown(made.to_dict()), skip_invalid=False)


def _plain(text: str) -> str:
    """Return text without the tags of our figures; what a line break parts, a semicolon does."""
    whole = text.replace(" <br>", " ")  # a line that was too long for the figure (`figures.style.figure`)
    return re.sub(rf"</?(?:{_OURS})\b[^>]*>", " ", re.sub(r"\s*;?\s*<br>\s*", "; ", whole))
