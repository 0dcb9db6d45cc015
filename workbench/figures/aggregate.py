"""Figures over many problems, each with intervals and chance."""

import plotly.graph_objects as go
import polars as pl

from workbench.behaviour import Behaviour
from workbench.errors import WorkbenchError
from workbench.figures.palette import (
    BLUE,
    GREEN,
    GREY,
    LEGEND,
    ORANGE,
    PURPLE,
    READOUT_COLOURS,
    SERIES,
    SKY,
    VERMILION,
    figure,
    require_rows,
)
from workbench.score_statistics import TITLES
from workbench.scores import READOUT_TITLES
from workbench.statistics import Estimate, bootstrap_mean

BEHAVIOUR_COLOURS = dict(
    zip(Behaviour, (GREEN, SKY, VERMILION, PURPLE, BLUE, ORANGE, GREY), strict=True)
)  # in the order of the categories


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
    made = _over_thoughts(
        f"{title[0].upper()}{title[1:]} by number of thoughts",
        f"Mean over problems with its 95 % interval; dashed: chance, {baseline}",
        f"{title} ({unit})",
        statistics["thought"],
    )
    told = []
    for readout in statistics["readout"].unique(maintain_order=True).to_list():
        rows = statistics.filter(pl.col("readout") == readout)
        label, colour = READOUT_TITLES[readout], READOUT_COLOURS[readout]
        estimates = _estimates(rows, "thought", name, seed)
        _line(made, estimates, label, colour)
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
    counts = dict(results.group_by("steps").agg(pl.len() / len(_runs(results))).iter_rows())
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
    for index, (run, rows) in enumerate(_runs(results).items()):
        estimates = _estimates(rows, "steps", "correct", seed)
        values = [e.value for e in estimates.values()]
        made.add_bar(
            x=list(estimates), y=values, name=run, marker={"color": SERIES[index % len(SERIES)]},
            error_y=_error_bars(estimates), customdata=_hover_data(estimates),
            hovertemplate=f"{run}, %{{x}} hops: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
            "n = %{customdata[2]}<extra></extra>",
        )  # fmt: skip
        told.append(f"{run}: " + ", ".join(f"{e.value:.2f} at {s}" for s, e in estimates.items()))
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
    made = _over_thoughts(
        "Accuracy by number of thoughts",
        "Share answered exactly right, with its 95 % interval; dotted: answers of a valid form; dashed: a coin",
        "accuracy",
        results["thought"],
    )
    told = []
    for index, (run, rows) in enumerate(_runs(results).items()):
        colour = SERIES[index % len(SERIES)]
        estimates = _estimates(rows, "thought", "correct", seed)
        _line(made, estimates, run, colour)
        if "valid" in results.columns:
            valid = rows.group_by("thought").agg(pl.col("valid").cast(pl.Float64).mean()).sort("thought")
            made.add_scatter(
                x=valid["thought"], y=valid["valid"], mode="lines", opacity=0.8,
                name="valid form" if run == "accuracy" else f"valid form, {run}",
                line={"color": colour, "width": 1.5, "dash": "dot"},
                hovertemplate="valid form: %{y:.3f}<extra></extra>",
            )  # fmt: skip
        told.append(f"{run}: " + ", ".join(f"{e.value:.2f} after {k}" for k, e in estimates.items()))
    first, last = results["thought"].min(), results["thought"].max()
    _coin(made, first - 0.3, last + 0.3)  # type: ignore[operator]
    made.update_yaxes(range=[0, 1.04])
    return made.update_layout(meta={"alt": f"Accuracy by number of thoughts. {'; '.join(told)}."})


