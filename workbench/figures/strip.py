"""Where the mass lies, thought by thought."""

import numpy as np
import plotly.graph_objects as go

from workbench.figures.palette import CLASS_COLOURS, FAINT, SKY, VERMILION, alpha, figure
from workbench.measure.scores import MASS_CLASSES, NOISE_MASS, READOUT_TITLES, NodeScores, statistics

CLASS_TITLES: dict[str, str] = {
    "optimal": "frontier, on a shortest path",
    "frontier": "frontier, off the path",
    "reachable elsewhere": "reachable at another hop",
    "unreachable": "not reachable",
    "outside the problem": "outside the problem",
}
"""The classes in full; "frontier" is the set of nodes at the hop read."""


def thought_strip(scores: NodeScores, *, depth: int | None = None) -> go.Figure:
    """Draw raw mass by node class as one stacked bar per number of thoughts, chance as a slim bar beside it.

    The frontier is at the bottom, so that the height of its two parts is the candidate mass printed above each bar.
    Chance is what a uniform distribution over the concepts in the problem would put on each class.

    Args:
        scores: One readout of one problem.
        depth: Number of thoughts to mark as the current one.

    Returns:
        A figure whose bars have `customdata[0]` = number of thoughts.
    """
    readout, depths = READOUT_TITLES[scores.readout], list(scores.depths)
    candidate = statistics(scores)["candidate_mass"]
    noisy = candidate.values < NOISE_MASS
    subtitle = "Probability among all tokens (0 to 1); slim bars: chance, uniform over the concepts in the problem"
    if noisy.any():
        subtitle += f"<br><b>⚠ candidate mass below {NOISE_MASS:g}: a normalised distribution there is noise</b>"
    said = ", ".join(f"{m:.2f} after {k}" for k, m in zip(depths, candidate.values, strict=True) if not np.isnan(m))
    made = figure(
        f"Where the mass lies · {readout}",
        subtitle,
        f"Stacked bars of mass by node class, {readout}. Candidate mass by number of thoughts: {said}.",
        barmode="stack", height=430, bargap=0.3,
        margin={"l": 56, "r": 16, "t": 108 if noisy.any() else 92, "b": 104}, title_pad_b=50 if noisy.any() else 34,
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "traceorder": "normal"},
        xaxis={
            "tickvals": depths, "showgrid": False, "range": [depths[0] - 0.55, depths[-1] + 0.6],
            "ticktext": [f"{k}<br>hop {hop}" for k, hop in zip(depths, scores.hops_read, strict=True)],
            "tickangle": 0, "title": {"text": "thoughts, and the hop that is read", "standoff": 4},
        },
        yaxis={"title": "raw mass", "range": [0, 1.26], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
    )  # fmt: skip
    if depth is not None:
        at = depths[scores.row(depth)]
        made.add_shape(
            type="rect", layer="below", x0=at - 0.47, x1=at + 0.5, y0=0, y1=1, yref="paper", fillcolor=alpha(SKY, 0.16),
            line={"width": 0},
        )  # fmt: skip
    for name in MASS_CLASSES:
        mass, chance = scores.mass_by_class[name], scores.chance_by_class[name]
        made.add_bar(
            x=depths, y=mass, name=CLASS_TITLES[name], width=0.56, legendgroup=name,
            customdata=[[k, c] for k, c in zip(depths, chance, strict=True)],
            marker={"color": CLASS_COLOURS[name], "line": {"width": 0}},
            hovertemplate=f"{CLASS_TITLES[name]}<br>mass %{{y:.3f}}, chance %{{customdata[1]:.3f}}<extra></extra>",
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        )  # fmt: skip
    for name in MASS_CLASSES[:-1]:
        made.add_bar(
            x=[k + 0.37 for k in depths], y=scores.chance_by_class[name], width=0.1, legendgroup=name, showlegend=False,
            name=f"chance: {CLASS_TITLES[name]}", customdata=[[k] for k in depths],
            marker={"color": alpha(CLASS_COLOURS[name], 0.55), "line": {"width": 0}},
            hovertemplate=f"chance of {CLASS_TITLES[name]}: %{{y:.3f}}<extra></extra>",
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        )  # fmt: skip
    for k, mass, chance, weak in zip(depths, candidate.values, candidate.chance, noisy, strict=True):
        text = (
            "no frontier"
            if np.isnan(mass)
            else f"<b>{mass:.2f}</b><br><span style='font-size:10px'>chance {chance:.2f}</span>"
        )
        made.add_annotation(
            x=k, y=1.01, yanchor="bottom", showarrow=False, text=f"⚠ {text}" if weak else text,
            font={"color": VERMILION} if weak else None, opacity=0.6 if np.isnan(mass) else 1,
        )  # fmt: skip
    made.add_hline(y=1, line={"color": FAINT, "width": 1})
    return made
