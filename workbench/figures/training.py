"""What was measured while a run trained, and what its checkpoints think of one problem."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.errors import WorkbenchError
from workbench.figures.palette import FAINT, GREY, LEGEND, ORANGE, SERIES, figure, require_rows

UNRECORDED = "no chance level was recorded with it"
_LOSSES = [digit * 10.0**power for power in range(-4, 3) for digit in (1, 2, 5)]


def training_curves(
    metrics: Sequence[Mapping[str, Any]], *, step: int | None = None, coin: float | None = 0.5
) -> list[go.Figure]:
    """Draw mass by hop, accuracy and loss over the steps of training, as far as they were measured.

    Args:
        metrics: Records of `metrics.jsonl`, oldest first (`training_metrics.read_metrics`).
        step: Step to mark.
        coin: Chance level of the accuracy; None for none.

    Raises:
        WorkbenchError: Nothing was measured.
    """
    if not metrics:
        raise WorkbenchError(
            "There is nothing to draw.", "No evaluation is in the metrics of this run.", "Train it for longer."
        )
    hops = max((len(record.get("mass") or ()) for record in metrics), default=0)
    made = []
    if hops:
        masses = {f"hop {hop + 1}": [_entry(record, hop) for record in metrics] for hop in range(hops)}
        subtitle = f"Raw mass of thought k on the nodes at hop k, on a fixed batch of random graphs; {UNRECORDED}"
        made.append(_curves(metrics, "Mass by hop while training", subtitle, "raw mass", masses, step, (-0.02, 1.04)))
    right = [_number(record.get("accuracy")) for record in metrics]
    if any(value is not None for value in right):
        told = "Exact answers on the validation problems of the run" + ("" if coin is None else "; dashed: a coin")
        accuracy = _curves(
            metrics, "Accuracy while training", told, "accuracy", {"accuracy": right}, step, (-0.02, 1.04)
        )
        if coin is not None:
            _dashed(accuracy, metrics, coin)
        made.append(accuracy)
    losses = {
        title: [_number(record.get(name)) for record in metrics]
        for name, title in (("loss", "training batches"), ("evaluation_loss", "fixed evaluation batch"))
    }
    told = (
        "Mean loss, log scale; the batches get harder with the curriculum, the evaluation batch stays; no chance level"
    )
    loss = _curves(metrics, "Loss while training", told, "loss (nats)", losses, step, None)
    made.append(loss.update_yaxes(type="log", tickvals=_LOSSES, ticktext=[f"{value:g}" for value in _LOSSES]))
    return made


def mass_over_checkpoints(statistics: pl.DataFrame, *, step: int | None = None) -> go.Figure:
    """Draw the candidate mass of every thought about one problem, checkpoint by checkpoint, chance dotted.

    Args:
        statistics: `statistics_frame` of one problem and one readout, with a column step (int).
        step: Step to mark.
    """
    rows = statistics.filter(pl.col("candidate_mass").is_not_null()).sort("step")
    require_rows(rows)
    made = figure(
        "This problem over training",
        "Candidate mass (raw, on the hop that is read) of each checkpoint; dotted: chance, uniform over the concepts",
        "",
        height=380, margin={"l": 60, "r": 16, "t": 92, "b": 104}, legend=LEGEND,
        xaxis={"title": "steps of training", "showgrid": False}, yaxis={"title": "raw mass", "range": [-0.02, 1.04]},
    )  # fmt: skip
    told = []
    for index, thought in enumerate(sorted(rows["thought"].unique().to_list())):
        part, colour = rows.filter(pl.col("thought") == thought), SERIES[index % len(SERIES)]
        name = f"{thought} thought{'' if thought == 1 else 's'}, hop {part['hop_read'][0]}"
        made.add_scatter(
            x=part["step"], y=part["candidate_mass"], mode="lines+markers", name=name, legendgroup=name,
            line={"color": colour, "width": 2.2}, marker={"size": 7},
            customdata=part.select("candidate_mass_chance").rows(),
            hovertemplate=f"{name}, step %{{x}}: %{{y:.3f}}, chance %{{customdata[0]:.3f}}<extra></extra>",
        )  # fmt: skip
        made.add_scatter(
            x=part["step"], y=part["candidate_mass_chance"], mode="lines", legendgroup=name, showlegend=False,
            hoverinfo="skip", line={"color": colour, "width": 1.5, "dash": "dot"}, name=f"chance, {name}", opacity=0.8,
        )  # fmt: skip
        told.append(f"{name}: from {part['candidate_mass'][0]:.2f} to {part['candidate_mass'][-1]:.2f}")
    _mark(made, step)
    return made.update_layout(meta={"alt": f"Candidate mass of each checkpoint on one problem. {'; '.join(told)}."})


def _curves(
    metrics: Sequence[Mapping[str, Any]],
    title: str,
    subtitle: str,
    unit: str,
    lines: Mapping[str, Sequence[float | None]],
    step: int | None,
    limits: tuple[float, float] | None,
) -> go.Figure:
    made = figure(
        title, subtitle, "",
        height=340, margin={"l": 60, "r": 16, "t": 92, "b": 104}, legend=LEGEND,
        xaxis={"title": "steps of training", "showgrid": False}, yaxis={"title": unit, "range": limits},
    )  # fmt: skip
    steps, told = [record["step"] for record in metrics], []
    for index, (name, values) in enumerate(lines.items()):
        there = [(x, y) for x, y in zip(steps, values, strict=True) if y is not None]
        if there:
            made.add_scatter(
                x=[x for x, _ in there], y=[y for _, y in there], mode="lines+markers", name=name,
                line={"color": SERIES[index % len(SERIES)], "width": 2.2}, marker={"size": 5},
                hovertemplate=f"{name}, step %{{x}}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
            told.append(f"{name} from {there[0][1]:.2f} to {there[-1][1]:.2f}")
    for group in _stages(metrics):
        for start, _ in group:
            made.add_vline(x=start, line={"color": FAINT, "width": 1.5}, layer="below")
        first, last = group[0][1], group[-1][1]
        made.add_annotation(
            x=sum(start for start, _ in group) / len(group), y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=str(first) if first == last else f"{first}–{last}", font={"size": 10},
            hovertext="; ".join(f"{k} thought{'' if k == 1 else 's'} from step {start} on" for start, k in group),
        )  # fmt: skip
    _mark(made, step)
    return made.update_layout(meta={"alt": f"{title}: {'; '.join(told)}."})


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


def _mark(made: go.Figure, step: int | None) -> None:
    if step is not None:
        made.add_vline(x=step, line={"color": ORANGE, "width": 2})


def _dashed(made: go.Figure, metrics: Sequence[Mapping[str, Any]], level: float) -> None:
    made.add_scatter(
        x=[metrics[0]["step"], metrics[-1]["step"]], y=[level, level], mode="lines", name="a coin", hoverinfo="skip",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
    )  # fmt: skip


def _entry(record: Mapping[str, Any], hop: int) -> float | None:
    mass = record.get("mass") or ()
    return _number(mass[hop]) if hop < len(mass) else None


def _number(value: Any) -> float | None:
    """Return a number that can be drawn: what was not measured is missing or nan."""
    return None if value is None or value != value else float(value)
