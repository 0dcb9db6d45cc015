"""One node over the thoughts."""

import numpy as np
import plotly.graph_objects as go

from workbench.figures.palette import BLUE, GREEN, GREY, PURPLE, SKY, alpha, figure
from workbench.measure.scores import READOUT_TITLES, NodeScores


def node_curve(scores: NodeScores, node: int, *, depth: int | None = None) -> go.Figure:
    """Draw a node's value over the thoughts with its chance level, target and negative beside it.

    The shaded column is where the readout stands for the node's own hop: a breadth-first search peaks there.

    Args:
        scores: One readout of one problem.
        node: The node to draw.
        depth: Number of thoughts to mark as the current one.

    Returns:
        A figure whose points have `customdata[0]` = number of thoughts.
    """
    problem, about, depths = scores.problem, scores.structure, list(scores.depths)
    readout, name, hop = READOUT_TITLES[scores.readout], problem.names[node], int(about.hops[node])
    where = "not reachable from the root" if hop < 0 else f"hop {hop}"
    heights = f"height {about.longest_height[node]} longest, {about.shortest_height[node]} shortest"
    lines = [(problem.target, "target", GREEN, "diamond"), (problem.negative, "negative", PURPLE, "triangle-down")]
    lines = [(n, f"{problem.names[n]} ({role})", colour, symbol) for n, role, colour, symbol in lines if n != node]
    roles = {problem.root: " (root)", problem.target: " (target)", problem.negative: " (negative)"}
    lines.append((node, name + roles.get(node, ""), BLUE, "circle"))
    shown = np.nan_to_num(scores.value[:, [n for n, *_ in lines]])
    values = ", ".join(
        f"{v:.2f} after {k}" for k, v in zip(depths, scores.value[:, node], strict=True) if not np.isnan(v)
    )
    top = max(float(shown.max()) * 1.12, 3 * scores.chance_value)
    ends = [depths[0] - 0.4, depths[-1] + 0.4]
    made = figure(
        f"{name} · {where} · {heights}",
        f"Value, {readout}: share of the mass on the problem's concepts, 0 to 1; chance {scores.chance_value:.3f}",
        f"Value of {name} ({where}) by number of thoughts, {readout}: {values or 'none, it is an entity'}.",
        height=340, margin={"l": 56, "r": 16, "t": 92, "b": 88},
        xaxis={"title": "thoughts", "tickvals": depths, "range": ends, "showgrid": False},
        yaxis={"title": "value", "range": [-0.03 * top, min(top, 1.04)], "zeroline": False},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        hovermode="x unified",
    )  # fmt: skip
    for k, read in zip(depths, scores.hops_read, strict=True):
        if read == hop:
            made.add_vrect(x0=k - 0.4, x1=k + 0.4, fillcolor=alpha(SKY, 0.16), line_width=0, layer="below")
            made.add_annotation(
                x=k, y=1, yref="paper", yanchor="top", text=f"reads hop {hop}", showarrow=False, font={"size": 10}
            )
    if depth is not None:
        made.add_vline(x=depths[scores.row(depth)], line={"color": GREY, "width": 1})
    made.add_scatter(
        x=ends, y=[scores.chance_value] * 2, mode="lines", name="chance",
        hoverinfo="skip",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    for number, label, colour, symbol in lines:
        main = number == node
        made.add_scatter(
            x=depths, y=scores.value[:, number], mode="lines+markers", name=label, cliponaxis=False,
            customdata=list(zip(depths, scores.raw[:, number], scores.rank[:, number], strict=True)),
            line={"color": colour, "width": 3 if main else 1.5, "dash": "solid" if main else "dot"},
            marker={"symbol": symbol, "size": 10 if main else 8},
            hovertemplate=f"{label}: %{{y:.3f}}, raw %{{customdata[1]:.3g}}, rank %{{customdata[2]}}<extra></extra>",
        )  # fmt: skip
    if not about.concepts[node]:
        made.add_annotation(
            x=0.5, y=0.6, xref="paper", yref="paper", showarrow=False, text="An entity: no value among the concepts."
        )
    return made
