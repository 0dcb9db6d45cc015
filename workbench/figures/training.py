"""Figures over training: what a run measured of itself, and what its checkpoints show."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError, unknown
from workbench.figures.lines import Look, lines, run_looks, where
from workbench.figures.style import CLASS_COLOURS, FAINT, GREY, ORANGE, SERIES, figure, plural, require_rows
from workbench.figures.thoughts import CLASS_TITLES
from workbench.figures.values import add_valid
from workbench.measure.run_labels import RUN
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import MASS_CLASSES, TITLES
from workbench.measure.statistics import summarise

UNRECORDED = "no chance level was recorded with it"
_LOSSES = [digit * 10.0**power for power in range(-4, 3) for digit in (1, 2, 5)]
_EVEN = "uniform over the concepts in the problem"
BY_STEP = {
    "mass": ("Mass on the frontier", "raw mass (probability)", _EVEN),
    "mass_without_target": ("Mass on the frontier without the target", "raw mass (probability)", _EVEN),
    "breadth": ("Effective breadth of the frontier", "nodes", "uniform over the frontier"),
    "norm": ("Length of the thought", "length", ""),
}
"""Title, unit, and what chance stands for, by column of `emergence_frame`."""
CHANCE = "chance"
_ACCURACY = (-0.02, 1.04)


# A run's own metrics


def training_curves(
    metrics: Sequence[Mapping[str, Any]], *, step: int | None = None, chance: float | None = 0.5
) -> list[go.Figure]:
    """Draw mass by hop, accuracy and loss over the steps of training, as far as they were measured.

    Args:
        metrics: Records of `metrics.jsonl`, oldest first (`train.loop.read_metrics`).
        step: Step to mark.
        chance: Chance level of the accuracy; None for none.

    Raises:
        WorkbenchError: Nothing was measured.
    """
    if not metrics:
        raise WorkbenchError(
            "There is nothing to draw.", "No evaluation is in the metrics of this run.", "Train it for longer."
        )
    hops = max((len(record.get("mass") or ()) for record in metrics), default=0)
    right = {"accuracy": [record.get("accuracy") for record in metrics]}
    masses = {
        f"hop {hop + 1}": [([*(record.get("mass") or ()), *[None] * hops])[hop] for record in metrics]
        for hop in range(hops)
    }
    losses = {
        title: [record.get(name) for record in metrics]
        for name, title in (("loss", "training batches"), ("evaluation_loss", "fixed evaluation batch"))
    }
    made = []
    if hops:
        told = f"Raw mass of thought k on the nodes at hop k, on a fixed batch of random graphs; {UNRECORDED}"
        made.append(_curves(metrics, "Mass by hop while training", told, "raw mass", masses, step, limits=_ACCURACY))
    if any(value is not None for value in right["accuracy"]):
        told = "Exact answers on the validation problems of the run" + ("" if chance is None else "; dashed: chance")
        made.append(_curves(metrics, "Accuracy while training", told, "accuracy", right, step, chance, _ACCURACY))
    if any("reward" in record for record in metrics):
        made += _reward_curves(metrics, step)
    told = (
        "Mean loss, log scale; the batches get harder with the curriculum, the evaluation batch stays; no chance level"
    )
    loss = _curves(metrics, "Loss while training", told, "loss (nats)", losses, step)
    made.append(loss.update_yaxes(type="log", tickvals=_LOSSES, ticktext=[f"{value:g}" for value in _LOSSES]))
    return made


def _reward_curves(metrics: Sequence[Mapping[str, Any]], step: int | None) -> list[go.Figure]:
    """Draw what a run with a reward measured of its sampled answers (docs/reinforcement.md)."""
    names = [name for name in metrics[-1] if name in ("reward", "value", "alike") or name.startswith("pass@")]
    titles = {"value": "what the value head predicts", "alike": "problems whose answers are rewarded alike"}
    shares = {titles.get(name, name): [record.get(name) for record in metrics] for name in names}
    thoughts = max((len(record.get("cosine") or ()) for record in metrics), default=0)
    drift = {
        f"thought {k + 1}": [([*(record.get("cosine") or ()), *[None] * thoughts])[k] for record in metrics]
        for k in range(thoughts)
    }
    told = "Sampled answers to the validation problems of the run, always with the same random numbers"
    made = [_curves(metrics, "Reward while training", told, "share", shares, step, limits=_ACCURACY)]
    told = "Mean estimate over the words said; 0 at the start"
    kl = {"divergence": [record.get("kl") for record in metrics]}
    made.append(_curves(metrics, "Divergence from the start", told, "KL (nats)", kl, step))
    if thoughts:
        told = "Mean cosine of the hidden state that a thought is made of with the start's; 1 at the start"
        made.append(_curves(metrics, "Thoughts beside those of the start", told, "cosine", drift, step))
    return made


def _curves(
    metrics: Sequence[Mapping[str, Any]], title: str, subtitle: str, unit: str,
    curves: Mapping[str, Sequence[float | None]], step: int | None, chance: float | None = None,
    limits: tuple[float, float] | None = None,
) -> go.Figure:  # fmt: skip
    table = pl.DataFrame(
        [
            (name, record["step"], float(value), chance)
            for name, values in curves.items()
            for record, value in zip(metrics, values, strict=True)
            if value is not None and value == value  # what was not measured is missing or nan
        ],
        {"line": pl.String, "step": pl.Int64, "value": pl.Float64, "chance": pl.Float64},
        orient="row",
    )
    looks = {name: Look(name, SERIES[index % len(SERIES)]) for index, name in enumerate(curves)}
    made = lines(
        table, title, subtitle, unit, x="step", axis="steps of training", by="line", looks=looks, limits=limits,
        chance="chance", above=14,
    )  # fmt: skip
    for group in _stages(metrics):
        for start, _ in group:
            made.add_vline(x=start, line={"color": FAINT, "width": 1.5}, layer="below")
        first, last = group[0][1], group[-1][1]
        made.add_annotation(
            x=sum(start for start, _ in group) / len(group), y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=str(first) if first == last else f"{first}–{last}", font={"size": 10},
            hovertext="; ".join(f"{plural(k, 'thought')} from step {start} on" for start, k in group),
        )  # fmt: skip
    return _mark(made, step)


def _stages(metrics: Sequence[Mapping[str, Any]]) -> list[list[tuple[int, int]]]:
    """Return where the number of thoughts grows, as (step, thoughts); in groups, those too close to be told apart."""
    close, thought = 0.06 * (metrics[-1]["step"] - metrics[0]["step"]), 0
    groups: list[list[tuple[int, int]]] = []
    for record in metrics:
        if record.get("thoughts", 0) > thought:
            thought, here = record["thoughts"], record["step"]
            if groups and here - groups[-1][-1][0] < close:
                groups[-1].append((here, thought))
            else:
                groups.append([(here, thought)])
    return groups


def _mark(made: go.Figure, step: int | None) -> go.Figure:
    return made if step is None else made.add_vline(x=step, line={"color": ORANGE, "width": 2})


def mass_over_checkpoints(
    statistics: pl.DataFrame, name: str = "candidate_mass", *, step: int | None = None
) -> go.Figure:
    """Draw the mass that every thought about one problem has on its frontier, by checkpoint, chance dashed.

    Args:
        statistics: `statistics_frame` of one problem and one readout, with a column step (int).
        name: "candidate_mass" or "mass_without_target".
        step: Step to mark.
    """
    rows = statistics.drop_nulls(name).sort("step").with_columns(value=name, chance=f"{name}_chance")
    require_rows(rows)
    hops = dict(rows.group_by("thought").agg(pl.col("hop_read").first()).sort("thought").iter_rows())
    looks = {
        k: Look(f"{plural(k, 'thought')}, hop {hop}", SERIES[index % len(SERIES)])
        for index, (k, hop) in enumerate(hops.items())
    }
    made = lines(
        rows, "This problem over training",
        f"{TITLES[name][0].capitalize()} (raw, on the hop that is read) of each checkpoint; dashed: chance, uniform "
        "over the concepts",
        "raw mass", x="step", axis="steps of training", by="thought", looks=looks, each=True, limits=_ACCURACY,
    )  # fmt: skip
    return _mark(made, step)


# A run over its checkpoints


def emergence_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Return every figure of the reading: the mass without the target first, which is the one to judge by."""
    return [
        by_step(table, "mass_without_target"),
        by_step(table, "mass"),
        accuracy_by_step(table),
        classes_by_step(table),
        by_step(table, "breadth"),
        by_step(table, "norm"),
    ]


