"""Figures of how values and ranks are distributed over many problems."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import CLASS_COLOURS, GREY, LEGEND, ORANGE, YELLOW, figure, require_rows
from workbench.figures.strip import CLASS_TITLES
from workbench.measure.scores import READOUT_TITLES
from workbench.problems.graph import NODE_CLASSES

RANKS = ("1", "2", "3", "4-5", "6-10", "beyond 10")
_RANK_ENDS = (1, 2, 3, 5, 10)
_RANK_COLOURS = ("#007A5A", "#35B890", "#93D9C3", YELLOW, ORANGE, GREY)


def value_histogram(scores: pl.DataFrame, thought: int, readout: str = "lm_head") -> go.Figure:
    """Draw the distribution of values by node class at one thought.

    Args:
        scores: `scores_frame` of many problems.
        thought: Number of thoughts.
        readout: One of `READOUTS`.
    """
    rows = scores.filter(
        (pl.col("thought") == thought) & (pl.col("readout") == readout) & pl.col("value").is_not_null()
    )
    require_rows(rows)
    chance = float(rows["chance"].mean())  # type: ignore[arg-type]
    bins = np.linspace(0, 1, 21)
    means = rows.group_by("class").agg(pl.col("value").mean())
    told = ", ".join(f"{c} {v:.3f}" for c, v in sorted(means.iter_rows()))
    made = figure(
        f"Values by node class after {thought} thought{'' if thought == 1 else 's'} · {READOUT_TITLES[readout]}",
        f"Share of the nodes of each class, log scale; value: share of the mass on the concepts; chance {chance:.3f}",
        f"Histogram of values by node class. Means: {told}.",
        height=360, barmode="group", bargap=0.12, margin={"l": 60, "r": 16, "t": 92, "b": 104}, legend=LEGEND,
        xaxis={"title": "value", "range": [0, 1], "showgrid": False},
        yaxis={"title": "share of the class", "type": "log", "range": [-3.3, 0.05], "tickvals": [1e-3, 1e-2, 0.1, 1]},
    )  # fmt: skip
    for name in NODE_CLASSES:
        values = rows.filter(pl.col("class").cast(pl.String) == name)["value"].to_numpy()
        if len(values) == 0:
            continue
        counts = np.histogram(values, bins)[0]
        made.add_bar(
            x=(bins[:-1] + bins[1:]) / 2, y=counts / len(values), customdata=counts,
            marker={"color": CLASS_COLOURS[name]},
            name=f"{CLASS_TITLES[name]} (n = {len(values)}, mean {values.mean():.3f})",
            hovertemplate="value %{x:.3f} ± .025: %{y:.3f} of the class, %{customdata} nodes<extra></extra>",
        )  # fmt: skip
    return made.add_vline(x=chance, line={"color": GREY, "dash": "dash", "width": 1.5})


def path_ranks(statistics: pl.DataFrame, readout: str = "lm_head") -> go.Figure:
    """Draw how often the best on-path node of the frontier has rank 1, 2, 3, ... at each thought, and its chance rank.

    Args:
        statistics: `statistics_frame` of many problems.
        readout: One of `READOUTS`.
    """
    rows = statistics.filter((pl.col("readout") == readout) & pl.col("path_rank").is_not_null())
    require_rows(rows)
    thoughts = sorted(rows["thought"].unique().to_list())
    by_thought = {k: rows.filter(pl.col("thought") == k) for k in thoughts}
    ticks = [
        f"{k} thought{'' if k == 1 else 's'}<br>n = {len(part)}<br>chance rank {part['path_rank_chance'].mean():.1f}"
        for k, part in by_thought.items()
    ]
    groups = {k: np.searchsorted(_RANK_ENDS, part["path_rank"].to_numpy()) for k, part in by_thought.items()}
    first = ", ".join(f"{np.mean(g == 0):.2f} after {k}" for k, g in groups.items())
    made = figure(
        f"Rank of the best on-path node at the hop read · {READOUT_TITLES[readout]}",
        "Among all concepts of the problem; chance rank: its mean in a random order",
        f"Share of problems by rank of the best on-path node. Rank 1: {first}.",
        height=400, barmode="stack", bargap=0.3, margin={"l": 60, "r": 16, "t": 92, "b": 116}, legend=LEGEND,
        xaxis={"tickvals": thoughts, "ticktext": ticks, "showgrid": False},
        yaxis={"title": "share of problems", "range": [0, 1]},
    )  # fmt: skip
    for index, (rank, colour) in enumerate(zip(RANKS, _RANK_COLOURS, strict=True)):
        shares = [float(np.mean(g == index)) for g in groups.values()]
        made.add_bar(
            x=thoughts, y=shares, name=f"rank {rank}" if index < len(_RANK_ENDS) else rank, marker={"color": colour},
            hovertemplate=f"rank {rank}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    return made
