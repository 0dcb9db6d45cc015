"""What figures over many problems share: means with intervals, a line for each run, panels side by side."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import GREY, LEGEND, RUN_COLOURS, SERIES, figure
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.statistics import Estimate, bootstrap_mean


def runs(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows of each run by its label, in the order of the table; all of them as "accuracy" without runs."""
    if RUN not in table.columns:
        return {"accuracy": table}
    return {run: table.filter(pl.col(RUN) == run) for run in table[RUN].unique(maintain_order=True)}


def colour_of(run: str, index: int) -> str:
    """Return the colour of a run: the model and its controls have their own, any other the next of the series."""
    return RUN_COLOURS.get(run) or SERIES[index % len(SERIES)]


def dash_of(run: str) -> str:
    """Return how a run's line is drawn: controls are dotted."""
    return "dot" if run in RUN_COLOURS and run != MODEL else "solid"


def estimates_by(rows: pl.DataFrame, by: str, column: str, seed: int) -> dict[int, Estimate]:
    """Return an estimate of the column's mean for each value of another column, in order, where it is defined."""
    keys = sorted(rows[by].unique().to_list())
    found = {
        k: bootstrap_mean(
            rows.filter(pl.col(by) == k)[column].cast(pl.Float64).fill_null(float("nan")).to_numpy(), seed=seed
        )
        for k in keys
    }
    return {k: estimate for k, estimate in found.items() if estimate.n}


def error_bars(estimates: dict[int, Estimate]) -> dict[str, Any]:
    """Return intervals as plotly's error bars."""
    return {
        "type": "data", "symmetric": False, "color": GREY, "thickness": 1.5, "width": 4,
        "array": [e.high - e.value for e in estimates.values()],
        "arrayminus": [e.value - e.low for e in estimates.values()],
    }  # fmt: skip


def hover_data(estimates: dict[int, Estimate]) -> list[tuple[float, float, int]]:
    """Return low, high and n of each estimate."""
    return [(e.low, e.high, e.n) for e in estimates.values()]


def line(
    made: go.Figure, estimates: dict[int, Estimate], label: str, colour: str, dash: str = "solid", **more: Any
) -> None:
    """Add a line through estimates, with their intervals.

    Args:
        made: The figure.
        estimates: By place on the x-axis.
        label: In the legend and the hover.
        colour: Of line and intervals.
        dash: As plotly names it; whatever is not solid is thinner.
        more: Anything else that `go.Figure.add_scatter` takes, such as row and column.
    """
    solid = dash == "solid"
    made.add_scatter(
        x=list(estimates), y=[e.value for e in estimates.values()], mode="lines+markers", name=label,
        line={"color": colour, "width": 2.5 if solid else 1.5, "dash": dash}, marker={"size": 8 if solid else 5},
        error_y=error_bars(estimates) | {"color": colour}, customdata=hover_data(estimates),
        hovertemplate=f"{label}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
        "n = %{customdata[2]}<extra></extra>",
        **more,
    )  # fmt: skip


def over_thoughts(title: str, subtitle: str, unit: str, thoughts: pl.Series) -> go.Figure:
    """Return an empty figure whose x-axis is the number of thoughts."""
    ticks = sorted(thoughts.unique().to_list())
    return figure(
        title, subtitle, "",
        height=360, margin={"l": 60, "r": 16, "t": 92, "b": 96}, legend=LEGEND,
        xaxis={"title": "thoughts", "tickvals": ticks, "range": [ticks[0] - 0.5, ticks[-1] + 0.5], "showgrid": False},
        yaxis={"title": unit},
    )  # fmt: skip


def panels(title: str, subtitle: str, titles: Sequence[str], columns: int, row_height: int = 250) -> go.Figure:
    """Return empty panels side by side that share the y-axis, each with its title; at most so many in a row.

    The places of the panels are those of `place`.
    """
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    height = row_height * rows + 190
    made = figure(title, subtitle, "")
    made.set_subplots(
        rows, columns, subplot_titles=list(titles), shared_yaxes=True, horizontal_spacing=0.03,
        vertical_spacing=min(0.2, 72 / (row_height * rows)),
    )  # fmt: skip
    made.update_annotations(font={"size": 12})
    made.update_yaxes(matches="y")  # rows of panels are compared as well
    return made.update_layout(
        height=height, legend=LEGEND, margin={"l": 60, "r": 16, "t": 112, "b": 100}, title_pad_b=56
    )


def place(index: int, columns: int, count: int) -> dict[str, int]:
    """Return row and column of a panel, as plotly takes them."""
    columns = min(columns, count)
    return {"row": index // columns + 1, "col": index % columns + 1}
