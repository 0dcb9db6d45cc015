"""Figures over many problems, each with intervals and chance."""

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError
from workbench.figures.by_thought import (
    colour_of,
    dash_of,
    error_bars,
    estimates_by,
    hover_data,
    line,
    over_thoughts,
    panels,
    place,
    runs,
)
from workbench.figures.palette import (
    BLUE,
    GREEN,
    GREY,
    LEGEND,
    ORANGE,
    PURPLE,
    READOUT_COLOURS,
    SKY,
    VERMILION,
    figure,
    require_rows,
)
from workbench.measure.behaviour import Behaviour
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import READOUT_TITLES, TITLES

BEHAVIOUR_COLOURS = dict(
    zip(Behaviour, (GREEN, SKY, VERMILION, PURPLE, BLUE, ORANGE, GREY), strict=True)
)  # in the order of the categories
_COLUMNS = 3
"""Panels in a row."""


def mass_by_thought(statistics: pl.DataFrame, name: str = "candidate_mass", *, seed: int = 0) -> go.Figure:
    """Draw a statistic's mean over problems per number of thoughts, a line per readout, chance dashed.

    Means are over the problems for which the statistic is defined; the hover says how many.

    Args:
        statistics: `statistics_frame` of many problems.
        name: One of its statistics.
        seed: Seed of the bootstrap.

    Raises:
        WorkbenchError: There is no such statistic, or no problem.
    """
    if name not in TITLES:
        raise WorkbenchError(
            f'There is no statistic "{name}".', f"The statistics are {', '.join(TITLES)}.", "Choose one of them."
        )
    require_rows(statistics)
    title, unit, baseline = TITLES[name]
    made = over_thoughts(
        f"{title[0].upper()}{title[1:]} by number of thoughts",
        f"Mean over problems with its 95 % interval; dashed: chance, {baseline}",
        f"{title} ({unit})",
        statistics["thought"],
    )
    told = []
    for readout in statistics["readout"].unique(maintain_order=True).to_list():
        rows = statistics.filter(pl.col("readout") == readout)
        label, colour = READOUT_TITLES[readout], READOUT_COLOURS[readout]
        estimates = estimates_by(rows, "thought", name, seed)
        line(made, estimates, label, colour)
        chance = (
            rows.filter(pl.col(name).is_not_null())
            .group_by("thought")
            .agg(pl.col(f"{name}_chance").mean())
            .sort("thought")
        )
        made.add_scatter(
            x=chance["thought"], y=chance[f"{name}_chance"], mode="lines", name=f"chance, {label}", hoverinfo="skip",
            line={"color": colour, "width": 1.5, "dash": "dash"}, opacity=0.75,
        )  # fmt: skip
        told.append(f"{label}: " + ", ".join(f"{e.value:.2f} after {k}" for k, e in estimates.items()))
    if unit in ("probability", "share"):
        made.update_yaxes(range=[-0.02, 1.02])
    return made.update_layout(meta={"alt": f"{title} by number of thoughts. {'; '.join(told)}."})


