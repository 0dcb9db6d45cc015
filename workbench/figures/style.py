"""Colours and the plotly template of all figures, defined once.

Colours are Okabe and Ito's colour-blind safe palette (its blue a little lighter, for dark pages). Ink, grid and
background live in the template and not in the figures: a page that brings a theme (Streamlit, `with_ink`) replaces
them, and elsewhere the grey reads on both.
"""

import re
import textwrap
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.colors import unlabel_rgb

from workbench.errors import WorkbenchError
from workbench.measure.run_labels import CONTROLS, MODEL
from workbench.measure.scores import OUTSIDE
from workbench.problems.graph import NODE_CLASSES

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, GREY = "#1F84C4", "#D55E00", "#CC79A7", "#8A919E"

INK = {"both": "#7A808C", "light": "#1F2733", "dark": "#E4E7EC"}
"""Text colour by background; "both" has a contrast above 3.9 on white and on near black."""
FAINT = "rgba(128, 134, 146, 0.22)"
"""Grid lines and borders."""

CLASS_COLOURS: dict[str, str] = dict(
    zip((*NODE_CLASSES, OUTSIDE), (GREEN, SKY, ORANGE, PURPLE, "#B4BAC4"), strict=True)
)
"""One colour per node class, the same in every figure."""
READOUT_COLOURS = {"lm_head": BLUE, "forced_language": VERMILION}
RUN_COLOURS = {MODEL: BLUE} | dict(zip(CONTROLS, (GREY, PURPLE, ORANGE, GREEN, VERMILION), strict=True))
"""Colour of the model and of each control, the same in every figure; controls are drawn dotted as well."""
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Colours of runs and other series."""

VALUE_SCALE = [[0.0, "#A9B0BC"], [0.2, "#D9B265"], [0.5, "#E69F00"], [0.75, "#DB6A00"], [1.0, "#B83A00"]]
"""Values, from none to all of the mass: grey recedes on both backgrounds."""
DIFFERENCE_SCALE = [[0.0, "#0067A5"], [0.25, "#4BA3DA"], [0.5, "#A9B0BC"], [0.75, "#E69F00"], [1.0, "#B83A00"]]
"""Differences of values: blue less, orange more."""

ROOT_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)

TEMPLATE = go.layout.Template(
    layout={
        "font": {"color": INK["both"], "size": 12, "family": "Inter, 'Source Sans', 'Segoe UI', Arial, sans-serif"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": SERIES,
        "xaxis": {
            "gridcolor": FAINT,
            "zeroline": False,
            "linecolor": FAINT,
            "automargin": True,
            "title": {"standoff": 6, "font": {"size": 12}},
        },
        "yaxis": {
            "gridcolor": FAINT,
            "zerolinecolor": FAINT,
            "linecolor": FAINT,
            "automargin": True,
            "title": {"font": {"size": 12}},
        },
        "title": {
            "font": {"size": 15},
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "pad": {"b": 34},
        },
        "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"size": 11}},
        "hoverlabel": {"font": {"size": 12}, "align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": FAINT, "activecolor": GREY},
    }
)

SUBTITLE = 104
"""Letters in a line of a subtitle."""
LEGEND_WIDTH = 640
"""Pixels that a legend has for a row."""
LEGEND = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "traceorder": "normal"}
"""A legend under the figure, in the order of the traces."""


def figure(title: str, subtitle: str, alt: str = "", *, above: int = 0, below: int = 0, **layout: Any) -> go.Figure:
    """Return an empty figure in the house style, with room for its title, and for one row of its legend.

    Args:
        title: What is shown.
        subtitle: With what unit, over which set, beside which chance; long lines are broken.
        alt: The figure in a sentence or two, for those who do not see it; kept in `layout.meta["alt"]`.
        above: Pixels between the title and the plot, for what stands there.
        below: Pixels between the axis and the legend, for what stands there.
        layout: Anything else that `go.Layout` takes; `plot` is the height of the plot in pixels.
    """
    # A space before a break says that the line was too long: a page leaves such breaks out (`studies.pages`).
    broken = "<br>".join(" <br>".join(_broken(line)) for line in subtitle.split("<br>"))
    pad = 34 + 17 * broken.count("<br>") + above
    top, bottom, plot = pad + 58, 74 + below, layout.pop("plot", 190)
    made = go.Figure()
    made.update_layout(
        template=TEMPLATE,
        title={"text": title, "subtitle": {"text": broken, "font": {"size": 12}}, "y": 1, "yref": "paper"},
        title_pad_b=pad,
        margin={"l": 60, "r": 16, "t": top, "b": bottom},
        height=top + plot + bottom,
        legend=LEGEND,
        meta={"alt": alt},
    )
    return made.update_layout(**layout)


def _broken(line: str) -> list[str]:
    """Return a line of a subtitle in pieces that fit; its tags take no room."""
    return textwrap.wrap(line, SUBTITLE) if len(re.sub("<.*?>", "", line)) > SUBTITLE else [line.strip()]


DASHED = {"color": GREY, "width": 1.5, "dash": "dash"}
"""The line of a chance level."""
STILL: dict[str, Any] = {name: {"marker": {"opacity": 1}} for name in ("selected", "unselected")}
"""Of points that do not fade where another one is clicked."""


def told(made: go.Figure, alt: str) -> go.Figure:
    """Put a figure in words, for those who do not see it, and return it."""
    return made.update_layout(meta={"alt": alt})


def write(made: go.Figure, text: str, x: Any, y: Any, size: int | None = None, **more: Any) -> None:
    """Write text at a place, without an arrow."""
    made.add_annotation(text=text, x=x, y=y, showarrow=False, font={"size": size} if size else None, **more)


HERE = "here"
"""Name of the shape that marks the current number of thoughts: the explorer moves it."""


def shade(
    made: go.Figure, x0: float, x1: float, colour: str = SKY, opacity: float = 0.16, name: str | None = None
) -> None:
    """Shade the columns from x0 to x1, below all else."""
    made.add_shape(
        name=name,
        type="rect", layer="below", x0=x0, x1=x1, y0=0, y1=1, yref="paper", fillcolor=alpha(colour, opacity),
        line={"width": 0},
    )  # fmt: skip


def entry(made: go.Figure, name: str, symbol: str, colour: str, **marker: Any) -> None:
    """Add an entry to the legend for markers that are drawn together with others."""
    made.add_scatter(
        x=[None], y=[None], mode="markers", name=name, hoverinfo="skip",
        marker={"symbol": symbol, "size": 11, "color": colour, **marker},
    )  # fmt: skip


def fit_legend(made: go.Figure, alt: str = "") -> go.Figure:
    """Make room for all rows of the legend at a width of 700 pixels, and return the figure, in words where given."""
    if alt:
        told(made, alt)
    shown: Any = made.data
    names = {one.legendgroup or one.name: one.name for one in shown if one.showlegend is not False and one.name}
    widest = max((len(name) for name in names.values()), default=0)
    abreast = max(
        1, int(LEGEND_WIDTH / (45 + 5.6 * widest))
    )  # entries of a horizontal legend are as wide as the widest
    layout: Any = made.layout
    more = 19 * ((len(names) - 1) // abreast)
    return made.update_layout(height=layout.height + more, margin_b=layout.margin.b + more)


def root_bar(*, signed: bool = False) -> dict[str, Any]:
    """Return the bar of colours that follow the square root of a value, along the foot of the plot.

    Args:
        signed: Whether values go from -1 to 1, not from 0.
    """
    ticks = [*(-tick for tick in ROOT_TICKS[:0:-1]), *ROOT_TICKS] if signed else ROOT_TICKS
    return {
        "orientation": "h", "thickness": 9, "len": 0.42, "x": 0, "xanchor": "left", "y": 0, "yanchor": "top",
        "xpad": 0, "outlinewidth": 0, "tickvals": [abs(tick) ** 0.5 * (1 if tick >= 0 else -1) for tick in ticks],
        "ticktext": [f"{tick:g}" for tick in ticks], "tickfont": {"size": 10},
    }  # fmt: skip


def with_ink(made: go.Figure, theme: str) -> go.Figure:
    """Return a copy of a figure with the ink of a "light" or "dark" page, for pages that bring no theme."""
    copy = go.Figure(made)
    return copy.update_layout(template={"layout": {"font": {"color": INK[theme]}}})


GREY_BETWEEN = (1.05 * 0.05) ** 0.5 - 0.05
"""Luminance with the same contrast to black and to white."""
ON_LIGHT, ON_DARK = "#010101", "#FEFEFE"
"""Text on a mark's own colour, the same on light and dark pages; all but black and white, since a grey between has a
contrast of 4.55 to both."""


def readable_on(colour: str) -> str:
    """Return the colour of a text on a mark, black or white: whichever has the higher contrast (WCAG 2.2), 4.5 or more.

    Args:
        colour: Of the mark, as "rgb(r, g, b)".
    """
    red, green, blue = (
        (c / 255 + 0.055) ** 2.4 / 1.055**2.4 if c > 10 else c / 255 / 12.92 for c in unlabel_rgb(colour)
    )
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return ON_LIGHT if light > GREY_BETWEEN else ON_DARK


def alpha(colour: str, opacity: float) -> str:
    """Return a "#rrggbb" colour as rgba."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def plural(count: int, noun: str) -> str:
    """Return "1 thought", "2 thoughts"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def require_rows(table: pl.DataFrame) -> None:
    """Raise WorkbenchError if a table has no row to draw."""
    if table.is_empty():
        raise WorkbenchError(
            "There is nothing to draw.",
            "No problem is left in this table.",
            "Choose another filter, number of thoughts or readout.",
        )
