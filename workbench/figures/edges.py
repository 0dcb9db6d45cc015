"""The edges of the graph as curves: down to the next row, arcs along a row, side loops back up."""

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from workbench.figures.layout import Layout
from workbench.figures.palette import GREEN, alpha
from workbench.problems.graph import structure
from workbench.problems.problem import Problem

SAMPLES = np.append(np.linspace(0, 0.84, 15), 1.0)
"""Places on a curve; the last piece is long, since the arrow head takes its direction."""
LABEL_DEPTH = 0.47
"""Where an edge leaves its source, in rows below it: under the name, so that it does not cross it."""
STAGGER = 0.15
"""Rows by which every second name of a crowded row hangs lower."""
EDGE_GREY = "#8A919E"


def edge_traces(problem: Problem, made: Layout, low: set[int], radius: np.ndarray) -> list[go.Scatter]:
    """Return the edges as traces, one per kind; each ends in an arrow head at the rim of its node.

    Args:
        problem: The problem.
        made: Its layout.
        low: Nodes whose names hang lower.
        radius: Radius of each node in pixels.
    """
    about = structure(problem)
    path, forward, other, side, joining = [], [], [], [], []
    for edge in problem.edges:
        source, target = edge
        if about.reachable[source] and about.reachable[target]:
            if about.optimal[source] and about.optimal[target] and about.hops[target] == about.hops[source] + 1:
                path.append(edge)
            elif about.hops[target] == about.hops[source] + 1:
                forward.append(edge)
            else:
                other.append(edge)
        else:
            (joining if about.reachable[target] else side).append(edge)
    hidden: bool | str = "legendonly"
    kinds = [
        ("from an unreachable node (click)", joining, alpha(EDGE_GREY, 0.35), 1.0, "2px,3px", hidden),
        ("among unreachable nodes", side, alpha(EDGE_GREY, 0.45), 1.0, "solid", True),
        ("edge to any other row", other, alpha(EDGE_GREY, 0.6), 1.1, "5px,4px", True),
        ("edge to the next hop", forward, alpha(EDGE_GREY, 0.9), 1.3, "solid", True),
        ("on a shortest path", path, GREEN, 2.6, "solid", True),
    ]
    traces = []
    for name, edges, colour, width, dash, shown in kinds:
        if edges:
            curves = [curve(made, source, target, low) for source, target in edges]
            traces.append(_trace(name, curves, [float(radius[b]) for _, b in edges], colour, width, dash, shown))
    return traces


def curve(made: Layout, source: int, target: int, low: set[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of one edge from below the source's name to the centre of the target."""
    drop = LABEL_DEPTH + (STAGGER if source in low else 0)
    start, end = np.array([made.x[source], made.y[source]]), np.array([made.x[target], made.y[target]])
    across = end[0] - start[0]
    if end[1] - start[1] > drop + 0.1:
        start = _shift(start, 0.0, drop)
        reach, lean = (end[1] - start[1]) * 0.55, float(np.clip(-across * 0.1, -0.3, 0.3))
        points = [start, _shift(start, 0.0, reach * 0.9), _shift(end, lean, -reach), end]
    elif abs(across) > 0.05 and abs(end[1] - start[1]) < 0.05:
        rise = 0.42 + 0.06 * min(abs(across), 5)
        points = [start, _shift(start, across * 0.15, -rise), _shift(end, -across * 0.15, -rise), end]
    else:
        # Back up (or too close below): leave sideways and come in from the side and below.
        away = np.sign(across) or 1.0
        lift = max((start[1] - end[1]) * 0.25, 0.1)
        points = [start, _shift(start, away * 0.6, -lift), _shift(end, -away * 0.7, lift), end]
    t = SAMPLES[:, None]
    weights = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    along = np.sum([weight * point for weight, point in zip(weights, points, strict=True)], axis=0)
    return along[:, 0], along[:, 1]


def _shift(point: np.ndarray, right: float, down: float) -> np.ndarray:
    return point + np.array([right, down])


def _trace(
    name: str,
    curves: Iterable[tuple[np.ndarray, np.ndarray]],
    radii: Iterable[float],
    colour: str,
    width: float,
    dash: str,
    visible: bool | str,
) -> go.Scatter:
    xs, ys, sizes, standoffs = [], [], [], []
    for (x, y), radius in zip(curves, radii, strict=True):
        xs += [*x.round(3).tolist(), None]
        ys += [*y.round(3).tolist(), None]
        sizes += [0] * (len(x) - 1) + [5 + 2 * width, 0]
        standoffs += [0] * (len(x) - 1) + [radius + 1.5, 0]
    return go.Scatter(
        x=xs, y=ys, name=name, mode="lines+markers", visible=visible, hoverinfo="skip", cliponaxis=False,
        legendrank=1100,
        line={"color": colour, "width": width, "dash": dash},
        marker={
            "symbol": "arrow", "angleref": "previous", "size": sizes, "standoff": standoffs, "color": colour,
            "opacity": 1, "line": {"width": 0},
        },
        unselected={"marker": {"opacity": 1}},
    )  # fmt: skip