def by_step(table: pl.DataFrame, name: str = "mass_without_target") -> go.Figure:
    """Draw a number by training step: a panel for every thought, a line for every run, chance dashed.

    Args:
        table: `emergence`.
        name: One of `BY_STEP`.

    Raises:
        WorkbenchError: There is no such number, or no problem.
    """
    if name not in BY_STEP:
        raise unknown("number by training step", name, BY_STEP)
    table = table.drop_nulls(name)
    require_rows(table)
    title, unit, baseline = BY_STEP[name]
    chance = f"; dashed: chance, {baseline}" if baseline else "; controls stand for chance"
    hops = dict(table.group_by("thought").agg(pl.col("hop_read").first()).sort("thought").iter_rows())
    panels = {k: f"thought {k}" + ("" if name == "norm" else f", hop {hop}") for k, hop in hops.items()}
    return lines(
        summarise(table, name, [RUN, "thought", "step"]), f"{title} by training step",
        f"Mean over problems, 95 % intervals; dotted: controls{chance}", unit, x="step", axis="training step",
        panel="thought", panels=panels, wide=4, limits=_ACCURACY if "mass" in name else None, plot=190,
    )  # fmt: skip


def accuracy_by_step(table: pl.DataFrame) -> go.Figure:
    """Draw the share of right answers after all thoughts by training step, a line for every run, chance dashed.

    Args:
        table: `emergence`.
    """
    require_rows(table)
    rows = table.filter(pl.col("thought") == pl.col("thought").max())
    looks = run_looks(rows[RUN])
    first = next(iter(looks))
    made = lines(
        summarise(rows, "right", [RUN, "step"], chance=0.5), "Accuracy by training step",
        f"Exact answers after {rows['thought'][0]} thoughts, 95 % intervals; dotted: controls; dashed: guessing "
        "between the two options", "accuracy", x="step", axis="training step", looks=looks, chance="chance",
        limits=_ACCURACY, below=19,
    )  # fmt: skip
    add_valid(made, where(rows, RUN, first), "step", looks[first], "dashdot", looks[first].title)
    return made


