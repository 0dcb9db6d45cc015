"""The problem's graph with a readout's values drawn on it."""

from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from workbench.errors import WorkbenchError
from workbench.figures.attention import EdgeAttention, draw_attention
from workbench.figures.edges import LABEL_DEPTH, STAGGER, edge_traces
from workbench.figures.layout import Layout, layout
from workbench.figures.palette import (
    BLUE,
    DIFFERENCE_SCALE,
    FAINT,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    VALUE_SCALE,
    alpha,
    figure,
)
from workbench.measure.scores import NOISE_MASS, READOUT_TITLES, NodeScores
from workbench.problems.graph import NODE_CLASSES
from workbench.problems.problem import Problem

ROW_PIXELS = 98
SMALLEST, LARGEST = 11.0, 34.0
"""Diameter in pixels of a node with no value and of one with all of it; the area grows with the value."""
NAME_DROP = 0.3
"""Rows from a node to its name: clear of the largest circle, the same whatever the value."""
TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)


def problem_graph(
    scores: NodeScores,
    depth: int,
    *,
    selected: int | None = None,
    compare: NodeScores | None = None,
    attention: EdgeAttention | None = None,
) -> go.Figure:
    """Draw the graph: row k holds the nodes at hop k, colour and size are the values after `depth` thoughts.

    Values are normalised over the concepts in the problem; colour and diameter follow their square root, so that the
    area is proportional to the value and a quarter is still well seen. Positions depend on the problem alone.

    Args:
        scores: One readout of one problem.
        depth: Number of thoughts, one of `scores.depths`.
        selected: Node to mark.
        compare: Scores of the same problem by another run, checkpoint or readout: the picture is then the difference
            of values, `scores` less `compare`.
        attention: What to draw on the edges as their width.

    Returns:
        A figure whose node markers have `customdata[0]` = node number; those on edges, of the node at the edge's end.

    Raises:
        WorkbenchError: There is no such depth, or `compare` is about another problem.
    """
    row, problem = scores.row(depth), scores.problem
    other = _other_values(scores, compare, depth)
    shown = np.nan_to_num(scores.value[row])
    drawn = shown if other is None else shown - np.nan_to_num(other)
    made = layout(problem)
    size = SMALLEST + (LARGEST - SMALLEST) * np.sqrt(np.abs(drawn))
    roles = _roles(problem)
    low = _hanging_low(made, [f"{name} {roles.get(n, '')}".strip() for n, name in enumerate(problem.names)])
    hop, mass = scores.hops_read[row], scores.candidate_mass[row]
    result = _empty(scores, depth, hop, mass, compare)
    _rows(result, scores, row, made)
    result.add_traces(edge_traces(problem, made, low, size / 2))
    if attention is not None:
        draw_attention(result, attention, problem, made, low, size / 2)
    _nodes(result, scores, row, drawn, other, size, made)
    _names(result, scores, made, low)
    if selected is not None:
        result.add_scatter(
            x=[made.x[selected]], y=[made.y[selected]], mode="markers", hoverinfo="skip", showlegend=False,
            name="selected", cliponaxis=False,
            marker={"symbol": "circle-open", "size": size[selected] + 14, "color": PURPLE, "line": {"width": 3}},
        )  # fmt: skip
    return result


def _other_values(scores: NodeScores, compare: NodeScores | None, depth: int) -> np.ndarray | None:
    if compare is None:
        return None
    if (compare.problem.names, compare.problem.edges) != (scores.problem.names, scores.problem.edges):
        raise WorkbenchError(
            "These two readings cannot be compared node by node.",
            f"One is of problem {scores.problem.id}, the other of problem {compare.problem.id}.",
            "Compare two runs, checkpoints or readouts on the same problem.",
        )
    return compare.value[compare.row(depth)]


