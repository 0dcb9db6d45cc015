"""The answer of one problem against the dose of an intervention, with the same dose given to a control."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import GREEN, GREY, LEGEND, PURPLE, alpha, figure, require_rows
from workbench.problems.problem import Problem


def dose_curve_figure(
    table: pl.DataFrame, problem: Problem, *, unit: str, control: str = "", dose: float | None = None
) -> go.Figure:
    """Draw what `workbench.interventions.controls.dose_curve` returns.

    Args:
        table: A row per series, dose and draw.
        problem: What was asked.
        unit: What the dose is a share of, for the axis.
        control: What the control is, in a few words.
        dose: The present dose, to mark.

    Returns:
        Lines for both options, solid under the plan and dotted under the control (mean, and the range of the draws
        as a band).

    Raises:
        WorkbenchError: The table is empty.
    """
    require_rows(table)
    draws = table.filter(series="control")["draw"].n_unique()
    ends = {
        column: [round(float(value), 3) for value in table.filter(series="surgery").sort("dose")[column]]
        for column in ("target", "negative")
    }
    beside = f"; dotted: {control}, mean and range of {draws} draws" if draws else ""
    made = figure(
        "The answer against the dose",
        f"Raw probability of the two options as the answer, one problem{beside}",
        f"Lines of the probability of target and negative as the answer against the dose. Target: {ends['target']}, "
        f"negative: {ends['negative']}.",
        height=400, margin={"l": 60, "r": 20, "t": 92, "b": 100},
        xaxis={"title": f"dose: {unit}"}, legend=LEGEND, hovermode="x unified",
        yaxis={"title": "raw probability as the answer", "range": [-0.03, 1.04], "zeroline": False},
    )  # fmt: skip
    roles = (("target", problem.target, GREEN, "diamond"), ("negative", problem.negative, PURPLE, "triangle-down"))
    for column, node, colour, symbol in roles:
        name = f"{problem.names[node]} ({column})"
        if draws:
            about = pl.col(column)
            part = table.filter(series="control").group_by("dose").agg(
                about.mean().alias("mean"), about.min().alias("low"), about.max().alias("high")
            ).sort("dose")  # fmt: skip
            x = part["dose"].to_list()
            made.add_scatter(
                x=[*x, *x[::-1]], y=[*part["high"].to_list(), *part["low"].to_list()[::-1]], fill="toself",
                mode="lines", fillcolor=alpha(colour, 0.14), line={"width": 0}, hoverinfo="skip", showlegend=False,
                name=f"{name}, range",
            )  # fmt: skip
            made.add_scatter(
                x=x, y=part["mean"].to_list(), mode="lines", name=f"{name}, control",
                line={"color": colour, "width": 2, "dash": "dot"}, hovertemplate="%{y:.3f}",
            )  # fmt: skip
        own = table.filter(series="surgery").sort("dose")
        made.add_scatter(
            x=own["dose"].to_list(), y=own[column].to_list(), mode="lines+markers", name=f"{name}, surgery",
            line={"color": colour, "width": 3}, marker={"symbol": symbol, "size": 8}, hovertemplate="%{y:.3f}",
        )  # fmt: skip
    made.add_hline(y=0.5, line={"color": GREY, "width": 1.5, "dash": "dash"})
    made.add_annotation(
        x=1, xref="paper", xanchor="right", y=0.5, yanchor="bottom", text="chance between the two", showarrow=False,
        font={"size": 10},
    )  # fmt: skip
    if dose is not None:
        made.add_vline(x=dose, line={"color": GREY, "width": 1})
        made.add_annotation(
            x=dose, y=1, yref="paper", yanchor="bottom", text="present dose", showarrow=False, font={"size": 10}
        )  # fmt: skip
    return made
