"""Value against height of candidates, by both heights; intervals resample problems and not nodes."""

from collections.abc import Callable

import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import colour_of, dash_of, line, panels, place, runs
from workbench.figures.palette import GREY, require_rows
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import READOUT_TITLES, READOUTS
from workbench.measure.statistics import Estimate, auroc, resample, spearman

HEIGHTS = {
    "height_longest": "longest distance to a leaf",
    "height_shortest": "shortest distance to a leaf",
}
"""The two heights in use: figure 5 of Coconut v3 has the first, its section 4.4 the second."""

_COLUMNS = 4
_FEWEST = 10
"""Nodes (of each kind, for a separation) that a number needs at least: below that its interval says nothing."""


def value_by_height(table: pl.DataFrame, readout: str, height: str, *, seed: int = 0) -> go.Figure:
    """Draw the mean raw value of candidates by height: those that reach the target, and those that do not.

    Args:
        table: `height_frame`.
        readout: One of `READOUTS`.
        height: One of `HEIGHTS`.
        seed: Seed of the bootstrap over problems.
    """

    def add(made: go.Figure, rows: pl.DataFrame, run: str, index: int, where: dict[str, int], legend: bool) -> None:
        for reaches, what in ((True, "reaches the target"), (False, "does not")):
            part = rows.filter(pl.col("reaches_target") == reaches)
            found = _by_height(part, height, lambda one: resample(one["raw"], clusters=one["problem"], seed=seed))
            line(
                made, found, f"{run_title(run)}, {what}", colour_of(run, index), dash_of(run), legendgroup=run + what,
                showlegend=legend, opacity=1.0 if reaches else 0.6, marker_size=7,
                marker_symbol="circle" if reaches else "x-thin-open", **where,
            )  # fmt: skip

    made = _over_heights(
        table, readout, height, "Value by height of candidates", "mean raw value (probability)",
        "Nodes at the hop read; points: those that reach the target, crosses: those that do not;<br>"
        "95 % intervals over problems; dotted: controls; dashed: chance, uniform over the problem's concepts",
        lambda rows: float(rows["chance"].mean()), add,  # type: ignore[arg-type]
    )  # fmt: skip
    return made.update_yaxes(rangemode="tozero")


def separation_by_height(table: pl.DataFrame, readout: str, height: str, *, seed: int = 0) -> go.Figure:
    """Draw by height how well the raw value tells candidates that reach the target from those that do not.

    Area under the ROC curve over all candidates of that height; heights with fewer than ten of either kind are left
    out.

    Args:
        table: `height_frame`.
        readout: One of `READOUTS`.
        height: One of `HEIGHTS`.
        seed: Seed of the bootstrap over problems.
    """

    def of(one: pl.DataFrame) -> Estimate:
        few = min(one["reaches_target"].sum(), (~one["reaches_target"]).sum()) < _FEWEST
        nothing = Estimate(float("nan"), float("nan"), float("nan"), 0)
        return (
            nothing
            if few
            else resample(one["raw"], one["reaches_target"], statistic=auroc, clusters=one["problem"], seed=seed)
        )

    def add(made: go.Figure, rows: pl.DataFrame, run: str, index: int, where: dict[str, int], legend: bool) -> None:
        found = _by_height(rows, height, of)
        if index == 0 and not found:
            made.add_annotation(
                text=f"fewer than {_FEWEST}<br>of either kind", x=0.5, xref="x domain", y=0.25, yref="y domain",
                showarrow=False, font={"color": GREY, "size": 11}, **where,
            )  # fmt: skip
        line(
            made, found, run_title(run), colour_of(run, index), dash_of(run), legendgroup=run, showlegend=legend,
            **where,
        )  # fmt: skip

    made = _over_heights(
        table, readout, height, "Separation by height of candidates", "area under the ROC curve",
        "How often a candidate that reaches the target has a larger value than one that does not; "
        "<br>95 % intervals over problems; dotted: controls; dashed: chance, 0.5",
        lambda _: 0.5, add,
    )  # fmt: skip
    return made.update_yaxes(range=[0, 1.04])


def correlations(table: pl.DataFrame, *, apart: bool = True, seed: int = 0) -> pl.DataFrame:
    """Return Spearman's correlation of height and raw value over candidates, with intervals over problems.

    Args:
        table: `height_frame`.
        apart: Whether to correlate the candidates that reach the target, and those that do not, by themselves too.
        seed: Seed of the bootstrap over problems.

    Returns:
        Columns run, readout, thought, height (one of `HEIGHTS`), reaches_target (correlation over the candidates that
        do, that do not, null for all), correlation, low, high, n (nodes), problems.
    """
    rows = []
    keys = [str(name) for name in ("run", "readout", "thought")]
    for (run, readout, thought), part in table.group_by(keys, maintain_order=True):
        for reaches in (None, True, False) if apart else (None,):
            one = part if reaches is None else part.filter(pl.col("reaches_target") == reaches)
            for height in HEIGHTS:
                found = resample(one[height], one["raw"], statistic=spearman, clusters=one["problem"], seed=seed)
                numbers = (found.value, found.low, found.high, found.n, one["problem"].n_unique())
                rows.append((run, readout, thought, height, reaches, *numbers))
    columns = ("run", "readout", "thought", "height", "reaches_target", "correlation", "low", "high", "n", "problems")
    types = (pl.String, pl.String, pl.Int16, pl.String, pl.Boolean, *[pl.Float64] * 3, pl.Int64, pl.Int64)
    made = pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row")
    return made.with_columns(pl.selectors.float().fill_nan(None))


