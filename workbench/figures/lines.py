"""What most figures are made of: summaries drawn as lines, bars or maps, in panels, the controls and chance beside.

A summary is a table of `workbench.measure.statistics.summarise`: a row per point, with the columns value, low, high, n
and chance beside those that say where the point belongs. Nothing is estimated here.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.figures.style import (
    GREY,
    RUN_COLOURS,
    SERIES,
    VALUE_SCALE,
    figure,
    fit_legend,
)
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.run_labels import title as run_title

TICKS = 12
"""Most values of an axis that are all labelled."""
FEW = 5
"""Most lines whose own chance levels are named in the legend."""
TOLD = 12
"""Most points of a line that are all named in the alt text; of a longer one, the first and the last."""
EXTRA = "<extra></extra>"
HOVER = f"%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], n = %{{customdata[2]}}{EXTRA}"
"""The end of a hover text over points with `customdata` = low, high, n."""


@dataclass(frozen=True)
class Look:
    """How a line, or a set of bars, looks."""

    title: str
    """In the legend and the hover."""
    colour: str
    dash: str = "solid"
    """As plotly names it; what is not solid is thinner, and its bars are hatched."""
    symbol: str = "circle"
    opacity: float = 1.0


def run_looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return how runs look, by label: the model solid, its controls dotted, each in its colour."""
    return {
        run: Look(
            run_title(run),
            RUN_COLOURS.get(run, SERIES[index % len(SERIES)]),
            "dot" if run in RUN_COLOURS and run != MODEL else "solid",
        )
        for index, run in enumerate(dict.fromkeys(labels))
    }


