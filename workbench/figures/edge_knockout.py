"""Figures of what a knock-out of attention to edges does to the answer."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import error_bars, hover_data, line, panels, place, runs
from workbench.figures.palette import CLASS_COLOURS, GREY, require_rows
from workbench.measure.run_labels import MODEL, title
from workbench.measure.statistics import Estimate, bootstrap_mean

ARM_COLOURS = {
    "optimal": CLASS_COLOURS["optimal"],
    "other frontier": CLASS_COLOURS["frontier"],
    "elsewhere": CLASS_COLOURS["reachable elsewhere"],
}
"""Colours of edges by what is knocked out: those of the node classes they lead to."""


def knockout_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw the loss of accuracy and of the logit difference by thought, and by whose attention is knocked out.

    Args:
        table: `readings.edge_knockout.frame`.
    """
    return [by_thought(table, "loss"), by_thought(table, "change"), by_scope(table)]


def by_thought(table: pl.DataFrame, column: str = "loss", *, seed: int = 0) -> go.Figure:
    """Draw what is lost without the edges, all heads, by the thought that is made without them; a panel per run.

    Args:
        table: `readings.edge_knockout.frame`.
        column: "loss" (share of the problems answered right before that are not any more) or "change" (logit of target
            less negative, all problems).
        seed: Of the bootstrap.
    """
    require_rows(table)
    rows = _measured(table).filter((pl.col("scope") == "all heads") & ~pl.col("names_target"))
    several = runs(rows)
    words = {"loss": ("Right answers lost", "share of right answers"), "change": ("Logit difference lost", "logits")}
    made = panels(
        f"{words[column][0]} when a thought is made blind to an edge",
        "All heads; as many edges in each arm, those that lead to the target itself left out; 95 % interval; "
        "dashed: no change",
        [title(run) for run in several],
        3,
    )
    told = []
    for index, (run, of_run) in enumerate(several.items()):
        where = place(index, 3, len(several))
        if column == "loss" and not of_run["right_before"].any():
            _nothing(made, where)
        for arm, colour in ARM_COLOURS.items():
            part = of_run.filter(pl.col("arm") == arm)
            estimates = {
                k: _mean(part.filter(pl.col("thought") == k), column, seed) for k in sorted(part["thought"].unique())
            }
            estimates = {k: e for k, e in estimates.items() if e.n}
            dash = "solid" if arm == "optimal" else "dot"
            line(made, estimates, arm, colour, dash, legendgroup=arm, showlegend=index == 0, **where)
            if run == MODEL or index == 0:
                told.append(f"{arm}: " + ", ".join(f"{e.value:.2f} at {k}" for k, e in estimates.items()))
        _zero(made, rows["thought"], index == 0, **where)
    made.update_xaxes(title="thought made without the edge", dtick=1, showgrid=False)
    made.update_yaxes(title=words[column][1], col=1)
    return made.update_layout(meta={"alt": f"{words[column][0]}. {'; '.join(told)}."})


def by_scope(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the loss of right answers by whose attention is knocked out: all heads, the leading one, all others."""
    require_rows(table)
    rows = _measured(table).filter(~pl.col("names_target"))
    head, several = table["head"][0], runs(rows)
    scopes = rows["scope"].unique(maintain_order=True).to_list()
    made = panels(
        f"Whose attention to the edge it is: the leading head is {head}",
        "Share of right answers lost, mean over problems and thoughts (each problem counts once), 95 % interval; "
        "the leading head writes most towards the frontier",
        [title(run) for run in several],
        3,
    )
    told = []
    for index, (run, of_run) in enumerate(several.items()):
        if not of_run["right_before"].any():
            _nothing(made, place(index, 3, len(several)))
        for arm in ("optimal", "other frontier"):
            part = of_run.filter(pl.col("arm") == arm)
            # A problem has several thoughts: its own mean comes first, so that problems are what is resampled.
            per = part.group_by("scope", "problem", maintain_order=True).agg(pl.col("loss").mean())
            numbered = {i: _mean(per.filter(pl.col("scope") == s), "loss", seed) for i, s in enumerate(scopes)}
            made.add_bar(
                x=scopes, y=[e.value for e in numbered.values()], name=arm, legendgroup=arm, showlegend=index == 0,
                marker={"color": ARM_COLOURS[arm]}, error_y=error_bars(numbered), customdata=hover_data(numbered),
                hovertemplate=f"{arm}, %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
                "n = %{customdata[2]}<extra></extra>",
                **place(index, 3, len(several)),
            )  # fmt: skip
            if run == MODEL or index == 0:
                values = zip(scopes, numbered.values(), strict=True)
                told.append(f"{arm}: " + ", ".join(f"{e.value:.2f} for {scope}" for scope, e in values))
    made.update_xaxes(showgrid=False, title="whose attention is knocked out")
    made.update_yaxes(title="share of right answers lost", col=1)
    return made.update_layout(barmode="group", meta={"alt": f"Loss by heads; {head} leads. {'; '.join(told)}."})


def _measured(table: pl.DataFrame) -> pl.DataFrame:
    """Add the loss: 1 where a right answer is no longer right, 0 where it still is, null where it was not."""
    lost = pl.when(pl.col("right_before")).then((~pl.col("right")).cast(pl.Float64))
    return table.with_columns(loss=lost)


def _mean(rows: pl.DataFrame, column: str, seed: int) -> Estimate:
    return bootstrap_mean(rows[column].fill_null(float("nan")).to_numpy(), seed=seed)


def _nothing(made: go.Figure, where: dict[str, int]) -> None:
    """Say why a panel is empty."""
    made.add_annotation(
        text="no right answer to lose", x=0.5, xref="x domain", y=0.5, yref="y domain", showarrow=False,
        font={"color": GREY, "size": 11}, **where,
    )  # fmt: skip


def _zero(made: go.Figure, thoughts: pl.Series, legend: bool, **where: int) -> None:
    made.add_scatter(
        x=[thoughts.min(), thoughts.max()], y=[0, 0], mode="lines", name="no change", hoverinfo="skip",
        legendgroup="none", showlegend=legend, line={"color": GREY, "dash": "dash", "width": 1.5}, **where,
    )  # fmt: skip