def correlation_by_thought(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw Spearman's correlation of height and raw value by number of thoughts: a panel for each readout and height.

    Numbers of thoughts with fewer than ten candidates in all are left out.

    Args:
        table: `height_frame`.
        seed: Seed of the bootstrap over problems.
    """
    require_rows(table)
    found = correlations(table, apart=False, seed=seed).drop_nulls("correlation").filter(pl.col("n") >= _FEWEST)
    shown = [(readout, height) for readout in READOUTS for height in HEIGHTS]
    made = panels(
        "Rank correlation of height and value",
        "Spearman, over candidates (nodes at the hop read, ten at least), raw value; 95 % intervals over problems; "
        "dotted: controls; dashed: chance, 0",
        [f"{READOUT_TITLES[readout]}, {HEIGHTS[height]}" for readout, height in shown],
        2,
    )
    told = []
    for index, (readout, height) in enumerate(shown):
        where, part = place(index, 2, len(shown)), found.filter(readout=readout, height=height)
        for number, (run, rows) in enumerate(runs(part).items()):
            estimates = {r["thought"]: _estimate(r) for r in rows.sort("thought").iter_rows(named=True)}
            line(
                made, estimates, run_title(run), colour_of(run, number), dash_of(run), legendgroup=run,
                showlegend=index == 0, **where,
            )  # fmt: skip
            if number == 0:
                said = ", ".join(f"{e.value:.2f} after {k}" for k, e in estimates.items())
                told.append(f"{READOUT_TITLES[readout]}, {HEIGHTS[height]}: {said}")
        ticks = sorted(table["thought"].unique().to_list())
        _level(made, 0.0, ticks[0] - 0.4, ticks[-1] + 0.4, index == 0, where)
        made.update_xaxes(tickvals=ticks, title="thoughts", row=where["row"], col=where["col"])
    made.update_yaxes(range=[-1.04, 1.04])
    made.update_yaxes(title="Spearman correlation", col=1)
    return made.update_layout(meta={"alt": f"Rank correlation of height and value by thought. {'; '.join(told)}."})


def _estimate(row: dict) -> Estimate:
    """Return a row's numbers; ends that the table leaves open (one problem, say) are nan, as everywhere in figures."""
    low, high = (float("nan") if row[end] is None else row[end] for end in ("low", "high"))
    return Estimate(row["correlation"], low, high, row["n"], "cluster bootstrap")


def _by_height(rows: pl.DataFrame, height: str, of: Callable[[pl.DataFrame], Estimate]) -> dict[int, Estimate]:
    found = {h: of(rows.filter(pl.col(height) == h)) for h in sorted(rows[height].unique().to_list())}
    return {h: estimate for h, estimate in found.items() if estimate.value == estimate.value}


def _over_heights(
    table: pl.DataFrame,
    readout: str,
    height: str,
    title: str,
    unit: str,
    subtitle: str,
    chance: Callable[[pl.DataFrame], float],
    add: Callable[[go.Figure, pl.DataFrame, str, int, dict[str, int], bool], None],
) -> go.Figure:
    """Return a panel per number of thoughts with a line or two for each run, and chance."""
    rows = table.filter(pl.col("readout").cast(pl.String) == readout)
    require_rows(rows)
    thoughts, ticks = sorted(rows["thought"].unique().to_list()), sorted(rows[height].unique().to_list())
    made = panels(
        f"{title} · {READOUT_TITLES[readout]} · {HEIGHTS[height]}", subtitle,
        [f"after {k} thought{'' if k == 1 else 's'}" for k in thoughts], _COLUMNS,
    )  # fmt: skip
    for index, k in enumerate(thoughts):
        part, where = rows.filter(pl.col("thought") == k), place(index, _COLUMNS, len(thoughts))
        for number, (run, one) in enumerate(runs(part).items()):
            add(made, one, run, number, where, index == 0)
        _level(made, chance(part), ticks[0] - 0.4, ticks[-1] + 0.4, index == 0, where)
    made.update_xaxes(tickvals=ticks, range=[ticks[0] - 0.5, ticks[-1] + 0.5])
    made.update_xaxes(title="height (edges)", row=-(-len(thoughts) // _COLUMNS))
    made.update_yaxes(title=unit, col=1)
    told = f"{title}, {READOUT_TITLES[readout]}, {HEIGHTS[height]}, after {thoughts[0]} to {thoughts[-1]} thoughts"
    return made.update_layout(meta={"alt": f"{told}: a panel each, the model beside its controls and chance."})


def _level(made: go.Figure, value: float, start: float, end: float, legend: bool, where: dict[str, int]) -> None:
    made.add_scatter(
        x=[start, end], y=[value, value], mode="lines", name="chance", legendgroup="chance", showlegend=legend,
        line={"color": GREY, "width": 1.5, "dash": "dash"}, hovertemplate="chance: %{y:.3f}<extra></extra>", **where,
    )  # fmt: skip
