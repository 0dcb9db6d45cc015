"""How much of a thought a sum of one vector per frontier node explains."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import colour_of, dash_of, line
from workbench.figures.palette import GREEN, GREY, LEGEND, ORANGE, figure, require_rows
from workbench.measure.run_labels import MODEL, RUN, title
from workbench.measure.statistics import CONFIDENCE, RESAMPLES, Estimate

_OWN = {"codes": None, "embeddings": ORANGE, "codes, hop before too": GREEN, "codes, other graph": GREY}
"""Colours of the sums for the model's own run; None for the run's colour."""


def shares(table: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return the share of the thoughts' variance that each sum explains, with a bootstrap interval over problems.

    Args:
        table: `readings.codes.frame`.
        seed: Of the resampling.

    Returns:
        One row per (run, sum, thought): value (at most 1; below 0 where worse than the mean thought), low, high, n.
    """
    require_rows(table)
    rng, rows = np.random.default_rng(seed), []
    for key, group in table.group_by(RUN, "sum", "thought", maintain_order=True):
        error, spread = group["error"].to_numpy(), group["spread"].to_numpy()
        drawn = rng.multinomial(len(error), np.full(len(error), 1 / len(error)), RESAMPLES).astype(float)
        ends = np.quantile(1 - drawn @ error / (drawn @ spread), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        value = 1 - float(error.sum() / spread.sum())
        rows.append((*key, value, float(ends[0]), float(ends[1]), len(error)))
    columns = [RUN, "sum", "thought", "value", "low", "high", "n"]
    return pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)


def explained_by_thought(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the share of variance explained by thought: the model's own by each sum, its controls by the codes.

    Args:
        table: `readings.codes.frame`.
        seed: Of the bootstrap.
    """
    found = shares(table, seed)
    made = figure(
        "What a thought is the sum of",
        "Share of the thoughts' variance explained on graphs that nothing was learned on, with its 95 % interval; "
        f"0: the mean thought;<br>codes are learned from the others of these {found['n'].max()} problems: "
        "the fewer, the less they explain",
        "",
        height=420, margin={"l": 60, "r": 16, "t": 92, "b": 120}, legend=LEGEND,
        xaxis={"title": "thought", "tickvals": sorted(found["thought"].unique()), "showgrid": False},
        yaxis={"title": "share of variance explained"},
    )  # fmt: skip
    told = []
    for index, (run, name) in enumerate(found.select(RUN, "sum").unique(maintain_order=True).iter_rows()):
        if run != MODEL and name != "codes":
            continue
        rows = found.filter(pl.col(RUN) == run, pl.col("sum") == name)
        estimates = {k: Estimate(value, low, high, n) for _, _, k, value, low, high, n in rows.iter_rows()}
        label = name if run == MODEL else f"codes, {title(run)}"
        own = _OWN[name] if run == MODEL else None
        dash = "dash" if name == "codes, other graph" else dash_of(run)
        line(made, estimates, label, own or colour_of(run, index), dash)
        if run == MODEL:
            told.append(f"{name}: " + ", ".join(f"{e.value:.2f}" for e in estimates.values()))
    made.add_hline(y=0, line={"color": GREY, "width": 1.5, "dash": "dash"})
    # Far below zero says no more than that it is no prediction.
    lowest = max(-0.5, float(found["low"].min()) - 0.05)  # type: ignore[arg-type]
    made.update_yaxes(range=[min(lowest, -0.05), 1.02])
    return made.update_layout(meta={"alt": f"Share of variance explained by thought. {'; '.join(told)}."})
