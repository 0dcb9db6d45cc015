"""Attention drawn on the edges of the graph: how much of it each edge gets, as width."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from workbench.figures.edges import curve
from workbench.figures.layout import Layout
from workbench.figures.palette import BLUE, alpha
from workbench.problems.problem import Problem

THINNEST, WIDEST = 0.8, 20.0
"""Width in pixels of an edge without attention, and of one that has all of it; linear in between."""
FADED = 0.4
"""Opacity of the graph's own edges under attention."""
HOVER = slice(4, 12)
"""Samples of a curve that show the number: its middle, clear of both nodes."""


@dataclass(frozen=True)
class EdgeAttention:
    """Attention of one column to the edges of one problem, of one head of a layer or summed over its heads."""

    column: str
    """What attends, in words: "thought 2", "the end of the prompt"."""
    layer: int
    """Counted from 0, as TransformerLens does."""
    head: int | None
    """Counted from 0; None for the sum over all."""
    total: int
    """All the attention there is: 1 for a head, their number for the sum."""
    weights: Float[np.ndarray, " edges"]
    """Attention to each edge, in the problem's order, of `total`."""
    elsewhere: dict[str, float]
    """Attention to everything else, of `total`: name to sum."""

    @property
    def on_edges(self) -> float:
        """Attention to all edges, of `total`."""
        return float(self.weights.sum())

    @property
    def chance(self) -> float:
        """What each edge would get if that were spread evenly over the edges."""
        return self.on_edges / len(self.weights)

    @property
    def title(self) -> str:
        """Name on the screen."""
        heads = "all heads" if self.head is None else f"head {self.head}"
        return f"attention of {self.column}, layer {self.layer}, {heads}"

    @property
    def shares(self) -> str:
        """Where the attention goes, in words and shares of `total`."""
        parts = {"edges": self.on_edges} | self.elsewhere
        return ", ".join(f"{name} {amount / self.total:.2f}" for name, amount in parts.items())


def draw_attention(
    figure: go.Figure, attention: EdgeAttention, problem: Problem, made: Layout, low: set[int], radius: np.ndarray
) -> None:
    """Add attention to a graph that has its edges and not yet its nodes; its own edges fade.

    Args:
        figure: The graph; its subtitle and alt text grow by a sentence.
        attention: What to draw.
        problem: The problem.
        made: Its layout.
        low: Nodes whose names hang lower.
        radius: Radius of each node in pixels.
    """
    figure.update_traces(opacity=FADED)
    curves = [curve(made, source, target, low) for source, target in problem.edges]
    order = np.argsort(attention.weights, kind="stable").tolist()  # the strongest on top
    for place, edge in enumerate(order):
        share, (x, y) = float(attention.weights[edge]) / attention.total, curves[edge]
        width, rim = THINNEST + (WIDEST - THINNEST) * share, float(radius[problem.edges[edge][1]]) + 1.5
        colour, last = alpha(BLUE, round(0.18 + 0.72 * share**0.5, 3)), len(x) - 1
        figure.add_scatter(
            x=x.round(3), y=y.round(3), mode="lines+markers", hoverinfo="skip", cliponaxis=False, name=attention.title,
            legendgroup="attention", showlegend=place == len(order) - 1, legendrank=1000,
            line={"color": colour, "width": width},
            marker={
                "symbol": "arrow", "angleref": "previous", "color": colour, "opacity": 1, "line": {"width": 0},
                "size": [0] * last + [6 + width], "standoff": [0] * last + [rim],
            },
            unselected={"marker": {"opacity": 1}},
        )  # fmt: skip
    _hover(figure, attention, problem, curves)
    layout: dict = figure.to_dict()["layout"]
    title = layout["title"]
    said = (
        f"<b>Width of an edge: {attention.title}</b>, 0 to {attention.total}; "
        f"chance {attention.chance:.3f}: spread evenly over the edges"
    )
    figure.update_layout(
        title_subtitle_text=f"{title['subtitle']['text']}<br>{said}",
        margin_t=layout["margin"]["t"] + 18, height=layout["height"] + 18, title_pad_b=title["pad"]["b"] + 18,
        meta={"alt": f"{layout['meta']['alt']} {_told(attention, problem)}"},
    )  # fmt: skip


def _hover(figure: go.Figure, attention: EdgeAttention, problem: Problem, curves: list) -> None:
    """Add what is read when the pointer is on an edge: its number, beside chance."""
    xs, ys, texts, nodes = [], [], [], []
    for (source, target), weight, (x, y) in zip(problem.edges, attention.weights.tolist(), curves, strict=True):
        middle = x[HOVER].round(3).tolist()
        share = weight / attention.on_edges if attention.on_edges else 0.0
        text = (
            f"<b>{problem.names[source]} → {problem.names[target]}</b><br>"
            f"attention {weight:.4f} of {attention.total} (chance {attention.chance:.4f})<br>"
            f"{share:.3f} of what goes to edges (chance {1 / len(problem.edges):.3f})"
        )
        xs += middle
        ys += y[HOVER].round(3).tolist()
        texts += [text] * len(middle)
        nodes += [[target]] * len(middle)
    figure.add_scatter(
        x=xs, y=ys, mode="markers", hovertext=texts, hoverinfo="text", customdata=nodes, name="attention, in numbers",
        showlegend=False, cliponaxis=False, marker={"size": 9, "color": BLUE, "opacity": 0},
        selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip


def _told(attention: EdgeAttention, problem: Problem) -> str:
    best = np.argsort(-attention.weights, kind="stable")[:3].tolist()
    most = ", ".join(
        f"{problem.names[problem.edges[e][0]]} to {problem.names[problem.edges[e][1]]} {attention.weights[e]:.2f}"
        for e in best
    )
    return f"Edges are as wide as the {attention.title}: most of it goes to {most}; chance {attention.chance:.3f}."
