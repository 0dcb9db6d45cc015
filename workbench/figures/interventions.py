"""Figures of interventions: conditions beside their controls, the answer's two options, and what changed downstream."""

from itertools import groupby

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.lines import HOVER, Look, interval, lines, where
from workbench.figures.style import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    HERE,
    ORANGE,
    PURPLE,
    SERIES,
    VALUE_SCALE,
    VERMILION,
    alpha,
    figure,
    fit_legend,
    require_rows,
    root_bar,
    shade,
    write,
)
from workbench.problems.problem import Problem

CASES: dict[str, tuple[str, str]] = {
    "without": ("without interventions", GREY),
    "intervened": ("with interventions", VERMILION),
    "control": ("control", BLUE),
}
"""Title and colour of each series of a table of answers."""
READ = {
    "thought": "thought k (LM head)",
    "next step": "next step said<br>after k",
    "answer": "answer said<br>after k",
}
"""The rows of the map of what changed, by the names of its table."""
DARK, LIGHT = "#10131A", "#FFFFFF"
_DASHES = ("solid", "dash", "dot")


# An audit's conditions


def over_places(
    table: pl.DataFrame, title: str, subtitle: str, unit: str, by: str = "thought", axis: str = ""
) -> go.Figure:
    """Draw a line for each condition over thoughts or strengths; controls dotted and hollow, chance dashed.

    Args:
        table: Rows of an audit with the same unit, their column `by` not null.
        title: What is shown.
        subtitle: Over which problems.
        unit: Of the y-axis.
        by: "thought" or "strength".
        axis: What the numbers of `by` count, where it is something else.
    """
    require_rows(table)
    several = by != "strength" and table["strength"].n_unique() >= 2
    written = pl.when(pl.col("strength").is_null() | pl.lit(not several)).then(pl.col("condition")).otherwise(
        pl.format("{}, strength {}", "condition", "strength")
    )  # fmt: skip
    levels = table["chance"].drop_nulls().unique()
    named = table.with_columns(line=written, chance=pl.lit(levels[0] if len(levels) == 1 else None, pl.Float64))
    looks = {
        name: Look(name, SERIES[index % len(SERIES)], _DASHES[index // len(SERIES) % len(_DASHES)])
        for index, name in enumerate(named["line"].unique(maintain_order=True))
    }
    made = lines(
        named.drop_nulls("value"), title, subtitle, unit, x=by, axis=axis or by, by="line", looks=looks,
        limits=(-0.03, 1.05), plot=250, below=19,
    )  # fmt: skip
    # Where all lines have the same control it is drawn once, else beside each in its colour.
    different = named.group_by("control", by).agg(pl.col("control_value").drop_nulls().n_unique())["control_value"]
    if named["control"].n_unique() == 1 and max(different) <= 1:
        _control(made, named, by, f"control: {table['control'][0]}", GREY, shown=True)
    else:
        for name, look in looks.items():
            _control(made, where(named, "line", name), by, f"control of {name}", look.colour, shown=False)
    return made


def _control(made: go.Figure, rows: pl.DataFrame, by: str, name: str, colour: str, shown: bool) -> None:
    """Draw a control, dotted and hollow."""
    values = rows.drop_nulls("control_value").unique(by).sort(by)
    if len(values):
        made.add_scatter(
            x=values[by].to_list(), y=values["control_value"].to_list(), mode="lines+markers", name=name,
            line={"color": colour, "width": 1.5, "dash": "dot"}, marker={"size": 6, "symbol": "circle-open"},
            showlegend=shown, hovertemplate=f"{name}, {by} %{{x}}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip


def in_a_column(table: pl.DataFrame, title: str, subtitle: str, unit: str) -> go.Figure:
    """Draw a row for each condition, its value with interval beside its control (hollow) and its chance (a tick).

    Args:
        table: Rows of an audit with the same unit.
        title: What is shown.
        subtitle: Over which problems.
        unit: Of the x-axis.
    """
    require_rows(table)
    rows = table.drop_nulls("value").reverse()
    told = "; ".join(f"{name} {value:.2f}" for name, value in rows.reverse().select("condition", "value").iter_rows())
    made = figure(
        title, subtitle, f"{title}. {told}.", plot=max(140, 26 * len(rows)),
        xaxis={"title": unit, "range": [-0.03, 1.03]}, yaxis={"type": "category", "showgrid": True},
    )  # fmt: skip
    made.add_scatter(
        x=rows["value"].to_list(), y=rows["condition"].to_list(), mode="markers", name="value",
        marker={"color": SERIES[0], "size": 10}, error_x=interval(rows, SERIES[0]),
        customdata=rows.select("low", "high", "n").rows(), hovertemplate=f"%{{y}}: %{{x:.3f}} [{HOVER}",
    )  # fmt: skip
    for column, name, symbol, size in (
        ("control_value", "control", "circle-open", 9),
        ("chance", "chance", "line-ns-open", 12),
    ):
        part = rows.drop_nulls(column)
        if len(part):
            about = "%{y}, control (%{customdata})" if name == "control" else "%{y}, chance"
            made.add_scatter(
                x=part[column].to_list(), y=part["condition"].to_list(), mode="markers", name=name,
                marker={"color": GREY, "size": size, "symbol": symbol, "line": {"width": 2}},
                customdata=part["control"].to_list() if name == "control" else None,
                hovertemplate=f"{about}: %{{x:.3f}}<extra></extra>",
            )  # fmt: skip
    return fit_legend(made)


# One problem


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
    options = [f"{problem.names[problem.target]}<br>(target)", f"{problem.names[problem.negative]}<br>(negative)"]
    table = table.with_columns(rest=(1 - pl.col("target") - pl.col("negative")).clip(0, 1))
    draws = table.filter(series="control").height
    beside = f"; control: {control}, mean and range of {draws} draws" if draws else ""
    made = figure(
        "The answer after all thoughts", f"Raw probability of each option as the answer, one problem{beside}",
        above=14, barmode="group", bargap=0.22, bargroupgap=0.08,
        xaxis={"title": "raw probability as the answer", "range": [0, 1.02], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        yaxis={"autorange": "reversed", "showgrid": False, "title": ""},
    )  # fmt: skip
    told = []
    for name, (title, colour) in CASES.items():
        part = table.filter(series=name).select("target", "negative", "rest")
        if part.is_empty():
            continue
        mean, above, below = (np.array(each.row(0)) for each in (part.mean(), part.max(), part.min()))
        whisker = {
            "type": "data", "array": (above - mean).tolist(), "arrayminus": (mean - below).tolist(), "color": ORANGE,
            "thickness": 2, "width": 4,
        }  # fmt: skip
        made.add_bar(
            y=[*options, "anything<br>else"], x=mean.tolist(), name=title, orientation="h", marker={"color": colour},
            text=[f"{value:.3f}" for value in mean], textposition="outside", cliponaxis=False,
            textfont={"size": 11}, constraintext="none", error_x=whisker if name == "control" and draws > 1 else None,
            hovertemplate=f"{title}: %{{x:.4f}}<extra></extra>",
        )  # fmt: skip
        told.append(f"{title} {mean[0]:.3f}")
    made.add_vline(x=0.5, line=DASHED)
    write(made, "chance between the two: 0.5", 0.5, 1, 10, yref="paper", yanchor="bottom")
    alt = f"Bars of the probability of the two options as the answer. Target: {', '.join(told)}."
    return fit_legend(made.update_layout(margin={"l": 110, "r": 44}), alt)


def strength_curve_figure(
    table: pl.DataFrame, problem: Problem, *, unit: str, control: str = "", strength: float | None = None
) -> go.Figure:
    """Draw what `workbench.interventions.controls.strength_curve` returns.

    Args:
        table: A row per series, strength and draw.
        problem: What was asked.
        unit: What the strength is a share of, for the axis.
        control: What the control is, in a few words.
        strength: The present strength, to mark.

    Returns:
        Lines for both options, solid under the plan and dotted under the control (mean, and the range of the draws
        as a band).

    Raises:
        WorkbenchError: The table is empty.
    """
    require_rows(table)
    draws = table.filter(series="control")["draw"].n_unique()
    own = table.filter(series="intervened").sort("strength")
    ends = {column: [round(float(value), 3) for value in own[column]] for column in ("target", "negative")}
    beside = f"; dotted: {control}, mean and range of {draws} draws" if draws else ""
    made = figure(
        "The answer against the strength", f"Raw probability of the two options as the answer, one problem{beside}",
        "Lines of the probability of target and negative as the answer against the strength. "
        f"Target: {ends['target']}, negative: {ends['negative']}.",
        above=14, plot=230, xaxis={"title": f"strength: {unit}"}, hovermode="x unified",
        yaxis={"title": "raw probability as the answer", "range": [-0.03, 1.04], "zeroline": False},
    )  # fmt: skip
    roles = (("target", problem.target, GREEN, "diamond"), ("negative", problem.negative, PURPLE, "triangle-down"))
    for column, node, colour, symbol in roles:
        name, about = f"{problem.names[node]} ({column})", pl.col(column)
        if draws:
            part = table.filter(series="control").group_by("strength").agg(
                about.mean().alias("mean"), about.min().alias("low"), about.max().alias("high")
            ).sort("strength")  # fmt: skip
            x = part["strength"].to_list()
            made.add_scatter(
                x=[*x, *x[::-1]], y=[*part["high"].to_list(), *part["low"].to_list()[::-1]], fill="toself",
                mode="lines", fillcolor=alpha(colour, 0.14), line={"width": 0}, hoverinfo="skip", showlegend=False,
                name=f"{name}, range",
            )  # fmt: skip
            made.add_scatter(
                x=x, y=part["mean"].to_list(), mode="lines", name=f"{name}, control",
                line={"color": colour, "width": 2, "dash": "dot"}, hovertemplate="%{y:.3f}",
            )  # fmt: skip
        made.add_scatter(
            x=own["strength"].to_list(), y=own[column].to_list(), mode="lines+markers",
            name=f"{name}, with interventions",
            line={"color": colour, "width": 3}, marker={"symbol": symbol, "size": 8}, hovertemplate="%{y:.3f}",
        )  # fmt: skip
    made.add_hline(y=0.5, line=DASHED)
    write(made, "chance between the two", 1, 0.5, 10, xref="paper", xanchor="right", yanchor="bottom")
    if strength is not None:
        made.add_vline(x=strength, line={"color": GREY, "width": 1})
        write(made, "present strength", strength, 1, 10, yref="paper", yanchor="bottom")
    return fit_legend(made)


def downstream_map(table: pl.DataFrame, *, depth: int | None = None) -> go.Figure:
    """Draw what `workbench.measure.effects.downstream` returns: a row for what is read, a column a number of thoughts.

    Args:
        table: Of one problem and one plan.
        depth: Number of thoughts to mark as the current one.

    Returns:
        A figure whose cells have `customdata[0]` = number of thoughts.

    Raises:
        WorkbenchError: The table is empty.
    """
    require_rows(table)
    rows = table.rows(named=True)
    names, columns = list(READ), list(range(max(row["k"] for row in rows) + 1))
    colour = np.full((len(names), len(columns)), np.nan)
    for row in rows:
        if row["can_change"]:
            colour[names.index(row["what"]), row["k"]] = row["moved"] ** 0.5
    acted = sorted({row["k"] for row in rows if row["intervened"]})
    made = figure(
        "What changed downstream",
        "Share of the probability that went elsewhere (total variation distance, 0 to 1); <b>=</b>: the same to the "
        "last bit<br>Framed: what can have changed. ▼: intervened on",
        f"Map of what the interventions changed, for thoughts and what is said after them. Intervened on: thought "
        f"{', '.join(map(str, acted)) or 'none'}. {sum(row['same'] for row in rows)} of {len(rows)} cells are the same "
        "to the last bit.",
        plot=130, below=18, margin_l=110,
        xaxis={"tickvals": columns, "range": [-0.55, columns[-1] + 0.55], "showgrid": False,
               "title": {"text": "number of thoughts, k", "standoff": 4}},
        yaxis={"tickvals": [0, 1, 2], "ticktext": list(READ.values()), "range": [2.55, -0.75],
               "showgrid": False, "zeroline": False},
    )  # fmt: skip
    made.add_heatmap(
        z=colour, x=columns, y=[0, 1, 2], zmin=0, zmax=1, colorscale=VALUE_SCALE, xgap=3, ygap=3,
        hoverongaps=False, hoverinfo="skip", showscale=True,
        colorbar=root_bar() | {"yref": "container", "yanchor": "bottom", "ypad": 20},
    )  # fmt: skip
    # Outside the affected region the ink of the page; on a coloured cell what reads on its colour.
    for kind, font in enumerate(({"size": 12}, {"size": 12, "color": DARK}, {"size": 12, "color": LIGHT})):
        cells = [row for row in rows if (1 + (row["moved"] > 0.49) if row["can_change"] else 0) == kind]
        made.add_scatter(
            x=[row["k"] for row in cells], y=[names.index(row["what"]) for row in cells], mode="text",
            text=[_share(row) for row in cells], hovertext=[_words(row) for row in cells], hoverinfo="text",
            customdata=[[row["k"]] for row in cells], textfont=font, showlegend=False,
        )  # fmt: skip
    for y, name in enumerate(names):
        inside = sorted(row["k"] for row in rows if row["what"] == name and row["can_change"])
        for _, run in groupby(enumerate(inside), lambda pair: pair[1] - pair[0]):
            ks = [k for _, k in run]
            made.add_shape(
                type="rect", x0=ks[0] - 0.49, x1=ks[-1] + 0.49, y0=y - 0.49, y1=y + 0.49,
                line={"color": BLUE, "width": 2},
            )  # fmt: skip
    for k in acted:
        made.add_annotation(x=k, y=-0.52, yanchor="bottom", text="▼", showarrow=False, font={"color": VERMILION})
    if depth is not None:
        shade(made, depth - 0.5, depth + 0.5, PURPLE, 0.14, HERE)
    return made


def _share(row: dict) -> str:
    return "<b>=</b>" if row["same"] else f"{row['moved']:.2f}" if row["moved"] >= 0.005 else "<.01"


def _words(row: dict) -> str:
    lines_ = [f"<b>{row['what']}, k = {row['k']}</b>"]
    if row["same"]:
        lines_.append("the same to the last bit" if row["can_change"] else "unchanged, to the last bit")
    else:
        lines_.append(f"{row['moved']:.3g} of the probability went elsewhere")
    if row["step"]:
        lines_.append(f"the vector moved by {row['step']:.3g} of its length")
    if not row["can_change"]:
        lines_.append("outside the affected region: no intervention comes before it")
        if not row["same"]:
            lines_.append("rounding alone: sums over another number of columns")
    return "<br>".join(lines_)
