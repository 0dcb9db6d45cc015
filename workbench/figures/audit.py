"""Figures of an audit: conditions beside their controls and chance, over thoughts, over doses, or in a column."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import error_bars, hover_data
from workbench.figures.palette import GREY, LEGEND, SERIES, figure, require_rows
from workbench.measure.statistics import Estimate

_DASHES = ("solid", "dash", "dot")


def over_places(table: pl.DataFrame, title: str, subtitle: str, unit: str, by: str = "thought") -> go.Figure:
    """Draw a line for each condition over thoughts or doses, with intervals; controls dotted and hollow, chance dashed.

    Args:
        table: Rows of an audit with the same unit, their column `by` not null.
        title: What is shown.
        subtitle: Over which problems.
        unit: Of the y-axis.
        by: "thought" or "dose".
    """
    require_rows(table)
    made, told = _empty(title, subtitle), []
    made.update_layout(
        xaxis={"title": by, "tickvals": sorted(table[by].unique().to_list()), "showgrid": False},
        yaxis={"title": unit, "range": [-0.03, 1.05]},
    )
    named = table.with_columns(series=_series(table, by))
    # Where all lines have the same control it is drawn once, else beside each in its colour.
    different = named.group_by("control", by).agg(pl.col("control_value").drop_nulls().n_unique())["control_value"]
    shared = named["control"].n_unique() == 1 and max(different.to_list()) <= 1
    for index, (name,) in enumerate(named.select("series").unique(maintain_order=True).iter_rows()):
        rows = named.filter(pl.col("series") == name, pl.col("value").is_not_null()).sort(by)
        if rows.is_empty():
            continue
        colour, dash = SERIES[index % len(SERIES)], _DASHES[index // len(SERIES) % len(_DASHES)]
        estimates = dict(enumerate(_estimates(rows)))
        made.add_scatter(
            x=rows[by].to_list(), y=rows["value"].to_list(), mode="lines+markers", name=name, legendgroup=name,
            line={"color": colour, "width": 2.2, "dash": dash}, marker={"size": 7},
            error_y=error_bars(estimates) | {"color": colour}, customdata=hover_data(estimates),
            hovertemplate=f"{name}, {by} %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
            "n = %{customdata[2]}<extra></extra>",
        )  # fmt: skip
        values = ", ".join(f"{value:.2f} at {at}" for at, value in rows.select(by, "value").iter_rows())
        told.append(f"{name}: {values}")
        if not shared:
            _control(made, rows, by, f"control of {name}", colour, shown=False)
    if shared:
        _control(made, named, by, f"control: {table['control'][0]}", GREY, shown=True)
    _chance(made, table, sorted(table[by].unique().to_list()))
    return made.update_layout(meta={"alt": f"{title}. {'; '.join(told)}."})


def in_a_column(table: pl.DataFrame, title: str, subtitle: str, unit: str) -> go.Figure:
    """Draw a row for each condition, its value with interval beside its control (hollow) and its chance (a tick).

    Args:
        table: Rows of an audit with the same unit.
        title: What is shown.
        subtitle: Over which problems.
        unit: Of the x-axis.
    """
    require_rows(table)
    rows = table.filter(pl.col("value").is_not_null()).reverse()
    made = _empty(title, subtitle)
    names, estimates = rows["condition"].to_list(), dict(enumerate(_estimates(rows)))
    bars = error_bars(estimates)
    made.add_scatter(
        x=rows["value"].to_list(), y=names, mode="markers", name="value",
        marker={"color": SERIES[0], "size": 10}, error_x=bars | {"color": SERIES[0]}, customdata=hover_data(estimates),
        hovertemplate="%{y}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}], n = %{customdata[2]}"
        "<extra></extra>",
    )  # fmt: skip
    beside = rows.filter(pl.col("control_value").is_not_null())
    if len(beside):
        made.add_scatter(
            x=beside["control_value"].to_list(), y=beside["condition"].to_list(), mode="markers", name="control",
            marker={"color": GREY, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
            customdata=beside["control"].to_list(),
            hovertemplate="%{y}, control (%{customdata}): %{x:.3f}<extra></extra>",
        )  # fmt: skip
    levels = rows.filter(pl.col("chance").is_not_null())
    if len(levels):
        made.add_scatter(
            x=levels["chance"].to_list(), y=levels["condition"].to_list(), mode="markers", name="chance",
            marker={"color": GREY, "size": 12, "symbol": "line-ns-open", "line": {"width": 2}},
            hovertemplate="%{y}, chance: %{x:.3f}<extra></extra>",
        )  # fmt: skip
    made.update_layout(
        height=max(320, 190 + 26 * len(names)), margin={"l": 10, "r": 16, "t": 92, "b": 90},
        xaxis={"title": unit, "range": [-0.03, 1.03]}, yaxis={"type": "category", "showgrid": True},
    )  # fmt: skip
    told = "; ".join(
        f"{name} {e.value:.2f}" for name, e in zip(names[::-1], list(estimates.values())[::-1], strict=True)
    )
    return made.update_layout(meta={"alt": f"{title}. {told}."})


def _series(table: pl.DataFrame, by: str) -> pl.Expr:
    """Name the line of a row: its condition, and its dose where there are several at one thought."""
    if by == "dose" or table["dose"].n_unique() < 2:
        return pl.col("condition")
    dosed = pl.format("{}, dose {}", pl.col("condition"), pl.col("dose"))
    return pl.when(pl.col("dose").is_null()).then(pl.col("condition")).otherwise(dosed)


def _empty(title: str, subtitle: str) -> go.Figure:
    return figure(title, subtitle, "", height=430, margin={"l": 60, "r": 16, "t": 92, "b": 130}, legend=LEGEND)


def _estimates(rows: pl.DataFrame) -> list[Estimate]:
    return [Estimate(*row) for row in rows.select("value", "low", "high", "n").iter_rows()]


def _control(made: go.Figure, rows: pl.DataFrame, by: str, name: str, colour: str, shown: bool) -> None:
    """Draw a control, dotted and hollow."""
    values = rows.filter(pl.col("control_value").is_not_null()).unique(by).sort(by)
    if len(values):
        made.add_scatter(
            x=values[by].to_list(), y=values["control_value"].to_list(), mode="lines+markers", name=name,
            line={"color": colour, "width": 1.5, "dash": "dot"}, marker={"size": 6, "symbol": "circle-open"},
            showlegend=shown, hovertemplate=f"{name}, {by} %{{x}}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip


def _chance(made: go.Figure, table: pl.DataFrame, places: list) -> None:
    levels = table["chance"].drop_nulls().unique().to_list()
    if len(levels) == 1:
        made.add_scatter(
            x=[places[0], places[-1]], y=levels * 2, mode="lines", name="chance", hoverinfo="skip",
            line={"color": GREY, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