def behaviour_shares(results: pl.DataFrame) -> go.Figure:
    """Draw the share of each behaviour category after k thoughts as stacked bars (Coconut v3, figure 3).

    Args:
        results: One row per (problem, thought); columns thought (int), behaviour (a value of `Behaviour`).
    """
    require_rows(results)
    thoughts = sorted(results["thought"].unique().to_list())
    total = dict(results.group_by("thought").agg(pl.len()).iter_rows())
    counted = {
        (k, b): n
        for k, b, n in results.group_by("thought", pl.col("behaviour").cast(pl.String)).agg(pl.len()).iter_rows()
    }
    shares = {b: [counted.get((k, b.value), 0) / total[k] for k in thoughts] for b in Behaviour}
    path = ", ".join(f"{s:.2f} after {k}" for k, s in zip(thoughts, shares[Behaviour.CORRECT_PATH], strict=True))
    made = _over_thoughts(
        "What the model goes on to say after k thoughts",
        f"Share of problems in each category; n = {max(total.values())} for each number of thoughts",
        "share of problems",
        results["thought"],
    )
    made.update_layout(
        barmode="stack", bargap=0.3, uniformtext={"minsize": 10, "mode": "hide"}, yaxis={"range": [0, 1]},
        height=400, margin={"b": 116},
        meta={"alt": f"Behaviour categories by number of thoughts. Correct Path: {path}."},
    )  # fmt: skip
    for behaviour, values in shares.items():
        made.add_bar(
            x=thoughts, y=values, name=behaviour.value, marker={"color": BEHAVIOUR_COLOURS[behaviour]},
            text=[f"{v:.2f}".removeprefix("0") if v >= 0.06 else "" for v in values], textposition="inside",
            insidetextanchor="middle", textangle=0,
            hovertemplate=f"{behaviour.value}: %{{y:.3f}} after %{{x}}<extra></extra>",
        )  # fmt: skip
    return made


def _runs(results: pl.DataFrame) -> dict[str, pl.DataFrame]:
    if "run" not in results.columns:
        return {"accuracy": results}
    return {run: results.filter(pl.col("run") == run) for run in results["run"].unique(maintain_order=True)}


def _over_thoughts(title: str, subtitle: str, unit: str, thoughts: pl.Series) -> go.Figure:
    ticks = sorted(thoughts.unique().to_list())
    return figure(
        title, subtitle, "",
        height=360, margin={"l": 60, "r": 16, "t": 92, "b": 96}, legend=LEGEND,
        xaxis={"title": "thoughts", "tickvals": ticks, "range": [ticks[0] - 0.5, ticks[-1] + 0.5], "showgrid": False},
        yaxis={"title": unit},
    )  # fmt: skip


def _estimates(rows: pl.DataFrame, by: str, column: str, seed: int) -> dict[int, Estimate]:
    """Return an estimate of the column's mean for each value of another column, in order."""
    keys = sorted(rows[by].unique().to_list())
    found = {
        k: bootstrap_mean(
            rows.filter(pl.col(by) == k)[column].cast(pl.Float64).fill_null(float("nan")).to_numpy(), seed=seed
        )
        for k in keys
    }
    return {k: estimate for k, estimate in found.items() if estimate.n}


def _error_bars(estimates: dict[int, Estimate]) -> dict:
    return {
        "type": "data", "symmetric": False, "color": GREY, "thickness": 1.5, "width": 4,
        "array": [e.high - e.value for e in estimates.values()],
        "arrayminus": [e.value - e.low for e in estimates.values()],
    }  # fmt: skip


def _hover_data(estimates: dict[int, Estimate]) -> list[tuple[float, float, int]]:
    return [(e.low, e.high, e.n) for e in estimates.values()]


def _line(made: go.Figure, estimates: dict[int, Estimate], label: str, colour: str) -> None:
    made.add_scatter(
        x=list(estimates), y=[e.value for e in estimates.values()], mode="lines+markers", name=label,
        line={"color": colour, "width": 2.5}, marker={"size": 8}, error_y=_error_bars(estimates) | {"color": colour},
        customdata=_hover_data(estimates),
        hovertemplate=f"{label}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
        "n = %{customdata[2]}<extra></extra>",
    )  # fmt: skip


def _coin(made: go.Figure, start: float, end: float) -> None:
    made.add_scatter(
        x=[start, end], y=[0.5, 0.5], mode="lines", name="chance", hoverinfo="skip",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
