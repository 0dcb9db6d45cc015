"""The two options' probabilities as the answer: without a plan, under it, and under its controls."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import BLUE, GREY, LEGEND, ORANGE, VERMILION, figure, require_rows
from workbench.problems.problem import Problem

SERIES: dict[str, tuple[str, str]] = {
    "without": ("without the surgery", GREY),
    "surgery": ("under the surgery", VERMILION),
    "control": ("control", BLUE),
}
"""Title and colour of each series of the table."""


def answer_options(table: pl.DataFrame, problem: Problem, control: str = "") -> go.Figure:
    """Draw what `workbench.interventions.controls.answered` returns.

    Args:
        table: A row per series and draw.
        problem: What was asked.
        control: What the control is, in a few words.

    Returns:
        A figure with a group of bars for the target, the negative and everything else. A control's bar is its mean,
        its whisker from the least to the greatest draw.

    Raises:
        WorkbenchError: The table is empty.
    """
    require_rows(table)
    names = [f"{problem.names[problem.target]}<br>(target)", f"{problem.names[problem.negative]}<br>(negative)"]
    table = table.with_columns(rest=(1 - pl.col("target") - pl.col("negative")).clip(0, 1))
    draws = table.filter(series="control").height
    told = ", ".join(
        f"{title} {table.filter(series=name)['target'].mean():.3f}"
        for name, (title, _) in SERIES.items()
        if table.filter(series=name).height
    )
    beside = f"; control: {control}, mean and range of {draws} draws" if draws else ""
    made = figure(
        "The answer after all thoughts",
        f"Raw probability of each option as the answer, one problem{beside}",
        f"Bars of the probability of the two options as the answer. Target: {told}.",
        height=340, margin={"l": 110, "r": 44, "t": 92, "b": 92}, barmode="group", bargap=0.22, bargroupgap=0.08,
        xaxis={"title": "raw probability as the answer", "range": [0, 1.02], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        yaxis={"autorange": "reversed", "showgrid": False, "title": ""}, legend=LEGEND,
    )  # fmt: skip
    for name, (title, colour) in SERIES.items():
        part = table.filter(series=name).select("target", "negative", "rest")
        if part.is_empty():
            continue
        mean = [float(part[column].mean()) for column in part.columns]  # type: ignore[arg-type]
        above = [float(part[c].max()) - m for c, m in zip(part.columns, mean, strict=True)]  # type: ignore[arg-type]
        below = [m - float(part[c].min()) for c, m in zip(part.columns, mean, strict=True)]  # type: ignore[arg-type]
        whisker = {"type": "data", "array": above, "arrayminus": below, "color": ORANGE, "thickness": 2, "width": 4}
        made.add_bar(
            y=[*names, "anything<br>else"], x=mean, name=title, orientation="h", marker={"color": colour},
            text=[f"{value:.3f}" for value in mean], textposition="outside", cliponaxis=False,
            textfont={"size": 11}, constraintext="none",
            error_x=whisker if name == "control" and draws > 1 else None,
            hovertemplate=f"{title}: %{{x:.4f}}<extra></extra>",
        )  # fmt: skip
    made.add_vline(x=0.5, line={"color": GREY, "width": 1.5, "dash": "dash"})
    made.add_annotation(
        x=0.5, y=1, yref="paper", yanchor="bottom", text="chance between the two: 0.5", showarrow=False,
        font={"size": 10},
    )  # fmt: skip
    return made
