"""Which set of nodes a thought resembles: cosines, shares explained, and thought against hop."""

import textwrap
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.class_panels import class_panels
from workbench.figures.palette import VALUE_SCALE, figure, require_rows
from workbench.measure.run_labels import MODEL, RUN, title
from workbench.measure.statistics import bootstrap_mean

SETS = {
    "reached": "reached within k hops",
    "frontier": "frontier at hop k",
    "walk frontier": "frontier, by walks",
    "optimal": "optimal at hop k",
    "target": "target",
    "another frontier": "frontier of another problem",
    "another reached": "reached in another problem",
    "concepts": "all concepts of the problem",
    "vocabulary": "all tokens",
}
"""Sets that a thought is set against, and their names on the screen; k is the number of the thought."""
WRONG = {"hop before": "frontier at hop k - 1", "hop after": "frontier at hop k + 1"}
"""Frontiers of a wrong hop, which a figure shows as sets of their own."""
RIVALS = ("reached", "frontier", "hop before", "hop after", "optimal", "another frontier", "another reached")
"""Sets among which the most similar one is looked for."""


def superposition_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw every figure of the reading."""
    return [set_cosines(table), thought_against_hop(table), set_shares(table), closest_set(table)]


def named_sets(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows about each thought's own hop, and the frontiers a hop before and after it as `WRONG` sets.

    Thoughts beyond the problem's chain are left out: there is nothing left to search.
    """
    ahead = pl.col("hop") - pl.col("hop_read")
    of_hops = pl.col("set").cast(pl.String) == "frontier"
    name = (
        pl.when(of_hops & (ahead == -1)).then(pl.lit("hop before"))
        .when(of_hops & (ahead == 1)).then(pl.lit("hop after"))
        .otherwise(pl.col("set").cast(pl.String))
    )  # fmt: skip
    own = pl.when(of_hops).then(ahead.abs() <= 1).otherwise(True)
    return table.filter(own, pl.col("hop_read") <= pl.col("steps")).with_columns(set=name)


def set_means(table: pl.DataFrame, value: str = "cosine", *, seed: int = 0) -> pl.DataFrame:
    """Return means over problems with intervals, one row per (run, set, thought).

    Args:
        table: Frame of the reading `superposition`.
        value: "cosine", "distance" or "explained".
        seed: Seed of the bootstrap.

    Returns:
        Columns run, set, thought, value, low, high, chance (null where it has none), n.
    """
    require_rows(table)
    level = f"{value}_chance" if f"{value}_chance" in table.columns else None
    found = []
    kept = named_sets(table).filter(pl.col(value).is_not_null())
    for key, rows in kept.group_by(RUN, "set", "thought", maintain_order=True):
        estimate = bootstrap_mean(rows[value].to_numpy(), seed=seed)
        found.append(
            dict(zip((RUN, "set", "thought"), key, strict=True))
            | estimate.as_dict()
            | {"chance": None if level is None else rows[level].mean(), "n": estimate.n}
        )
    return pl.DataFrame(found, infer_schema_length=None)