def accuracy_by_hop(results: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw accuracy by hops from root to target.

    Args:
        results: One row per problem; columns steps (int), correct (bool), optionally a string column `run`, one set
            of bars for each.
        seed: Seed of the bootstrap.
    """
    require_rows(results)
    steps = sorted(results["steps"].unique().to_list())
    counts = dict(results.group_by("steps").agg(pl.len() / len(runs(results))).iter_rows())
    made = figure(
        "Accuracy by hops to the target",
        "Share of problems answered exactly right, with its 95 % interval; dashed: a coin between the two options",
        "",
        height=360, barmode="group", bargap=0.35, margin={"l": 60, "r": 16, "t": 92, "b": 96}, legend=LEGEND,
        xaxis={
            "tickvals": steps, "ticktext": [f"{s} hop{'' if s == 1 else 's'}<br>n = {counts[s]:.0f}" for s in steps],
            "showgrid": False,
        },
        yaxis={"title": "accuracy", "range": [0, 1.04]},
    )  # fmt: skip
    told = []
    for index, (run, rows) in enumerate(runs(results).items()):
        estimates = estimates_by(rows, "steps", "correct", seed)
        values = [e.value for e in estimates.values()]
        made.add_bar(
            x=list(estimates), y=values, name=run_title(run), marker={"color": colour_of(run, index)},
            error_y=error_bars(estimates), customdata=hover_data(estimates),
            hovertemplate=f"{run_title(run)}, %{{x}} hops: %{{y:.3f}} "
            "[%{customdata[0]:.3f}, %{customdata[1]:.3f}], n = %{customdata[2]}<extra></extra>",
        )  # fmt: skip
        told.append(f"{run_title(run)}: " + ", ".join(f"{e.value:.2f} at {s}" for s, e in estimates.items()))
    _coin(made, steps[0] - 0.5, steps[-1] + 0.5)
    return made.update_layout(meta={"alt": f"Accuracy by hops to the target. {'; '.join(told)}."})


def accuracy_by_thoughts(results: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw accuracy by number of thoughts.

    Args:
        results: One row per (problem, thought); columns thought (int), correct (bool), optionally valid (bool, share
            drawn beside) and run (string, one line for each).
        seed: Seed of the bootstrap.
    """
    require_rows(results)
    # Where controls are dotted, the share of valid answers has to look otherwise.
    valid_dash = "dashdot" if any(dash_of(run) == "dot" for run in runs(results)) else "dot"
    marks = {"dot": "dotted", "dashdot": "dash and dot"}
    made = over_thoughts(
        "Accuracy by number of thoughts",
        f"Share answered exactly right, with its 95 % interval; {marks[valid_dash]}: answers of a valid form; "
        "dashed: a coin",
        "accuracy",
        results["thought"],
    )
    told = []
    for index, (run, rows) in enumerate(runs(results).items()):
        colour, name = colour_of(run, index), run_title(run)
        estimates = estimates_by(rows, "thought", "correct", seed)
        line(made, estimates, name, colour, dash_of(run))
        if "valid" in results.columns:
            valid = rows.group_by("thought").agg(pl.col("valid").cast(pl.Float64).mean()).sort("thought")
            made.add_scatter(
                x=valid["thought"], y=valid["valid"], mode="lines", opacity=0.8,
                name="valid form" if run == "accuracy" else f"valid form, {name}", showlegend=dash_of(run) == "solid",
                line={"color": colour, "width": 1.5, "dash": valid_dash},
                hovertemplate=f"valid form, {name}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
        told.append(f"{name}: " + ", ".join(f"{e.value:.2f} after {k}" for k, e in estimates.items()))
    first, last = results["thought"].min(), results["thought"].max()
    _coin(made, first - 0.3, last + 0.3)  # type: ignore[operator]
    made.update_yaxes(range=[0, 1.04])
    return made.update_layout(meta={"alt": f"Accuracy by number of thoughts. {'; '.join(told)}."})


def behaviour_shares(results: pl.DataFrame) -> go.Figure:
    """Draw the share of each behaviour category after k thoughts as stacked bars (Coconut v3, figure 3).

    Args:
        results: One row per (problem, thought); columns thought (int), behaviour (a value of `Behaviour`), optionally
            run (string, a panel for each).

    Raises:
        WorkbenchError: There is no row, or what the model goes on to say was not recorded.
    """
    require_rows(results)
    if results["behaviour"].null_count():
        raise WorkbenchError(
            "There are no behaviour categories to draw.",
            "What the model goes on to say after its thoughts was not recorded.",
            "Record with continuations=True; accuracy alone needs none.",
        )
    thoughts = sorted(results["thought"].unique().to_list())
    by_run = runs(results)
    total = max(rows.group_by("thought").agg(pl.len())["len"].max() for rows in by_run.values())  # type: ignore[type-var]
    title = "What the model goes on to say after k thoughts"
    subtitle = f"Share of problems in each category; n = {total} for each number of thoughts"
    if len(by_run) == 1:
        made = over_thoughts(title, subtitle, "share of problems", results["thought"])
    else:
        made = panels(title, subtitle, [run_title(run) for run in by_run], _COLUMNS)
        made.update_xaxes(tickvals=thoughts, range=[thoughts[0] - 0.5, thoughts[-1] + 0.5], title="thoughts")
        made.update_yaxes(title="share of problems", col=1)
    told = []
    for index, (run, rows) in enumerate(by_run.items()):
        shares = _shares(rows, thoughts)
        path = ", ".join(f"{s:.2f} after {k}" for k, s in zip(thoughts, shares[Behaviour.CORRECT_PATH], strict=True))
        told.append(path if len(by_run) == 1 else f"{run_title(run)} {path}")
        for behaviour, values in shares.items():
            made.add_bar(
                x=thoughts, y=values, name=behaviour.value, marker={"color": BEHAVIOUR_COLOURS[behaviour]},
                text=[f"{v:.2f}".removeprefix("0") if v >= 0.06 else "" for v in values], textposition="inside",
                insidetextanchor="middle", textangle=0, legendgroup=behaviour.value, showlegend=index == 0,
                hovertemplate=f"{behaviour.value}: %{{y:.3f}} after %{{x}}<extra></extra>",
                **(place(index, _COLUMNS, len(by_run)) if len(by_run) > 1 else {}),
            )  # fmt: skip
    made.update_yaxes(range=[0, 1])
    made.update_layout(
        barmode="stack", bargap=0.3, uniformtext={"minsize": 10 if len(by_run) == 1 else 8, "mode": "hide"},
        margin={"b": 116},
        meta={"alt": f"Behaviour categories by number of thoughts. Correct Path: {'; '.join(told)}."},
    )  # fmt: skip
    return made.update_layout(height=400) if len(by_run) == 1 else made


def _shares(rows: pl.DataFrame, thoughts: list[int]) -> dict[Behaviour, list[float]]:
    total = dict(rows.group_by("thought").agg(pl.len()).iter_rows())
    by = rows.group_by("thought", pl.col("behaviour").cast(pl.String)).agg(pl.len())
    counted = {(k, b): n for k, b, n in by.iter_rows()}
    return {b: [counted.get((k, b.value), 0) / total.get(k, 1) for k in thoughts] for b in Behaviour}


def _coin(made: go.Figure, start: float, end: float) -> None:
    made.add_scatter(
        x=[start, end], y=[0.5, 0.5], mode="lines", name="chance", hoverinfo="skip",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
