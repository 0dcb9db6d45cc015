"""A run scrubbed over its checkpoints: when the frontier appears, thought by thought, and what the answers do then."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError
from workbench.figures.by_thought import colour_of, dash_of, estimates_by, line, panels, runs
from workbench.figures.palette import CLASS_COLOURS, FAINT, GREY, LEGEND, figure, require_rows
from workbench.figures.strip import CLASS_TITLES
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import MASS_CLASSES
from workbench.measure.statistics import Estimate

_EVEN = "uniform over the concepts in the problem"
SCRUBBED = {
    "mass": ("Mass on the frontier", "raw mass (probability)", _EVEN),
    "mass_without_target": ("Mass on the frontier without the target", "raw mass (probability)", _EVEN),
    "breadth": ("Effective breadth of the frontier", "nodes", "uniform over the frontier"),
    "norm": ("Length of the thought", "length", ""),
}
"""Title, unit, and what chance stands for, by column of `emergence_frame`."""

CHANCE = "chance"


def by_step(table: pl.DataFrame, name: str = "mass_without_target", *, seed: int = 0) -> go.Figure:
    """Draw a number by training step: a panel for every thought, a line for every run, chance dashed.

    Args:
        table: `emergence`.
        name: One of `SCRUBBED`.
        seed: Of the bootstrap.

    Raises:
        WorkbenchError: There is no such number, or no problem.
    """
    if name not in SCRUBBED:
        raise WorkbenchError(
            f'There is no "{name}" by training step.', f"There are {', '.join(SCRUBBED)}.", "Choose one of them."
        )
    table = table.filter(pl.col(name).is_not_null())
    require_rows(table)
    title, unit, baseline = SCRUBBED[name]
    chance = f"; dashed: chance, {baseline}" if baseline else "; controls stand for chance"
    thoughts = sorted(table["thought"].unique().to_list())
    hop = dict(table.group_by("thought").agg(pl.col("hop_read").first()).iter_rows())
    names = [f"thought {k}" + ("" if name == "norm" else f", hop {hop[k]}") for k in thoughts]
    made = panels(
        f"{title} by training step", f"Mean over problems, 95 % intervals; dotted: controls{chance}", names, 4
    )
    told = []
    for column, thought in enumerate(thoughts):
        place = {"row": column // 4 + 1, "col": column % 4 + 1}
        of_thought = table.filter(pl.col("thought") == thought)
        for index, (run, rows) in enumerate(runs(of_thought).items()):
            estimates = estimates_by(rows, "step", name, seed)
            line(
                made, estimates, run_title(run), colour_of(run, index), dash_of(run),
                legendgroup=run, showlegend=column == 0, **place,
            )  # fmt: skip
            if index == 0:
                ends = [f"{estimates[step].value:.2f} at step {step}" for step in (min(estimates), max(estimates))]
                told.append(f"thought {thought} {', '.join(ends)}")
        if baseline:
            made.add_scatter(
                **_chance(of_thought, name), mode="lines", name=CHANCE, legendgroup=CHANCE, showlegend=column == 0,
                line={"color": GREY, "width": 1.8, "dash": "dash"}, hovertemplate="chance: %{y:.3f}<extra></extra>",
                **place,
            )  # fmt: skip
    made.update_xaxes(title="training step", showgrid=False).update_yaxes(title=f"{unit}", col=1)
    if "mass" in name:
        made.update_yaxes(range=[-0.02, 1.04])
    return made.update_layout(meta={"alt": f"{title} by training step. {'; '.join(told)}."})


def _chance(rows: pl.DataFrame, name: str) -> dict[str, Any]:
    """Return the chance of the problems behind the first run, which has the same problems at every step."""
    first = next(iter(runs(rows).values()))
    level = first.group_by("step").agg(pl.col(f"{name}_chance").mean()).sort("step")
    return {"x": level["step"], "y": level[f"{name}_chance"]}


def accuracy_by_step(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the share of right answers after all thoughts by training step, a line for every run, a coin dashed.

    Args:
        table: `emergence`.
        seed: Of the bootstrap.
    """
    require_rows(table)
    rows = table.filter(pl.col("thought") == pl.col("thought").max())
    made = figure(
        "Accuracy by training step",
        f"Exact answers after {rows['thought'][0]} thoughts, 95 % intervals; dotted: controls; dashed: a coin between "
        "the two options",
        "", height=340, margin={"l": 60, "r": 16, "t": 92, "b": 96}, legend=LEGEND,
        xaxis={"title": "training step", "showgrid": False}, yaxis={"title": "accuracy", "range": [-0.02, 1.04]},
    )  # fmt: skip
    told = []
    for index, (run, part) in enumerate(runs(rows).items()):
        estimates = estimates_by(part, "step", "right", seed)
        line(made, estimates, run_title(run), colour_of(run, index), dash_of(run))
        if index == 0:
            told = [f"{e.value:.2f} at {step}" for step, e in estimates.items()]
            valid = part.group_by("step").agg(pl.col("valid").cast(pl.Float64).mean()).sort("step")
            made.add_scatter(
                x=valid["step"], y=valid["valid"], mode="lines", name=f"{run_title(run)}: answers of a valid form",
                line={"color": colour_of(run, index), "width": 1.2, "dash": "dashdot"},
                hovertemplate="valid form: %{y:.3f}<extra></extra>",
            )  # fmt: skip
    made.add_scatter(
        x=[rows["step"].min(), rows["step"].max()], y=[0.5, 0.5], mode="lines", name="chance: a coin",
        hoverinfo="skip", line={"color": GREY, "width": 1.8, "dash": "dash"},
    )  # fmt: skip
    return made.update_layout(meta={"alt": f"Accuracy by training step. {', '.join(told)}."})