def _empty(scores: NodeScores, depth: int, hop: int, mass: float, compare: NodeScores | None) -> go.Figure:
    problem, made, row = scores.problem, layout(scores.problem), scores.row(depth)
    readout = READOUT_TITLES[scores.readout]
    after = f"{depth} thought{'' if depth == 1 else 's'}"
    chance = int(scores.frontier_size[row]) * scores.chance_value
    if np.isnan(mass):
        subtitle = f"No node is at hop {hop}: there is no frontier to read."
    else:
        subtitle = f"Candidate mass (raw, on hop {hop}): <b>{mass:.3f}</b>, chance {chance:.3f}"
        if mass < NOISE_MASS:
            subtitle += " · <b>near zero: the normalised values below are noise</b>"
    title = f"After {after} · {readout}"
    if compare is not None:
        title += f" · {_label(scores, compare)} less {_label(compare, scores)}"
    best = np.argsort(-np.nan_to_num(scores.value[row]), kind="stable")[:3]
    leaders = ", ".join(f"{problem.names[n]} {scores.value[row, n]:.2f}" for n in best)
    right = made.band[1] if made.band else made.right
    return figure(
        title,
        subtitle,
        f"Reasoning graph of problem {problem.id}, rows by hop from {problem.names[problem.root]}. {title}. "
        f"Largest values: {leaders}.",
        height=int(ROW_PIXELS * (made.bottom + 1.07) + 230),
        margin={"l": 84, "r": 16, "t": 106, "b": 130}, title_pad_b=46,
        xaxis={"visible": False, "range": [made.left - 0.75, right + (0.1 if made.band else 0.75)]},
        yaxis={"visible": False, "range": [made.bottom + 0.62, -0.45]},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        hovermode="closest", dragmode="pan", clickmode="event+select", uirevision=problem.id,
    )  # fmt: skip


def _label(scores: NodeScores, beside: NodeScores) -> str:
    """Name what sets two scores apart."""
    same_run, same_readout = scores.checkpoint == beside.checkpoint, scores.readout == beside.readout
    if same_run and not same_readout:
        return READOUT_TITLES[scores.readout]
    return scores.checkpoint if same_readout else f"{scores.checkpoint} ({READOUT_TITLES[scores.readout]})"


def _rows(result: go.Figure, scores: NodeScores, row: int, made: Layout) -> None:
    """Draw the band of the hop read, the mass of every row at the left, and the frame of the side band."""
    about, current = scores.structure, scores.hops_read[row]
    value = np.nan_to_num(scores.value[row])
    for hop in range(made.rows):
        here, members = hop == current, about.hops == hop
        if here:
            result.add_shape(
                type="rect", layer="below", xref="x", yref="y", x0=made.left - 0.72, x1=made.right + 0.72,
                y0=hop - 0.38, y1=hop + LABEL_DEPTH + STAGGER + 0.02, fillcolor=alpha(SKY, 0.16),
                line={"color": alpha(BLUE, 0.55), "width": 1.2},
            )  # fmt: skip
        text = f"<b>{'▶ ' if here else ''}hop {hop}</b>"
        if hop:
            chance = (members & about.concepts).sum() * scores.chance_value
            text += f"<br>mass {value[members].sum():.2f}<br><span style='font-size:10px'>chance {chance:.2f}</span>"
        result.add_annotation(
            x=0, xref="paper", xshift=-8, xanchor="right", y=hop, yref="y", text=text, showarrow=False, align="right",
            font={"size": 12}, opacity=1 if here else 0.75,
        )  # fmt: skip
    if made.band:
        left, right = made.band
        outside = ~about.reachable & about.concepts
        result.add_shape(
            type="rect", layer="below", x0=left, x1=right, y0=-0.42, y1=made.bottom + 0.62,
            fillcolor=alpha(GREY, 0.07),
            line={"color": FAINT, "width": 1},
        )  # fmt: skip
        chance = outside.sum() * scores.chance_value
        result.add_annotation(
            x=(left + right) / 2, y=-0.42, yanchor="bottom", showarrow=False, font={"size": 11}, opacity=0.85,
            text=f"unreachable: mass {value[outside].sum():.2f}, chance {chance:.2f}",
        )  # fmt: skip


