"""A statistic by number of thoughts, the model beside its controls, a panel for each readout."""

import textwrap

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError
from workbench.figures.by_thought import colour_of, dash_of, estimates_by, line, panels, runs
from workbench.figures.palette import GREY, require_rows
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import READOUT_TITLES, READOUTS, TITLES


def statistic_by_run(table: pl.DataFrame, name: str, *, seed: int = 0) -> go.Figure:
    """Draw a statistic's mean over problems by number of thoughts: a panel per readout, a line per run, chance dashed.

    Means are over the problems for which the statistic is defined; the hover says how many.

    Args:
        table: `statistics_frame` of many problems with the column run.
        name: One of its statistics.
        seed: Seed of the bootstrap.

    Raises:
        WorkbenchError: There is no such statistic, or no problem.
    """
    if name not in TITLES:
        raise WorkbenchError(
            f'There is no statistic "{name}".', f"The statistics are {', '.join(TITLES)}.", "Choose one of them."
        )
    require_rows(table)
    title, unit, baseline = TITLES[name]
    readouts = [readout for readout in READOUTS if readout in table["readout"].unique().to_list()]
    made = panels(
        f"{title[0].upper()}{title[1:]} by number of thoughts",
        f"Mean over problems with its 95 % interval; dotted: controls; dashed: chance, {baseline}",
        [READOUT_TITLES[readout] for readout in readouts],
        2,
    )
    told = []
    for column, readout in enumerate(readouts, 1):
        of_readout = table.filter(pl.col("readout").cast(pl.String) == readout)
        for index, (run, rows) in enumerate(runs(of_readout).items()):
            estimates = estimates_by(rows, "thought", name, seed)
            line(
                made, estimates, run_title(run), colour_of(run, index), dash_of(run),
                legendgroup=run, showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
            if index == 0:
                said = ", ".join(f"{e.value:.2f} after {k}" for k, e in estimates.items())
                told.append(f"{run_title(run)}, {READOUT_TITLES[readout]}: {said}")
        # Chance is a matter of the problems alone, and the same for every run.
        first = next(iter(runs(of_readout).values())).filter(pl.col(name).is_not_null())
        chance = first.group_by("thought").agg(pl.col(f"{name}_chance").mean()).sort("thought")
        made.add_scatter(
            x=chance["thought"], y=chance[f"{name}_chance"], mode="lines", name="chance", legendgroup="chance",
            showlegend=column == 1, line={"color": GREY, "width": 1.8, "dash": "dash"},
            hovertemplate="chance: %{y:.3f}<extra></extra>", row=1, col=column,
        )  # fmt: skip
        ticks = sorted(of_readout["thought"].unique().to_list())
        made.update_xaxes(
            tickvals=ticks, range=[ticks[0] - 0.5, ticks[-1] + 0.5], title="thoughts", showgrid=False, row=1, col=column
        )
    made.update_yaxes(title="<br>".join(textwrap.wrap(f"{title} ({unit})", 30)), row=1, col=1)
    if unit in ("probability", "share"):
        made.update_yaxes(range=[-0.02, 1.04])
    return made.update_layout(meta={"alt": f"{title} by number of thoughts. {'; '.join(told)}."})