def geometry_by_step(table: pl.DataFrame, name: str = "effective_rank") -> go.Figure:
    """Draw a number of the geometry of thoughts by training step, a panel for every thought, its chance dashed.

    Args:
        table: `scrub` with `geometry_frame`: columns step, run, thought, statistic, value, low, high, n, chance.
        name: Of its statistics, such as "effective_rank" or "norm".
    """
    table = table.filter(pl.col("statistic") == name)
    require_rows(table)
    title, thoughts = name.replace("_", " "), sorted(table["thought"].unique().to_list())
    made = panels(
        f"{title[0].upper()}{title[1:]} of thoughts by training step",
        "Over problems, 95 % intervals; dotted: controls; dashed: what stands for chance beside the model",
        [f"thought {k}" for k in thoughts],
        4,
    )
    told = []
    for column, thought in enumerate(thoughts):
        place = {"row": column // 4 + 1, "col": column % 4 + 1}
        for index, (run, rows) in enumerate(runs(table.filter(pl.col("thought") == thought)).items()):
            estimates = {
                step: Estimate(value, low, high, n)
                for step, value, low, high, n in rows.drop_nulls("value")
                .select("step", "value", pl.col("low", "high").fill_null(pl.col("value")), "n")
                .iter_rows()
            }
            line(
                made, estimates, run_title(run), colour_of(run, index), dash_of(run),
                legendgroup=run, showlegend=column == 0, **place,
            )  # fmt: skip
            if index == 0:
                told += [f"thought {thought} {e.value:.1f} at step {step}" for step, e in estimates.items()]
                made.add_scatter(
                    x=rows["step"], y=rows["chance"], mode="lines", name=CHANCE, legendgroup=CHANCE,
                    showlegend=column == 0, line={"color": GREY, "width": 1.8, "dash": "dash"},
                    hovertemplate="chance: %{y:.3f}<extra></extra>", **place,
                )  # fmt: skip
    made.update_xaxes(title="training step", showgrid=False).update_yaxes(title=title, col=1)
    return made.update_layout(meta={"alt": f"{title} by training step. {', '.join(told)}."})


def classes_by_step(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw mass by node class, a stacked bar for each thought and run with chance beside, to be scrubbed over steps.

    Slider and button are plotly's own frames: they work in plain Jupyter and in a static page.

    Args:
        table: `emergence`.
        seed: Of the bootstrap; intervals are in the hover.
    """
    require_rows(table)
    steps = table["step"].unique().sort().to_list()
    frames = [go.Frame(name=str(step), data=_bars(table.filter(pl.col("step") == step), seed)) for step in steps]
    now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {"fromcurrent": True, "frame": {"duration": 700, "redraw": True}, "transition": {"duration": 0}}
    on_frontier = pl.col("class optimal") + pl.col("class frontier")
    first = next(iter(runs(table).values()))
    ends = first.filter(pl.col("step") == steps[-1]).group_by("thought").agg(on_frontier.mean()).sort("thought")
    told = ", ".join(f"{mass:.2f} of thought {k}" for k, mass in ends.iter_rows())
    made = figure(
        "Where the mass lies, by training step",
        "Mean raw mass of the LM head (0 to 1), a bar for each thought and run; chance: uniform over the concepts",
        f"Stacked bars of mass by node class at {len(steps)} steps. On the frontier at step {steps[-1]}: {told}.",
        height=520, barmode="stack", bargap=0.15, margin={"l": 60, "r": 16, "t": 92, "b": 230},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"type": "multicategory", "showdividers": True, "dividercolor": FAINT, "tickangle": 90},
        yaxis={"title": "raw mass", "range": [0, 1.02]},
    )  # fmt: skip
    made.add_traces(frames[0].data)
    made.frames = frames
    return made.update_layout(
        updatemenus=[
            {
                "type": "buttons", "direction": "left", "x": 0, "y": -0.46, "xanchor": "left", "yanchor": "top",
                "pad": {"r": 8, "t": 18}, "showactive": False, "bgcolor": FAINT, "bordercolor": FAINT,
                "buttons": [
                    {"label": "▶", "method": "animate", "args": [None, play]},
                    {"label": "❚❚", "method": "animate", "args": [[None], now]},
                ],
            }
        ],
        sliders=[
            {
                "x": 0.12, "len": 0.88, "y": -0.46, "pad": {"t": 4}, "bordercolor": FAINT, "bgcolor": FAINT,
                "activebgcolor": GREY, "currentvalue": {"prefix": "training step "},
                "steps": [{"label": str(s), "method": "animate", "args": [[str(s)], now]} for s in steps],
            }
        ],
    )  # fmt: skip


def _bars(rows: pl.DataFrame, seed: int) -> list[go.Bar]:
    """Return a bar trace for each class: for every thought the runs in their order, then chance."""
    made = []
    for name in MASS_CLASSES:
        places, values, hover = ([], []), [], []
        for thought in rows["thought"].unique().sort().to_list():
            of_thought = rows.filter(pl.col("thought") == thought)
            for run, part in runs(of_thought).items():
                (estimate,) = estimates_by(part, "thought", f"class {name}", seed).values()
                places[0].append(f"thought {thought}")
                places[1].append(run_title(run))
                values.append(estimate.value)
                hover.append(f"[{estimate.low:.3f}, {estimate.high:.3f}], n = {estimate.n}")
            places[0].append(f"thought {thought}")
            places[1].append(CHANCE)
            values.append(of_thought[f"class {name}_chance"].mean())
            hover.append("uniform over the concepts")
        made.append(
            go.Bar(
                x=places, y=values, name=CLASS_TITLES[name], customdata=hover,
                marker={"color": CLASS_COLOURS[name], "line": {"width": 0}},
                hovertemplate=f"%{{x}}<br>{CLASS_TITLES[name]}: %{{y:.3f}} %{{customdata}}<extra></extra>",
            )
        )  # fmt: skip
    return made


def emergence_figures(table: pl.DataFrame, *, seed: int = 0) -> list[go.Figure]:
    """Return every figure of the reading: the mass without the target first, which is the one to judge by."""
    return [
        by_step(table, "mass_without_target", seed=seed),
        by_step(table, "mass", seed=seed),
        accuracy_by_step(table, seed=seed),
        classes_by_step(table, seed=seed),
        by_step(table, "breadth", seed=seed),
        by_step(table, "norm", seed=seed),
    ]