def lines(
    summary: pl.DataFrame,
    title: str,
    subtitle: str,
    unit: str,
    *,
    x: str = "thought",
    axis: str = "thought",
    by: str = RUN,
    looks: Mapping[Any, Look] | None = None,
    panel: str | None = None,
    panels: Mapping[Any, str] | None = None,
    wide: int = 3,
    chance: str = "chance",
    each: bool = False,
    bars: bool = False,
    empty: str = "",
    tell: int = 1,
    limits: tuple[float, float] | None = None,
    plot: int = 210,
    above: int = 0,
    below: int = 0,
) -> go.Figure:
    """Draw means with their intervals: a line for each run, a panel for each value of `panel`, chance dashed.

    Args:
        summary: A row per point: the columns `x`, `by`, `panel`, value and, where known, low, high, n, chance.
        title: What is shown.
        subtitle: Over which set, with which interval, beside which chance.
        unit: Title of the y-axis.
        x: Column along the x-axis; text is taken in the order of the table.
        axis: Title of the x-axis, and its name in the hover.
        by: Column that tells the lines apart.
        looks: The lines in their order; by default those of runs.
        panel: Column that panels are of.
        panels: The panels in their order and their titles; by default all, as they are named. Panels without a row are
            left out, unless `empty` is given.
        wide: Most panels in a row.
        chance: Name of the chance level in the legend; "" to draw none.
        each: Whether every line has a chance level, in its colour; else that of the first line is drawn, in grey.
        bars: Whether to draw bars in groups instead of lines.
        empty: What to write in a panel without a row.
        tell: How many lines of each panel are put in words, for the alt text; without panels, all are.
        limits: Range of the y-axis.
        plot: Height of a row of panels in pixels.
        above: Room for notes above the plot in pixels; without panels.
        below: Room for long labels of the x-axis in pixels.

    Returns:
        A figure whose points have `customdata` = low, high, n and, where it is not the same everywhere, chance.

    Examples:
        >>> from workbench.measure.statistics import summarise
        >>> table = pl.DataFrame({"run": "model", "thought": [1, 1, 2], "mass": [0.2, 0.4, 0.9], "mass_chance": 0.1})
        >>> made = lines(summarise(table, "mass", ["run", "thought"]), "Mass", "Mean over problems", "probability")
        >>> made.layout.meta["alt"]
        'Mass. Probability. model: 0.30 at 1, 0.90 at 2.'
    """
    if summary.is_empty() and not empty:
        return _undefined(title, subtitle, plot)
    looks = run_looks(summary[by]) if looks is None else looks
    named = panels or ({key: str(key) for key in summary[panel].unique(maintain_order=True)} if panel else {None: ""})
    parts = {key: summary if panel is None else where(summary, panel, key) for key in named}
    parts = {key: part for key, part in parts.items() if empty or len(part)}
    heads = [named[key] for key in parts]
    words = axis if panel is None else wrapped(axis, wide, heads)
    room: dict[str, Any] = {"plot": plot, "below": below + 15 * words.count("<br>")}
    made = figure(title, subtitle, above=above, **room) if panel is None else grid(title, subtitle, heads, wide, **room)
    ends, told, shown = _x_axis(made, summary[x], words), [], set()
    varied = "chance" in summary.columns and summary["chance"].drop_nulls().round(9).n_unique() > 1
    for index, (part, head) in enumerate(zip(parts.values(), heads, strict=True)):
        at: dict[str, Any] = {} if panel is None else place(index, wide, len(heads))
        first: pl.DataFrame | None = None
        for number, (key, look) in enumerate(looks.items()):
            rows = where(part, by, key)
            if rows.is_empty():
                continue
            rows = rows.sort(x) if rows.schema[x].is_numeric() else rows
            points = rows if varied else rows.select(pl.exclude("chance"))
            _add(made, points, x, look, head, axis, bars, look.title not in shown, at)
            shown.add(look.title)
            if chance and each:
                name = f"{chance}, {look.title}"
                level(made, rows, x, name, ends, colour=look.colour, bars=bars, legend=len(looks) <= FEW, **at)
            if panel is None or number < tell:
                told.append(said(rows, x, ", ".join(filter(None, (head, look.title)))))
            first = rows if first is None else first
        if first is None:
            note(made, empty, **at)
            told.append(f"{head}: {empty}".replace("<br>", " "))
        # A level that is the same everywhere holds in an empty panel too.
        even = first if first is not None or varied else summary.head(1)
        if chance and not each and even is not None:
            level(made, even, x, chance, ends, bars=bars, legend=chance not in shown, **at)
            shown.add(chance)
    made.update_yaxes(title="<br>".join(textwrap.wrap(unit, plot // 7)), col=None if panel is None else 1)
    if limits is not None:
        made.update_yaxes(range=limits)
    made.update_layout(
        meta={"alt": f"{title}. {unit[:1].upper()}{unit[1:]}. {'; '.join(told)}."}, barmode="group", bargap=0.25
    )
    return fit_legend(made)


def where(table: pl.DataFrame, column: str, key: Any) -> pl.DataFrame:
    """Return the rows of one value of a column of names or numbers, whatever its type."""
    return table.filter(pl.col(column).cast(pl.String) == str(key))


def interval(rows: pl.DataFrame, colour: str = GREY) -> dict[str, Any]:
    """Return the intervals of a summary as plotly's error bars."""
    above, below = rows["high"] - rows["value"], rows["value"] - rows["low"]
    return {
        "type": "data", "symmetric": False, "color": colour, "thickness": 1.4, "width": 3,
        "array": above.to_list(), "arrayminus": below.to_list(),
    }  # fmt: skip


def level(
    made: go.Figure, rows: pl.DataFrame, x: str, name: str, ends: Sequence[float] | None, *, colour: str = GREY,
    bars: bool = False, legend: bool = True, **at: int,
) -> None:  # fmt: skip
    """Add the chance level of a summary: dashed, from end to end where it is the same everywhere.

    Args:
        made: The figure.
        rows: Of a summary, with the column chance; none is drawn where it is null.
        x: Column along the x-axis.
        name: In the legend and the hover.
        ends: Of the x-axis; None for names, which have no place between them.
        colour: Of the line.
        bars: Whether it stands beside bars: a short line for each, where it differs.
        legend: Whether it is in the legend.
        at: Row and column of the panel.
    """
    rows = rows.drop_nulls("chance") if "chance" in rows.columns else rows.clear()
    if rows.is_empty():
        return
    same = ends is not None and rows["chance"].round(9).n_unique() == 1
    short = bars and not same
    made.add_scatter(
        x=list(ends or ()) if same else rows[x].cast(pl.String) if short else rows[x],
        y=[rows["chance"][0]] * 2 if same else rows["chance"],
        mode="markers" if short else "lines", name=name, legendgroup=name, showlegend=legend,
        line=None if short else {"color": colour, "width": 1.6, "dash": "dash"}, opacity=1 if colour == GREY else 0.7,
        marker={"symbol": "line-ew-open", "size": 20, "color": colour, "line": {"width": 2}} if short else None,
        hovertemplate=f"{name}: %{{y:.3f}}<extra></extra>", **at,
    )  # fmt: skip


def note(made: go.Figure, text: str, **at: int) -> None:
    """Write in the middle of an empty panel."""
    made.add_scatter(x=[None], y=[None], hoverinfo="skip", showlegend=False, **at)  # else plotly draws no axes for it
    made.add_annotation(
        text=text, x=0.5, xref="x domain", y=0.5, yref="y domain", showarrow=False, font={"color": GREY, "size": 11},
        **at,
    )  # fmt: skip


def said(rows: pl.DataFrame, x: str, name: str) -> str:
    """Return a line in words, for the alt text."""
    points = [f"{value:.2f} at {at}" for at, value in rows.select(x, "value").iter_rows() if value is not None]
    return f"{name}: {', '.join(points if len(points) <= TOLD else points[:: len(points) - 1])}"


def grid(
    title: str, subtitle: str, heads: Sequence[str], wide: int, *, plot: int = 210, below: int = 0, **layout: Any
) -> go.Figure:
    """Return empty panels that share the y-axis, each with its title; at most `wide` in a row.

    Args:
        title: Of the figure.
        subtitle: Of the figure.
        heads: Titles of the panels.
        wide: Most panels in a row.
        plot: Height of a panel in pixels.
        below: Room below the panels in pixels.
        layout: Anything else that `go.Layout` takes.
    """
    columns = min(wide, len(heads))
    rows = -(-len(heads) // columns)
    broken = ["<br>".join("<br>".join(textwrap.wrap(p, 92 // columns)) for p in head.split("<br>")) for head in heads]
    tall = 15 * max(head.count("<br>") for head in broken)
    gap = 78 + tall + below  # ticks, the axis' title, and the title of the panel underneath
    total = rows * plot + (rows - 1) * gap
    made = figure(title, subtitle, above=22 + tall, below=below, plot=total, **layout)
    made.set_subplots(
        rows, columns, subplot_titles=broken, shared_yaxes=True, horizontal_spacing=0.03,
        vertical_spacing=gap / total if rows > 1 else None,
    )  # fmt: skip
    made.update_annotations(font={"size": 12})
    return made.update_yaxes(matches="y")  # rows of panels are compared as well


def wrapped(text: str, wide: int, heads: Sequence[Any]) -> str:
    """Return text broken so that it fits below a panel of `grid`."""
    return "<br>".join(textwrap.wrap(text, max(10, 95 // min(wide, len(heads)))))


def place(index: int, wide: int, count: int) -> dict[str, int]:
    """Return row and column of a panel of `grid`, as plotly takes them."""
    columns = min(wide, count)
    return {"row": index // columns + 1, "col": index % columns + 1}


def maps(
    summary: pl.DataFrame,
    title: str,
    subtitle: str,
    unit: str,
    *,
    x: str,
    y: str,
    axes: tuple[str, str],
    panel: str = RUN,
    panels: Mapping[Any, str] | None = None,
    wide: int = 3,
    limits: tuple[float, float | None] = (0.0, 1.0),
    text: str | None = "value",
    up: bool = False,
    plot: int = 190,
) -> go.Figure:
    """Draw means as colours of cells, a map for each value of `panel`; interval, n and chance are in the hover.

    Args:
        summary: A row per cell: the columns `x`, `y`, `panel`, value, low, high, n, chance and, optionally, text (in
            the cell) and note (a line in the hover).
        title: What is shown.
        subtitle: Over which set, beside which chance.
        unit: Of the values, over the colour bar.
        x: Column of the columns of cells.
        y: Column of the rows of cells.
        axes: Names of both.
        panel: Column that maps are of.
        panels: The maps in their order, and their titles; by default all, as runs are named.
        wide: Most maps in a row.
        limits: Of the colours.
        text: What stands in a cell: "value", "chance" for the value with chance in brackets, "text" for the column of
            that name, None for nothing.
        up: Whether rows go from the bottom up.
        plot: Height of a map in pixels.

    Returns:
        A figure whose cells have `customdata` = low, high, n, chance, note.
    """
    if summary.is_empty():
        return _undefined(title, subtitle, plot)
    named = panels or {key: run_title(str(key)) for key in summary[panel].unique(maintain_order=True)}
    words = wrapped(axes[0], wide, list(named))
    made = grid(title, subtitle, list(named.values()), wide, plot=plot, below=15 * words.count("<br>"))
    made.update_layout(
        coloraxis={
            "colorscale": VALUE_SCALE, "cmin": limits[0], "cmax": limits[1],
            "colorbar": {"title": {"text": unit}, "thickness": 12},
        }
    )  # fmt: skip
    has_chance = "chance" in summary.columns and summary["chance"].count() > 0
    cells = summary.with_columns(
        *(pl.lit(None, pl.Float64).alias(name) for name in ("chance",) if name not in summary.columns),
        *(pl.lit("").alias(name) for name in ("note", "text") if name not in summary.columns),
    )
    told = []
    for index, (key, head) in enumerate(named.items()):
        rows, about = where(cells, panel, key), head.replace("<br>", " ")
        if rows.is_empty():
            note(made, "undefined", **place(index, wide, len(named)))
            told.append(f"{about} undefined")
            continue
        inside = {
            "value": rows["value"].map_elements(two, pl.String).to_list(),
            "chance": [f"{two(v)}<br>({two(c)})" for v, c in rows.select("value", "chance").iter_rows()],
            "text": rows["text"].to_list(),
        }  # fmt: skip
        made.add_heatmap(
            x=rows[x], y=rows[y], z=rows["value"], coloraxis="coloraxis", hoverongaps=False,
            text=inside[text] if text else None, texttemplate="%{text}" if text else None, textfont={"size": 10},
            customdata=rows.select("low", "high", "n", "chance", "note").rows(),
            hovertemplate=f"{about}, {axes[0]} %{{x}}, {axes[1]} %{{y}}: %{{z:.3f}} [%{{customdata[0]:.3f}}, "
            f"%{{customdata[1]:.3f}}]{', chance %{customdata[3]:.3f}' if has_chance else ''}, n = %{{customdata[2]}}"
            "%{customdata[4]}<extra></extra>",
            **place(index, wide, len(named)),
        )  # fmt: skip
        for best in rows.drop_nulls("value").sort("value", descending=True).head(1).iter_rows(named=True):
            told.append(f"{about} at most {best['value']:.2f} ({axes[0]} {best[x]}, {axes[1]} {best[y]})")
    made.update_xaxes(title=words, showgrid=False).update_yaxes(showgrid=False, zeroline=False)
    made.update_yaxes(autorange=True if up else "reversed").update_yaxes(title=axes[1], col=1)
    return made.update_layout(meta={"alt": f"{title}. {'; '.join(told)}."})


def _undefined(title: str, subtitle: str, plot: int) -> go.Figure:
    """Return a figure that says that there are problems, and none for which the number is defined."""
    made = figure(title, subtitle, f"{title}. Undefined for all of these problems.", plot=plot)
    note(made, "undefined for all of these problems")
    return made


def _add(
    made: go.Figure, rows: pl.DataFrame, x: str, look: Look, head: str, axis: str, bars: bool, legend: bool,
    at: dict[str, int],
) -> None:  # fmt: skip
    bounds = {"low", "high"} <= set(rows.columns)
    rows = rows if not bounds or "n" in rows.columns else rows.with_columns(n=pl.lit(None, pl.Int64))
    shown = [name for name in ("low", "high", "n", "chance") if name in rows.columns]
    solid, about = look.dash == "solid", ", ".join(filter(None, (look.title, head.replace("<br>", " "))))
    shared = {
        "x": rows[x].cast(pl.String) if rows.schema[x] == pl.Enum else rows[x], "y": rows["value"], "name": look.title,
        "legendgroup": look.title, "showlegend": legend, "opacity": look.opacity,
        "error_y": interval(rows, GREY if bars else look.colour) if bounds else None,
        "customdata": rows.select(shown).rows() if bounds else None,
        "hovertemplate": f"{about}, {axis} %{{x}}: %{{y:.3f}}"
        f"{' [' + HOVER.removesuffix(EXTRA) if bounds else ''}"
        f"{', chance %{customdata[3]:.3f}' if 'chance' in shown else ''}{EXTRA}",
    }  # fmt: skip
    if bars:
        made.add_bar(**shared, **at, marker={"color": look.colour, "pattern": {"shape": "" if solid else "/"}})
        return
    made.add_scatter(
        **shared, **at, mode="lines+markers", marker={"size": 8 if solid else 5, "symbol": look.symbol},
        line={"color": look.colour, "width": 2.5 if solid else 1.6, "dash": look.dash},
    )  # fmt: skip


def _x_axis(made: go.Figure, values: pl.Series, axis: str) -> tuple[float, float] | None:
    """Label the x-axis and return where it begins and ends; None for names."""
    made.update_xaxes(title=axis, showgrid=False)
    if not values.dtype.is_numeric() or values.is_empty():
        return None
    ticks = values.unique().sort()
    gap, span = float(ticks.diff().min() or 1), float(ticks[-1] - ticks[0])  # type: ignore[arg-type, operator]
    if gap * TICKS >= span:
        made.update_xaxes(tickvals=ticks.to_list())
    room = 0.5 * gap if gap * TICKS >= span else 0.02 * span
    ends = float(ticks[0]) - room, float(ticks[-1]) + room
    made.update_xaxes(range=ends)
    return ends[0] + 0.2 * room, ends[1] - 0.2 * room


def two(value: float | None) -> str:
    """Return a number between 0 and 1 with two digits and no leading zero."""
    return (
        "–"
        if value is None
        else f"{value:.2f}".removeprefix("0")
        if value >= 0
        else f"-{-value:.2f}".replace("-0", "-")
    )
