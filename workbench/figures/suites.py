"""Figures of a suite: runs, methods and starts side by side."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.figures.lines import Look, grid, interval, level, lines, run_looks, said, where
from workbench.figures.lines import place as panel_place
from workbench.figures.style import GREY, SERIES, figure, fit_legend, require_rows
from workbench.figures.training import BY_STEP
from workbench.measure.run_labels import CONTROLS
from workbench.train.methods import METHODS

_ACCURACY = (-0.02, 1.04)
_SYMBOLS = ("circle", "diamond", "square", "triangle-up")
_DASHES = ("solid", "dash", "dot")
_PLACES = {method.title: place for place, method in enumerate(METHODS.values())}


def accuracy_in_training(metrics: pl.DataFrame, chance: float | None = 0.5) -> go.Figure:
    """Draw exact answers on each run's validation problems over training: a panel per method, a line per seed.

    Args:
        metrics: A row per record of `metrics.jsonl`; columns method (title), seed, step, accuracy, stage (what the
            hover says of it).
        chance: Chance level drawn in, None for none.
    """
    require_rows(metrics)
    looks, told = _method_looks(metrics), []
    made = grid(
        "Accuracy while training", "Exact answers on the validation problems of each run; thin lines: further seeds",
        list(looks), 4, plot=130 if len(looks) > 4 else 240,
    )  # fmt: skip
    ends = (0.0, float(metrics["step"].max()))  # type: ignore[arg-type]
    for index, (method, look) in enumerate(looks.items()):
        rows = where(metrics, "method", method)
        at: dict[str, Any] = panel_place(index, 4, len(looks))
        for place, seed in enumerate(sorted(rows["seed"].unique().to_list())):
            run = rows.filter(pl.col("seed") == seed).sort("step")
            made.add_scatter(
                x=run["step"], y=run["accuracy"], mode="lines", name=method, legendgroup=method, showlegend=False,
                line={"color": look.colour, "dash": look.dash, "width": 1.2 if place else 2.5},
                opacity=0.7 if place else 1.0, customdata=run["stage"].to_list(), **at,
                hovertemplate=f"{method}, seed {seed}, step %{{x}}: %{{y:.3f}}<br>%{{customdata}}<extra></extra>",
            )  # fmt: skip
            if place == 0:
                told.append(f"{method} ends at {run['accuracy'][-1]:.2f}")
        if chance is not None:
            level(made, rows.with_columns(chance=pl.lit(chance)), "step", "chance", ends, legend=index == 0, **at)
    made.update_xaxes(title="steps", showgrid=False, range=ends).update_yaxes(range=_ACCURACY)
    made.update_yaxes(title="accuracy", col=1)
    return fit_legend(made, f"Accuracy while training. {'; '.join(told)}.")


def emergence_of_runs(means: pl.DataFrame, name: str = "mass_without_target", about: str = "") -> go.Figure:
    """Draw what the thoughts of runs show by training step: a panel for each hop, a line for each run, chance dashed.

    Args:
        means: A row per run, hop and step: method (title), seed, hop, step, value, low, high, n, chance. The control
            has the label of its kind as its method.
        name: Which number it is, of `BY_STEP`.
        about: What is counted, where not all problems are.
    """
    require_rows(means)
    title, unit, baseline = BY_STEP[name]
    looks = {}
    for label, look in _method_looks(means).items():
        own = where(means, "method", label)
        for place, seed in enumerate(own["seed"].unique().sort()):
            if label in CONTROLS:
                look = run_looks([label])[label]
            looks[f"{label} {seed}"] = dataclasses.replace(look, opacity=0.6 if place else 1.0)
    made = lines(
        means.with_columns(line=pl.format("{} {}", "method", "seed")), f"{title} by training step",
        f"{about}A line for each run, faint: further seeds; means, 95 % intervals of the first seed; dotted: untrained "
        f"model of the same size; dashed: chance, {baseline}",
        unit, x="step", axis="training step", by="line", looks=looks, panel="hop",
        panels={hop: f"hop {hop}" for hop in means["hop"].unique().sort()},
        wide=2, limits=_ACCURACY if "mass" in name else None, plot=300, tell=len(looks),
    )  # fmt: skip
    return made.update_traces({"line.width": 1.2, "error_y.visible": False}, {"opacity": 0.6})


def accuracy_after_thoughts(results: pl.DataFrame, chance: float | None = 0.5) -> go.Figure:
    """Draw accuracy after k thoughts, a line per method, from none to twice the trained number.

    Args:
        results: Columns method (title), thoughts, accuracy, low, high, trained (bool: the number it was trained with).
        chance: Chance level drawn in, None for none.
    """
    require_rows(results)
    made = lines(
        results.with_columns(value="accuracy", chance=pl.lit(chance, pl.Float64)), "Accuracy after k thoughts",
        "From none to twice the trained number (ringed), with intervals; pause tokens count as thoughts", "accuracy",
        x="thoughts", axis="thoughts", by="method", looks=_method_looks(results), chance="chance", limits=_ACCURACY,
        plot=280,
    )  # fmt: skip
    for method in _method_looks(results):
        trained = where(results, "method", method).sort("thoughts")["trained"]
        made.update_traces(
            {
                "marker.size": [13 if one else 6 for one in trained],
                "marker.symbol": ["circle-open-dot" if one else "circle" for one in trained],
            },
            {"name": method},
        )
    return made


def accuracy_by_cost(costs: pl.DataFrame) -> go.Figure:
    """Draw accuracy against the training that it took, a point per method, and the line of those that none beats.

    Args:
        costs: Columns method (title), minutes (of one core, mean over seeds), accuracy, low, high, converged (bool).
    """
    require_rows(costs)
    made = figure(
        "Accuracy and what its training took",
        "A point per method, mean over seeds with its 95 % interval; hollow: a run was still improving. Line: no other "
        "method is as good for less training",
        plot=300, xaxis={"title": "minutes of one core for a run", "showgrid": False},
        yaxis={"title": "accuracy", "range": _ACCURACY},
    )  # fmt: skip
    ordered = costs.sort("minutes", "accuracy", descending=[False, True])
    front = ordered.filter(pl.col("accuracy") > pl.col("accuracy").cum_max().shift(1).fill_null(-1.0))
    made.add_scatter(
        x=front["minutes"], y=front["accuracy"], mode="lines", name="best for its cost", hoverinfo="skip",
        line={"color": GREY, "width": 1.6, "dash": "dash", "shape": "hv"},
    )  # fmt: skip
    for method, look in _method_looks(costs).items():
        row = where(costs, "method", method)
        hollow = "" if row["converged"][0] else "-open"
        made.add_scatter(
            x=row["minutes"], y=row["accuracy"], mode="markers", name=method,
            marker={"color": look.colour, "size": 11, "symbol": look.symbol + hollow, "line": {"width": 2}},
            error_y={
                "type": "data", "symmetric": False, "color": look.colour, "thickness": 1.2,
                "array": row["high"] - row["accuracy"], "arrayminus": row["accuracy"] - row["low"],
            },
            hovertemplate=f"{method}: %{{y:.3f}} after %{{x:.0f}} minutes<extra></extra>",
        )  # fmt: skip
    told = "; ".join(f"{method} {right:.2f} after {minutes:.0f}" for method, minutes, right in ordered.select(
        "method", "minutes", "accuracy").iter_rows())  # fmt: skip
    return fit_legend(made, f"Accuracy by minutes of training: {told}.")


def worth_of_parts(
    worth: pl.DataFrame, title: str = "What each part is worth",
    what: str = "Accuracy with the part less accuracy without it",
) -> go.Figure:  # fmt: skip
    """Draw what each part of a method adds to accuracy: the method with it less the method without.

    Args:
        worth: Columns set, part, value, low, high; a point per row.
        title: Of the figure.
        what: The difference, in words.
    """
    require_rows(worth)
    parts, sets = worth["part"].unique(maintain_order=True), worth["set"].unique(maintain_order=True)
    made = figure(
        title, f"{what}; the same problems and seeds<br>95 % intervals; at 0 nothing is added",
        plot=46 * len(parts) + 30, xaxis={"title": "difference of accuracy"}, margin_l=290,
        yaxis={
            "autorange": "reversed", "showgrid": False, "zeroline": False,
            "tickvals": list(range(len(parts))), "ticktext": list(parts),
        },
    )  # fmt: skip
    made.add_vline(x=0, line={"color": GREY, "width": 1.6, "dash": "dash"})
    for place, name in enumerate(sets):
        rows, colour = where(worth, "set", name), SERIES[place % len(SERIES)]
        offset = 0.5 * ((place + 1) / (len(sets) + 1) - 0.5)
        made.add_scatter(
            x=rows["value"], y=[parts.to_list().index(part) + offset for part in rows["part"]], mode="markers",
            name=name,
            marker={"color": colour, "size": 9, "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
            error_x={
                "type": "data", "symmetric": False, "color": colour, "thickness": 1.5,
                "array": rows["high"] - rows["value"], "arrayminus": rows["value"] - rows["low"],
            },
            customdata=rows["part"], hovertemplate=f"{name}: %{{customdata}} %{{x:+.3f}}<extra></extra>",
        )  # fmt: skip
    told = "; ".join(f"{part} {value:+.2f} on {name}" for name, part, value in worth.select(
        "set", "part", "value").iter_rows())  # fmt: skip
    return fit_legend(made, f"{title}. {what}: {told}.")


def mass_by_cell(means: pl.DataFrame, points: pl.DataFrame, starts: Sequence[str], losses: Sequence[str]) -> go.Figure:
    """Draw the mass at a hop by loss, a colour for each start and a panel for each hop, every seed beside its mean.

    Args:
        means: A row per cell and hop: start, loss, hop, value, low, high, n (seeds) and chance.
        points: A row per cell, hop and seed: start, loss, hop, seed and value.
        starts: In the order of the colours; cells without a row are marked as not trained.
        losses: In the order of the axis.
    """
    require_rows(means)
    hops = means["hop"].unique().sort().to_list()
    made = grid(
        "What makes the superposition?",
        "Raw mass of the LM head on the nodes at the hop, target excluded, by loss and start<br>"
        "Large: mean over seeds, 95 % interval over seeds and graphs; small: single seeds<br>"
        "Dashed: chance, uniform over the concepts; ×: not trained",
        [f"thought {hop}, hop {hop}" for hop in hops], 2, plot=300,
    )  # fmt: skip
    gap, told = 0.8 / len(starts), []
    for index, hop in enumerate(hops):
        at: dict[str, Any] = panel_place(index, 2, len(hops))
        for number, start in enumerate(starts):
            shift = (number - (len(starts) - 1) / 2) * gap
            places = {loss: index + shift for index, loss in enumerate(losses)}
            own, seeds = (
                table.filter(pl.col("start") == start, pl.col("hop") == hop).with_columns(
                    at=pl.col("loss").replace_strict(places, return_dtype=pl.Float64)
                )
                for table in (means, points)
            )
            look = Look(f"start {start}", SERIES[number % len(SERIES)], symbol=_SYMBOLS[number % len(_SYMBOLS)])
            _cells(made, own, seeds, look, hop, 0.28 * gap, index == 0, at)
            missing = [place for loss, place in places.items() if loss not in own["loss"].to_list()]
            made.add_scatter(
                x=missing, y=[0.0] * len(missing), mode="markers", showlegend=False, legendgroup=look.title,
                marker={"symbol": "x-thin-open", "size": 8, "color": look.colour}, **at,
                hovertemplate=f"{look.title}: not trained<extra></extra>",
            )  # fmt: skip
            if len(own):
                told.append(said(own, "loss", f"hop {hop}, {look.title}"))
        rows = means.filter(pl.col("hop") == hop).with_columns(pl.col("chance").mean())
        level(made, rows, "loss", "chance", (-0.5, len(losses) - 0.5), legend=index == 0, **at)
    made.update_xaxes(
        tickvals=list(range(len(losses))), ticktext=["<br>".join(textwrap.wrap(loss, 10)) for loss in losses],
        range=[-0.5, len(losses) - 0.5], showgrid=False, tickangle=0,
    )  # fmt: skip
    made.update_yaxes(range=_ACCURACY).update_yaxes(title="raw mass", col=1)
    alt = f"What makes the superposition? Raw mass, target excluded. {'; '.join(told)}."
    return fit_legend(made.update_layout(meta={"alt": alt}))


def _cells(
    made: go.Figure, means: pl.DataFrame, points: pl.DataFrame, look: Look, hop: int, aside: float, legend: bool,
    at: dict[str, int],
) -> None:  # fmt: skip
    """Add the means of a start's cells with their intervals, and the seeds beside them."""
    shared = {"legendgroup": look.title, "name": look.title, "mode": "markers", **at}
    about = f"{look.title}, %{{customdata[0]}}, hop {hop}"
    made.add_scatter(
        x=means["at"] if len(means) else [None], y=means["value"] if len(means) else [None],  # else it has no legend
        showlegend=legend, error_y=interval(means, look.colour), **shared,
        marker={"size": 11, "color": look.colour, "symbol": look.symbol},
        customdata=means.select("loss", "low", "high", "n").rows(),
        hovertemplate=f"{about}: %{{y:.3f}} [%{{customdata[1]:.3f}}, %{{customdata[2]:.3f}}], %{{customdata[3]}} of "
        "the seeds<extra></extra>",
    )  # fmt: skip
    made.add_scatter(
        x=points["at"] + aside, y=points["value"], showlegend=False, **shared,
        marker={"size": 5, "color": look.colour, "opacity": 0.75},
        customdata=points.select("loss", "seed").rows(),
        hovertemplate=f"{about}, seed %{{customdata[1]}}: %{{y:.3f}}<extra></extra>",
    )  # fmt: skip


def _method_looks(table: pl.DataFrame) -> dict[str, Look]:
    """Return colour and dash of each method, the same in every figure: six colours, then the same ones dashed."""
    found = {}
    for index, method in enumerate(table["method"].unique(maintain_order=True)):
        place = _PLACES.get(method, index)
        row = place // len(SERIES)
        colour, dash = SERIES[place % len(SERIES)], _DASHES[row % len(_DASHES)]
        found[method] = Look(method, colour, dash, _SYMBOLS[row % len(_SYMBOLS)])
    return found