def _nodes(
    result: go.Figure,
    scores: NodeScores,
    row: int,
    drawn: np.ndarray,
    other: np.ndarray | None,
    size: np.ndarray,
    made: Layout,
) -> None:
    problem, about = scores.problem, scores.structure
    count = len(problem.names)
    symbol = np.full(count, "circle", dtype=object)
    symbol[[problem.root, problem.target, problem.negative]] = "square", "diamond", "triangle-down"
    # A diamond and a triangle fill less of their box than a circle of the same size.
    factor = np.select([symbol == "diamond", symbol == "triangle-down"], [1.2, 1.15], 1.0)
    outline = np.where(about.optimal, GREEN, "rgba(128,134,146,0.9)")
    outline[problem.negative] = PURPLE
    strong = about.optimal | np.isin(np.arange(count), (problem.negative, problem.root))
    rooted = np.sign(drawn) * np.sqrt(np.abs(drawn))
    signed = other is not None
    ticks = [*(-t for t in TICKS[:0:-1]), *TICKS] if signed else list(TICKS)
    what = "difference of values" if signed else f"value, {READOUT_TITLES[scores.readout]}"
    result.add_scatter(
        x=made.x, y=made.y, mode="markers", showlegend=False, name="nodes", cliponaxis=False,
        customdata=[[node] for node in range(count)], hovertext=_hover(scores, row, other), hoverinfo="text",
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        marker={
            "symbol": symbol, "size": size * factor, "opacity": 1,
            "color": rooted, "cmin": -1 if signed else 0, "cmax": 1,
            "colorscale": DIFFERENCE_SCALE if signed else VALUE_SCALE,
            "line": {"color": outline, "width": np.where(strong, 3.0, 1.0)},
            "colorbar": {
                "orientation": "h", "thickness": 9, "len": 0.42, "x": 0, "xanchor": "left", "y": 0, "yanchor": "top",
                "ypad": 24, "xpad": 0, "outlinewidth": 0, "tickvals": [np.sign(t) * abs(t) ** 0.5 for t in ticks],
                "ticktext": [f"{t:g}" for t in ticks], "tickfont": {"size": 10},
            },
        },
    )  # fmt: skip
    result.add_annotation(
        x=0, xref="paper", xanchor="left", y=0, yref="paper", yshift=-6, yanchor="top", showarrow=False,
        font={"size": 11},
        text=f"<b>{what}</b>: share of the mass on the {int(about.concepts.sum())} concepts, "
        f"{'−1 to 1, chance 0' if signed else f'0 to 1, chance {scores.chance_value:.3f}'}",
    )  # fmt: skip
    for name, shape, colour in (
        ("root", "square", GREEN),
        ("target", "diamond", GREEN),
        ("negative", "triangle-down", PURPLE),
    ):
        result.add_scatter(
            x=[None], y=[None], mode="markers", name=name, hoverinfo="skip",
            marker={"symbol": f"{shape}-open", "size": 11, "color": colour, "line": {"width": 2.5}},
        )  # fmt: skip


def _hover(scores: NodeScores, row: int, other: np.ndarray | None) -> list[str]:
    problem, about = scores.problem, scores.structure
    classes = [NODE_CLASSES[code] for code in scores.node_class[row]]
    roles = {problem.root: " · root", problem.target: " · target", problem.negative: " · negative"}
    concepts = int(about.concepts.sum())
    texts = []
    for node, name in enumerate(problem.names):
        hop = f"hop {about.hops[node]}" if about.reachable[node] else "not reachable"
        value = scores.value[row, node]
        lines = [f"<b>{name}</b>{roles.get(node, '')}"]
        if about.concepts[node]:
            lines.append(
                f"value {value:.4f} (chance {scores.chance_value:.4f}), rank {scores.rank[row, node]:g} of {concepts}"
            )
        else:
            lines.append("entity: no value among the concepts")
        lines.append(f"raw probability {scores.raw[row, node]:.3g}")
        if other is not None:
            lines.append(f"other value {other[node]:.4f}, difference {value - other[node]:+.4f}")
        lines.append(f"{hop} · height {about.longest_height[node]} longest, {about.shortest_height[node]} shortest")
        lines.append(f"class: {classes[node]}")
        texts.append("<br>".join(lines))
    return texts


def _hanging_low(made: Layout, labels: list[str]) -> set[int]:
    """Return every second node of the rows whose names would touch at a width of 700 pixels."""
    right = made.band[1] if made.band else made.right + 0.75
    room = (right - made.left + 0.75) / (700 - 100)  # node distances per pixel
    half = [len(name) * 3.1 + 3 for name in labels]
    low: set[int] = set()
    for level in np.unique(made.y.round(3)):
        row = np.flatnonzero(np.isclose(made.y, level, atol=1e-3))
        row = row[np.argsort(made.x[row])]
        for before, node in pairwise(row):
            if made.x[node] - made.x[before] < (half[node] + half[before]) * room and before not in low:
                low.add(int(node))
    return low


def _roles(problem: Problem) -> dict[int, str]:
    return {problem.root: "ROOT", problem.target: "TARGET", problem.negative: "NEGATIVE"}


def _name(problem: Problem, node: int) -> str:
    name, role = problem.names[node], _roles(problem).get(node)
    return f"<b>{name}</b> <span style='font-size:9px'>{role}</span>" if role else name


def _names(result: go.Figure, scores: NodeScores, made: Layout, low: set[int]) -> None:
    problem, about = scores.problem, scores.structure
    for members, opacity in ((about.reachable, 1.0), (~about.reachable, 0.7)):
        nodes = np.flatnonzero(members).tolist()
        result.add_scatter(
            x=made.x[nodes], y=[made.y[n] + NAME_DROP + (STAGGER if n in low else 0) for n in nodes], mode="text",
            text=[_name(problem, n) for n in nodes],
            textfont={"size": 11.5}, opacity=opacity, hoverinfo="skip", showlegend=False, cliponaxis=False,
            name="names",
        )  # fmt: skip