def set_cosines(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the cosine of thoughts with each set's superposition, the model beside its controls."""
    shown = (*RIVALS, "target")
    return class_panels(
        set_means(table, seed=seed),
        {name: _title(name) for name in shown},
        "Cosine of thought k and (1/√|V|) Σ u over a set V of nodes",
        "1: the thought is the set's superposition; mean over problems with its 95 % interval<br>"
        "problems whose chain is long enough",
        "cosine",
        "as many random concepts of the problem",
        column="set",
    )


def set_shares(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the share of thoughts' squared length in the span of each set's embeddings, controls beside the model."""
    shown = ("optimal", "frontier", "hop before", "hop after", "reached", "another frontier", "concepts", "vocabulary")
    return class_panels(
        set_means(table, "explained", seed=seed),
        {name: _title(name) for name in shown},
        "Share of thought k explained by a set's embeddings",
        "Squared length in the span of the embeddings (least squares), mean over problems with its 95 % interval"
        "<br>what all tokens leave over is no superposition of names",
        "share of squared length",
        "as many random concepts; last two: a random direction",
        column="set",
    )


def thought_against_hop(table: pl.DataFrame) -> go.Figure:
    """Draw the mean cosine of thought k with the frontier at every hop, a matrix for each run.

    A thought that holds its own frontier gives a diagonal.
    """
    kept = table.filter(pl.col("set").cast(pl.String) == "frontier", pl.col("hop_read") <= pl.col("steps"))
    require_rows(kept)
    runs = kept[RUN].unique(maintain_order=True).to_list()
    made = make_subplots(
        1, len(runs), subplot_titles=["<br>".join(textwrap.wrap(title(run), 18)) for run in runs], shared_yaxes=True
    )
    made.update_annotations(font_size=12)
    made.update_layout(
        figure(
            "Cosine of thought k and the frontier at every hop",
            "Mean over problems; hop 0 is the root; a thought that holds its own frontier gives a diagonal",
            "",
            height=400, margin={"l": 64, "r": 16, "t": 122, "b": 56}, title_pad_b=60,
            coloraxis={"colorscale": VALUE_SCALE, "cmin": 0, "colorbar": {"title": "cosine"}},
        ).layout
    )  # fmt: skip
    means = kept.group_by(RUN, "thought", "hop").agg(pl.col("cosine").mean(), n=pl.len())
    hops, thoughts = (sorted(kept[name].unique().to_list()) for name in ("hop", "thought"))
    diagonal = []
    for place, run in enumerate(runs, 1):
        cells, counts = np.full((2, len(thoughts), len(hops)), np.nan)
        for k, hop, value, n in means.filter(pl.col(RUN) == run).select("thought", "hop", "cosine", "n").iter_rows():
            cells[thoughts.index(k), hops.index(hop)] = value
            counts[thoughts.index(k), hops.index(hop)] = n
        made.add_heatmap(
            x=hops, y=thoughts, z=cells, customdata=counts, coloraxis="coloraxis", row=1, col=place,
            text=[["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in cells], texttemplate="%{text}",
            hovertemplate=f"{title(run)}, thought %{{y}}, hop %{{x}}: %{{z:.3f}}, n = %{{customdata}} problems"
            "<extra></extra>",
        )  # fmt: skip
        if run == MODEL or not diagonal:
            diagonal = [f"{cells[i, hops.index(k)]:.2f}" for i, k in enumerate(thoughts) if k in hops]
    made.update_xaxes(title="hop of the frontier", tickvals=hops, showgrid=False)
    made.update_yaxes(tickvals=thoughts, autorange="reversed", showgrid=False)
    made.update_yaxes(title="thought", col=1)
    alt = f"Cosine of each thought with the frontier at every hop. The model on the diagonal: {', '.join(diagonal)}."
    return made.update_layout(meta={"alt": alt})


def closest(table: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Return how often each of the `RIVALS` is the one a thought resembles most.

    Sets with the same nodes are one set: if the frontier is the optimal node alone, the two share the problem equally.

    Args:
        table: Frame of the reading `superposition`.
        seed: Seed of the bootstrap.

    Returns:
        Columns run, set, thought, value (share of problems), low, high, chance (each set of a problem equally
        often), n.
    """
    kept = named_sets(table).filter(pl.col("set").is_in(RIVALS) & pl.col("cosine").is_not_null())
    require_rows(kept)
    keys = (RUN, "problem", "thought")
    # Equal sets have equal cosines, up to rounding.
    first = pl.col("cosine") >= pl.col("cosine").max().over(keys) - 1e-9
    kept = kept.with_columns(first=first.cast(pl.Float64)).with_columns(
        won=pl.col("first") / pl.col("first").sum().over(keys), even=1 / pl.len().over(keys)
    )
    found = []
    for key, rows in kept.group_by(RUN, "thought", maintain_order=True):
        problems = rows["problem"].n_unique()
        for name in RIVALS:
            won = rows.filter(pl.col("set") == name)
            shares = np.zeros(problems)
            shares[: len(won)] = won["won"]  # a problem without such a set is not won by it
            estimate = bootstrap_mean(shares, seed=seed)
            found.append(
                dict(zip((RUN, "thought"), key, strict=True))
                | {"set": name}
                | estimate.as_dict()
                | {"chance": float(won["even"].sum()) / problems, "n": problems}
            )
    return pl.DataFrame(found, infer_schema_length=None)


def closest_set(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw how often each set is the one that a thought resembles most, the model beside its controls."""
    panels: Mapping[str, str] = {name: _title(name) for name in RIVALS}
    return class_panels(
        closest(table, seed=seed),
        panels,
        "The set whose superposition thought k resembles most",
        "Share of problems in which its cosine is the highest, with its 95 % interval; equal sets share a problem<br>"
        "problems whose chain is long enough",
        "share of problems",
        "each set equally often",
        column="set",
    )


def _title(name: str) -> str:
    return WRONG.get(name) or SETS[name]