def classes_by_step(table: pl.DataFrame) -> go.Figure:
    """Draw mass by node class, a stacked bar for each thought and run with chance beside; a slider over steps.

    Slider and button are plotly's own frames: they work in plain Jupyter and in a static page.

    Args:
        table: `emergence`.
    """
    require_rows(table)
    steps = table["step"].unique().sort().to_list()
    means = {
        name: summarise(table, f"class {name}", ["step", "thought", RUN]).sort("step", "thought", maintain_order=True)
        for name in MASS_CLASSES
    }
    frames = [
        go.Frame(name=str(step), data=[_bar(name, rows.filter(pl.col("step") == step)) for name, rows in means.items()])
        for step in steps
    ]
    now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {"fromcurrent": True, "frame": {"duration": 700, "redraw": True}, "transition": {"duration": 0}}
    on_frontier = pl.col("class optimal") + pl.col("class frontier")
    last = table.filter(pl.col(RUN) == table[RUN][0], pl.col("step") == steps[-1])
    ends = last.group_by("thought").agg(on_frontier.mean()).sort("thought")
    told = ", ".join(f"{mass:.2f} of thought {k}" for k, mass in ends.iter_rows())
    made = figure(
        "Where the mass lies, by training step",
        "Mean raw mass of the LM head (0 to 1), a bar for each thought and run; chance: uniform over the concepts",
        f"Stacked bars of mass by node class at {len(steps)} steps. On the frontier at step {steps[-1]}: {told}.",
        plot=220, below=214, barmode="stack", bargap=0.15,
        xaxis={"type": "multicategory", "showdividers": True, "dividercolor": FAINT, "tickangle": 90},
        yaxis={"title": "raw mass", "range": [0, 1.02]},
    )  # fmt: skip
    made.add_traces(frames[0].data)
    made.frames = frames
    return made.update_layout(
        updatemenus=[
            {
                "type": "buttons", "direction": "left", "x": 0, "y": -0.76, "xanchor": "left", "yanchor": "top",
                "pad": {"r": 8, "t": 18}, "showactive": False, "bgcolor": FAINT, "bordercolor": FAINT,
                "buttons": [
                    {"label": "▶", "method": "animate", "args": [None, play]},
                    {"label": "❚❚", "method": "animate", "args": [[None], now]},
                ],
            }
        ],
        sliders=[
            {
                "x": 0.12, "len": 0.88, "y": -0.76, "pad": {"t": 4}, "bordercolor": FAINT, "bgcolor": FAINT,
                "activebgcolor": GREY, "currentvalue": {"prefix": "training step "},
                "steps": [{"label": str(s), "method": "animate", "args": [[str(s)], now]} for s in steps],
            }
        ],
    )  # fmt: skip


def _bar(name: str, rows: pl.DataFrame) -> go.Bar:
    """Return the bars of a class at one step: for every thought the runs in their order, then chance."""
    thoughts, labels, values, hover = [], [], [], []
    for (thought,), part in rows.group_by("thought", maintain_order=True):
        thoughts += [f"thought {thought}"] * (len(part) + 1)
        labels += [*map(run_title, part[RUN]), CHANCE]
        values += [*part["value"], part["chance"].mean()]
        hover += [f"[{low:.3f}, {high:.3f}], n = {n}" for low, high, n in part.select("low", "high", "n").iter_rows()]
        hover.append("uniform over the concepts")
    return go.Bar(
        x=[thoughts, labels], y=values, name=CLASS_TITLES[name], customdata=hover,
        marker={"color": CLASS_COLOURS[name], "line": {"width": 0}},
        hovertemplate=f"%{{x}}<br>{CLASS_TITLES[name]}: %{{y:.3f}} %{{customdata}}<extra></extra>",
    )  # fmt: skip
