"""Cumulative value of the best candidates against percentile over the problem set."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import colour_of, dash_of, panels, place, runs
from workbench.figures.palette import BLUE, GREEN, VERMILION, require_rows
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import READOUT_TITLES
from workbench.measure.statistics import Estimate, bootstrap_mean

TOP_COLOURS = {1: BLUE, 2: VERMILION, 3: GREEN}
"""Colour of the model's curves; controls have their own colours, the lowest of three curves being the top candidate."""
_COLUMNS = 4
_POINTS = 41
"""Points of a control's curve."""


def parallelism(table: pl.DataFrame, readout: str, *, normalised: bool = False, seed: int = 0) -> go.Figure:
    """Draw for each number of thoughts three sorted curves (Coconut v3, figure 6): the top 1, 2, 3 candidates' value.

    Each curve is sorted by itself. The area between the lowest and the highest is the value that candidates other than
    the best one share; its mean with its interval stands above each panel. Controls are dotted, three curves each.

    Args:
        table: `parallelism_frame`.
        readout: One of `READOUTS`.
        normalised: Whether to draw values normalised over the problem's concepts, not raw ones.
        seed: Seed of the bootstrap.

    Returns:
        A figure whose points of the model have `customdata[0]` = problem id.
    """
    rows = table.filter(pl.col("readout").cast(pl.String) == readout)
    require_rows(rows)
    kind = "_normalised" if normalised else ""
    thoughts = sorted(rows["thought"].unique().to_list())
    own = next(iter(runs(rows).values()))
    gaps = {k: _gap(own.filter(pl.col("thought") == k), kind, seed) for k in thoughts}
    made = panels(
        f"Value of the top 1, 2, 3 candidates · {READOUT_TITLES[readout]}",
        f"{'Normalised over the concepts' if normalised else 'Raw'}; every curve sorted over the problems by itself; "
        "dotted: controls; dashed: chance of 1, 2, 3, uniform over the problem's concepts",
        [f"{_after(k)}<br>top 3 less top 1: {gaps[k]}" for k in thoughts],
        _COLUMNS,
    )
    for index, k in enumerate(thoughts):
        where = place(index, _COLUMNS, len(thoughts))
        for number, (run, part) in enumerate(runs(rows.filter(pl.col("thought") == k)).items()):
            if number == 0:
                _own(made, part, kind, index == 0, where)
            else:
                _control(made, run, number, part, kind, index == 0, where)
    made.update_xaxes(range=[0, 100], tickvals=[0, 50, 100])
    made.update_yaxes(range=[-0.02, 1.04])
    made.update_xaxes(title="percentile of problems", row=-(-len(thoughts) // _COLUMNS))
    made.update_yaxes(title=f"{'normalised' if normalised else 'raw'} value (probability)", col=1)
    told = "; ".join(f"{gaps[k].value:.2f} {_after(k)}" for k in thoughts)
    alt = f"Cumulative value of the best candidates over problems. Top 3 less top 1, mean of the model: {told}."
    return made.update_layout(meta={"alt": alt})


def _after(k: int) -> str:
    return f"after {k} thought{'' if k == 1 else 's'}"


def _gap(rows: pl.DataFrame, kind: str, seed: int) -> Estimate:
    return bootstrap_mean((rows[f"top3{kind}"] - rows[f"top1{kind}"]).drop_nulls().to_numpy(), seed=seed)


def _own(made: go.Figure, rows: pl.DataFrame, kind: str, legend: bool, where: dict[str, int]) -> None:
    for n, colour in TOP_COLOURS.items():
        column = f"top{n}{kind}"
        one = rows.drop_nulls(column).sort(column, "problem")
        made.add_scatter(
            x=_percentiles(len(one)), y=one[column], mode="lines+markers", marker={"size": 3}, name=f"top {n}",
            line={"color": colour, "width": 2}, legendgroup=f"top {n}", showlegend=legend,
            customdata=one.select("problem", "frontier_size", "candidate_mass").rows(),
            hovertemplate=f"top {n}: %{{y:.3f}} at %{{x:.0f}} %, n = {len(one)}<br>problem %{{customdata[0]}}, "
            "%{customdata[1]} candidates of raw mass %{customdata[2]:.3f}<extra></extra>",
            **where,
        )  # fmt: skip
        made.add_scatter(
            x=[0, 100], y=[rows[f"top{n}_chance"].mean()] * 2, mode="lines", name=f"chance, top {n}",
            line={"color": colour, "width": 1.2, "dash": "dash"}, legendgroup="chance", showlegend=legend,
            hovertemplate=f"chance, top {n}: %{{y:.3f}}<extra></extra>", **where,
        )  # fmt: skip


def _control(
    made: go.Figure, run: str, number: int, rows: pl.DataFrame, kind: str, legend: bool, where: dict[str, int]
) -> None:
    at = np.linspace(0, 100, _POINTS)
    for n in TOP_COLOURS:
        values = np.sort(rows[f"top{n}{kind}"].drop_nulls().to_numpy())
        if len(values) == 0:
            continue
        made.add_scatter(
            x=at, y=np.interp(at, _percentiles(len(values)), values), mode="lines", name=run_title(run),
            line={"color": colour_of(run, number), "width": 1.2, "dash": dash_of(run)}, legendgroup=run,
            showlegend=legend and n == 1,
            hovertemplate=f"{run_title(run)}, top {n}: %{{y:.3f}}, n = {len(values)}<extra></extra>", **where,
        )  # fmt: skip


def _percentiles(count: int) -> np.ndarray:
    """Return where so many sorted problems stand on an axis of 0 to 100."""
    return (np.arange(count) + 0.5) / max(count, 1) * 100
