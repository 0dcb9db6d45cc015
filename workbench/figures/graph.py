"""The problem's graph with a readout's values drawn on it, and attention along its edges."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale

from workbench.errors import WorkbenchError
from workbench.figures.labels import (
    DROP,
    FONT,
    MARGINS,
    ROLE_FONT,
    STAGGER,
    UNDER,
    Labels,
    place_labels,
    text_width,
)
from workbench.figures.layout import Layout, layout
from workbench.figures.style import (
    BLUE,
    DIFFERENCE_SCALE,
    FAINT,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    STILL,
    VALUE_SCALE,
    alpha,
    entry,
    figure,
    plural,
    readable_on,
    root_bar,
    told,
    write,
)
from workbench.measure.scores import NOISE_MASS, READOUT_TITLES, NodeScores
from workbench.problems.graph import NODE_CLASSES, structure
from workbench.problems.problem import Problem

ROW_PIXELS, ABOVE = 98, 0.38
"""Height of a row in pixels, and rows above the first."""
SMALLEST, LARGEST = 11.0, 34.0
"""Diameter in pixels of a node with no value and of one with all of it; the area grows with the value."""
SAMPLES = np.append(np.linspace(0, 0.84, 15), 1.0)
"""Places on a curve; the last piece is long, since the arrow head takes its direction."""
THINNEST, WIDEST = 0.8, 20.0
"""Width in pixels of an edge without attention, and of one that has all of it; linear in between."""
FADED = 0.4
"""Opacity of the graph's own edges under attention."""
HOVER = slice(4, 12)
"""Samples of a curve that show the number: its middle, clear of both nodes."""
LEAST_NUMBER, TIMES_CHANCE, LEAST_DIFFERENCE = 0.05, 2, 0.1
"""From where on a node's value is written in it, in itself and times chance; and from where on a difference is, since a
smaller node has no room for its sign."""
NUMBER_SIZES, DIGIT_HEIGHT = (8.0, 12.0), 0.72
"""Smallest and largest font of a number in a node, in pixels; and how high digits are, in parts of the font's size."""
ROLES = {"root": ("square", GREEN), "target": ("diamond", GREEN), "negative": ("triangle-down", PURPLE)}
"""Shape and colour of the nodes that the question is about."""


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


def problem_graph(
    scores: NodeScores,
    depth: int,
    *,
    selected: int | None = None,
    compare: NodeScores | None = None,
    compare_depth: int | None = None,
    attention: EdgeAttention | None = None,
) -> go.Figure:
    """Draw the graph: row k holds the nodes at hop k, colour and size are the values after `depth` thoughts.

    Values are normalised over the concepts in the problem; colour and diameter follow their square root, so that the
    area is proportional to the value and a quarter is still well seen. Positions depend on the problem alone. In a node
    stands its value where it is .05 or more and at least twice chance, or its difference where it is .1 or more.

    Args:
        scores: One readout of one problem.
        depth: Number of thoughts, one of `scores.depths`.
        selected: Node to mark.
        compare: Scores of another run, checkpoint or readout, or of another question on the same graph: the picture is
            then the difference of values, `scores` less `compare`.
        compare_depth: Number of thoughts of `compare`; by default the same.
        attention: What to draw on the edges as their width.

    Returns:
        A figure whose node markers have `customdata[0]` = node number; those on edges, of the node at the edge's end.

    Raises:
        WorkbenchError: There is no such depth, or `compare` is about another graph.
    """
    row, problem = scores.row(depth), scores.problem
    at = depth if compare_depth is None else compare_depth
    other = _other_values(scores, compare, at)
    shown = np.nan_to_num(scores.value[row])
    drawn = shown if other is None else shown - np.nan_to_num(other)
    made = layout(problem)
    size = SMALLEST + (LARGEST - SMALLEST) * np.sqrt(np.abs(drawn))
    roles = {getattr(problem, role): role for role in ROLES}
    labels = place_labels(problem, made, roles)
    result = _empty(scores, depth, compare, at, attention, labels)
    _rows(result, scores, row, drawn, made, labels, signed=other is not None)
    result.add_traces(edge_traces(problem, made, labels.below, size / 2))
    if attention is not None:
        draw_attention(result, attention, problem, made, labels.below, size / 2)
    _nodes(result, scores, row, drawn, other, size, made, roles)
    _names(result, scores, made, labels, roles)
    _numbers(result, drawn, made, scores.chance_value, signed=other is not None)
    if selected is not None:
        result.add_scatter(
            x=[made.x[selected]], y=[made.y[selected]], mode="markers", hoverinfo="skip", showlegend=False,
            name="selected", cliponaxis=False,
            marker={"symbol": "circle-open", "size": size[selected] + 14, "color": BLUE, "line": {"width": 3}},
        )  # fmt: skip
    return result


def sum_graph(
    scores: NodeScores, depth: int, weights: Float[np.ndarray, "K nodes"], explained: float, chance: float, *,
    selected: int | None = None,
) -> go.Figure:  # fmt: skip
    """Draw a thought as a sum of node vectors: colour and size are each node's weight, a share of all weights.

    Args:
        scores: Of the problem, for the numbers of thoughts and the hops that they are read as.
        depth: Number of the thought.
        weights: Of each node in thoughts 1..K, shares that sum to one.
        explained: Share of the thought that the sum explains.
        chance: What as many random directions explain.
        selected: Node to mark.

    Raises:
        WorkbenchError: There is no such depth.
    """
    hops = tuple(scores.hops_read[scores.row(k)] for k in range(1, len(weights) + 1))
    own = replace(scores, readout="lm_head", depths=tuple(range(1, len(weights) + 1)), hops_read=hops, raw=weights)
    made, row = problem_graph(own, depth, selected=selected), weights[depth - 1]
    here = scores.structure.hops == hops[depth - 1]
    hovers = [f"<b>{name}</b><br>weight {weight:.3f}" for name, weight in zip(own.problem.names, row, strict=True)]
    made.update_traces(hovertext=hovers, selector={"name": "nodes"})
    made.for_each_annotation(
        lambda note: note.update(
            text=note.text.replace("value, LM head</b>: share of the mass", "weight</b>: share of all weights")
            .replace("value", "weight")
        )
    )  # fmt: skip
    said = f"Weights of zero or more; the sum explains {explained:.0%} of the thought (random directions {chance:.0%})"
    subtitle = f"{said}. On hop {hops[depth - 1]}: <b>{row[here].sum():.3f}</b> of the weights"
    return told(
        made.update_layout(title={"text": f"Thought {depth} as a sum of node codes", "subtitle": {"text": subtitle}}),
        f"Thought {depth} of problem {own.problem.id} as a sum of node codes. {said}.",
    )


def _other_values(scores: NodeScores, compare: NodeScores | None, depth: int) -> np.ndarray | None:
    return None if compare is None else compare.value[compare.row(depth)][_same_nodes(scores, compare)]


def _same_nodes(scores: NodeScores, compare: NodeScores) -> list[int]:
    """Return the other scores' number of each node: a question's text gives the same graph in another order."""
    first, second = (
        {(one.names[source], one.names[target]) for source, target in one.edges}
        for one in (scores.problem, compare.problem)
    )
    if {*scores.problem.names} != {*compare.problem.names} or first != second:
        raise WorkbenchError(
            "These two readings cannot be compared node by node.",
            f"Problems {scores.problem.id} and {compare.problem.id} are about different graphs.",
            "Compare two runs, checkpoints or readouts on the same problem, or two questions about one graph.",
        )
    return [compare.problem.names.index(name) for name in scores.problem.names]


def _empty(
    scores: NodeScores, depth: int, compare: NodeScores | None, compare_depth: int, attention: EdgeAttention | None,
    labels: Labels,
) -> go.Figure:  # fmt: skip
    problem, row = scores.problem, scores.row(depth)
    hop, mass = scores.hops_read[row], scores.candidate_mass[row]
    names = _labels(scores, depth, compare, compare_depth) if compare is not None else ("", "")
    if np.isnan(mass):
        subtitle = f"No node is at hop {hop}: there is no frontier to read."
    else:
        masses, least = f"<b>{mass:.3f}</b>", mass
        if compare is not None:
            beside = _mass_beside(scores, depth, compare, compare_depth)
            masses += f" ({names[0]}), <b>{beside:.3f}</b> ({names[1]})"
            least = min(mass, compare.candidate_mass[compare.row(compare_depth)])
        subtitle = f"Raw mass on hop {hop}: {masses}, chance {_even(scores, 'on_frontier', row)}"
        if least < NOISE_MASS:
            subtitle += " · <b>near zero: the normalised values below are noise</b>"
        elif compare is None and scores.on_frontier[row, problem.target]:
            other = scores.mass_without_target[row]
            beside = f"<b>{other:.3f}</b>, chance {_even(scores, 'without_target', row)}"
            subtitle += f" · without the target: {'no node' if np.isnan(other) else beside}"
    title = f"After {plural(depth, 'thought')} · {READOUT_TITLES[scores.readout]}"
    if compare is not None:
        title += f" · {names[0]} less {names[1]}"
    best = np.argsort(-np.nan_to_num(scores.value[row]), kind="stable")[:3]
    leaders = ", ".join(f"{problem.names[n]} {scores.value[row, n]:.2f}" for n in best)
    alt = f"Reasoning graph of problem {problem.id}, rows by hop from {problem.names[problem.root]}. {title}. "
    alt += f"Largest values: {leaders}."
    if attention is not None:
        subtitle += (
            f"<br><b>Width of an edge: {attention.title}</b>, 0 to {attention.total}; "
            f"chance {attention.chance:.3f}: spread evenly over the edges"
        )
        alt += f" {_told(attention, problem)}"
    return figure(
        title, subtitle, alt, above=14, plot=int(ROW_PIXELS * (labels.foot + ABOVE)), below=56,
        margin_l=MARGINS[0], margin_r=MARGINS[1],
        xaxis={"visible": False, "range": list(labels.span)}, yaxis={"visible": False, "range": [labels.foot, -ABOVE]},
        legend_traceorder=None, hovermode="closest", dragmode="pan", clickmode="event+select", uirevision=problem.id,
    )  # fmt: skip


def _even(scores: NodeScores, members: str, row: int) -> str:
    return f"{scores.even_mass(getattr(scores, members))[row]:.3f}"


def _labels(scores: NodeScores, depth: int, compare: NodeScores, compare_depth: int) -> tuple[str, str]:
    """Name what sets two scores apart: the run, the readout, the question, the number of thoughts."""
    pair = ((scores, depth), (compare, compare_depth))
    told = [
        [one.checkpoint for one, _ in pair],
        [READOUT_TITLES[one.readout] for one, _ in pair],
        [f"{one.problem.names[one.problem.root]} to {one.problem.names[one.problem.target]}" for one, _ in pair],
        [plural(number, "thought") for _, number in pair],
    ]
    apart = [both for both in told if both[0] != both[1]] or told[:1]
    first, second = (", ".join(both[place] for both in apart) for place in (0, 1))
    return first, second


def _mass_beside(scores: NodeScores, depth: int, compare: NodeScores, compare_depth: int) -> float:
    """Return the mass of the other scores at the hop of the first: on the same nodes, or those of its own question."""
    row, roots = compare.row(compare_depth), [one.problem.names[one.problem.root] for one in (scores, compare)]
    if roots[0] != roots[1]:
        return float(compare.candidate_mass[row])
    return float(compare.raw[row, _same_nodes(scores, compare)][scores.on_frontier[scores.row(depth)]].sum())


def _rows(
    result: go.Figure, scores: NodeScores, row: int, drawn: np.ndarray, made: Layout, labels: Labels, *, signed: bool
) -> None:  # fmt: skip
    """Draw the band of the hop read, the values of every row at the left, and the frame of the side band."""
    about, current = scores.structure, scores.hops_read[row]

    def told(members: np.ndarray) -> tuple[str, str]:
        """Return the sum of what is drawn at some nodes, and its chance level."""
        if signed:
            return f"value {round(drawn[members].sum(), 2) + 0:+.2f}".replace("-", "−"), "chance 0"
        return f"value {drawn[members].sum():.2f}", f"chance {members.sum() * scores.chance_value:.2f}"

    for hop in range(made.rows):
        here, members = hop == current, about.hops == hop
        if here:
            result.add_shape(
                type="rect", layer="below", xref="x", yref="y", x0=made.left - 0.72, x1=made.right + 0.72,
                y0=hop - 0.38, y1=hop + max(labels.below[members].max(initial=0), DROP + STAGGER + UNDER) + 0.02,
                fillcolor=alpha(SKY, 0.16),
                line={"color": alpha(BLUE, 0.55), "width": 1.2},
            )  # fmt: skip
        text = f"<b>{'▶ ' if here else ''}hop {hop}</b>"
        if hop:
            value, chance = told(members & about.concepts)
            text += f"<br>{value}<br><span style='font-size:10px'>{chance}</span>"
        place = {"xref": "paper", "xshift": -8, "xanchor": "right", "yref": "y", "align": "right"}
        write(result, text, 0, hop, 12, opacity=1 if here else 0.75, **place)
    if made.band:
        left, right = made.band
        outside = ~about.reachable & about.concepts
        result.add_shape(
            type="rect", layer="below", x0=left, x1=right, y0=0.03 - ABOVE, y1=labels.foot,
            fillcolor=alpha(GREY, 0.07), line={"color": FAINT, "width": 1},
        )  # fmt: skip
        text = f"unreachable: {', '.join(told(outside))}"
        write(result, text, right, 0.03 - ABOVE, 11, xanchor="right", yanchor="bottom", opacity=0.85)


def _nodes(
    result: go.Figure, scores: NodeScores, row: int, drawn: np.ndarray, other: np.ndarray | None, size: np.ndarray,
    made: Layout, roles: dict[int, str],
) -> None:  # fmt: skip
    problem, about = scores.problem, scores.structure
    count, signed = len(problem.names), other is not None
    symbol = np.array([ROLES[roles[node]][0] if node in roles else "circle" for node in range(count)], object)
    # A diamond and a triangle fill less of their box than a circle of the same size.
    factor = np.select([symbol == "diamond", symbol == "triangle-down"], [1.2, 1.15], 1.0)
    outline = np.where(about.optimal, GREEN, "rgba(128,134,146,0.9)")
    outline[problem.negative] = PURPLE
    strong = about.optimal | np.isin(np.arange(count), (problem.negative, problem.root))
    what = "difference of values" if signed else f"value, {READOUT_TITLES[scores.readout]}"
    result.add_scatter(
        x=made.x, y=made.y, mode="markers", showlegend=False, name="nodes", cliponaxis=False,
        customdata=[[node] for node in range(count)], hovertext=_hover(scores, row, other, roles), hoverinfo="text",
        **STILL,
        marker={
            "symbol": symbol, "size": size * factor, "opacity": 1,
            "color": np.sign(drawn) * np.sqrt(np.abs(drawn)), "cmin": -1 if signed else 0, "cmax": 1,
            "colorscale": DIFFERENCE_SCALE if signed else VALUE_SCALE,
            "line": {"color": outline, "width": np.where(strong, 3.0, 1.0)},
            "colorbar": root_bar(signed=signed) | {"ypad": 24},
        },
    )  # fmt: skip
    write(
        result, f"<b>{what}</b>: share of the mass on the {int(about.concepts.sum())} concepts, "
        f"{'−1 to 1, chance 0' if signed else f'0 to 1, chance {scores.chance_value:.3f}'}",
        0, 0, 11, xref="paper", xanchor="left", xshift=8 - MARGINS[0], yref="paper", yshift=-6, yanchor="top",
    )  # fmt: skip
    for name, (shape, colour) in ROLES.items():
        entry(result, name, f"{shape}-open", colour, line={"width": 2.5})


def _hover(scores: NodeScores, row: int, other: np.ndarray | None, roles: dict[int, str]) -> list[str]:
    about, concepts, texts = scores.structure, int(scores.structure.concepts.sum()), []
    for node, name in enumerate(scores.problem.names):
        hop = f"hop {about.hops[node]}" if about.reachable[node] else "not reachable"
        value, said = scores.value[row, node], "entity: no value among the concepts"
        if about.concepts[node]:
            said = (
                f"value {value:.4f} (chance {scores.chance_value:.4f}), rank {scores.rank[row, node]:g} of {concepts}"
            )
        lines = [f"<b>{name}</b>{f' · {roles[node]}' if node in roles else ''}", said]
        lines.append(f"raw probability {scores.raw[row, node]:.3g}")
        if other is not None:
            lines.append(f"other value {other[node]:.4f}, difference {value - other[node]:+.4f}")
        lines.append(f"{hop} · height {about.longest_height[node]} longest, {about.shortest_height[node]} shortest")
        lines.append(f"class: {NODE_CLASSES[scores.node_class[row][node]]}")
        texts.append("<br>".join(lines))
    return texts


def _names(result: go.Figure, scores: NodeScores, made: Layout, labels: Labels, roles: dict[int, str]) -> None:
    text = [
        f"<b>{name}</b> <span style='font-size:{ROLE_FONT:g}px'>{roles[n].upper()}</span>" if n in roles else name
        for n, name in enumerate(labels.names)
    ]
    for members, opacity in ((scores.structure.reachable, 1.0), (~scores.structure.reachable, 0.75)):
        nodes = np.flatnonzero(members)
        result.add_scatter(
            x=made.x[nodes], y=made.y[nodes] + labels.drop[nodes], mode="text", text=[text[n] for n in nodes.tolist()],
            name="names", textfont={"size": FONT}, opacity=opacity, hoverinfo="skip", showlegend=False,
            cliponaxis=False,
        )  # fmt: skip


def _numbers(result: go.Figure, drawn: np.ndarray, made: Layout, chance: float, *, signed: bool) -> None:
    """Write the largest values into their nodes, in black or white, whichever is better read on the node's colour."""
    least = LEAST_DIFFERENCE if signed else max(LEAST_NUMBER, TIMES_CHANCE * chance)
    nodes = np.flatnonzero(np.abs(drawn) >= least).tolist()
    traces: Any = result.data
    marker = next(one.marker for one in traces if one.name == "nodes")
    scale = DIFFERENCE_SCALE if signed else VALUE_SCALE
    places = [(marker.color[node] - marker.cmin) / (marker.cmax - marker.cmin) for node in nodes]
    text = [short_number(float(drawn[node]), signed=signed) for node in nodes]
    # The box of a number fits into the circle inside the outline; a triangle has less room.
    room = [marker.size[n] * (0.72 if marker.symbol[n] == "triangle-down" else 1.0) - 2 for n in nodes]
    fonts = [wide / np.hypot(text_width(said, 1.0), DIGIT_HEIGHT) for wide, said in zip(room, text, strict=True)]
    result.add_scatter(
        x=made.x[nodes], y=made.y[nodes], mode="text", text=text, name="numbers", hoverinfo="skip", showlegend=False,
        cliponaxis=False, textfont={
            "size": np.clip(fonts, *NUMBER_SIZES).round(1),
            "color": [readable_on(str(one)) for one in sample_colorscale(scale, places)],
        },
    )  # fmt: skip


def short_number(value: float, *, signed: bool = False) -> str:
    """Return a fraction with two digits and no leading zero, and a value that is not quite one as such.

    Examples:
        >>> short_number(0.6221), short_number(0.9981), short_number(-0.31, signed=True)
        ('.62', '>.99', '−.31')
    """
    size = abs(value)
    said = "1" if size == 1 else ">.99" if size >= 0.995 else f"{size:.2f}".lstrip("0")
    return f"{'−' if value < 0 else '+'}{said}" if signed else said


# Edges: down to the next row, arcs along a row, side loops back up


def edge_traces(problem: Problem, made: Layout, below: np.ndarray, radius: np.ndarray) -> list[go.Scatter]:
    """Return the edges as traces, one per kind; each ends in an arrow head at the rim of its node.

    Args:
        problem: The problem.
        made: Its layout.
        below: Rows from each node to where its edges leave, under its name.
        radius: Radius of each node in pixels.
    """
    about = structure(problem)
    kinds = {
        "from an unreachable node (click)": (alpha(GREY, 0.35), 1.0, "2px,3px"),
        "among unreachable nodes": (alpha(GREY, 0.45), 1.0, "solid"),
        "edge to any other row": (alpha(GREY, 0.6), 1.1, "5px,4px"),
        "edge to the next hop": (alpha(GREY, 0.9), 1.3, "solid"),
        "on a shortest path": (GREEN, 2.6, "solid"),
    }
    joining, side, other, forward, path = kinds
    members: dict[str, list[tuple[int, int]]] = {name: [] for name in kinds}
    for source, target in problem.edges:
        if not (about.reachable[source] and about.reachable[target]):
            kind = joining if about.reachable[target] else side
        elif about.hops[target] != about.hops[source] + 1:
            kind = other
        else:
            kind = path if about.optimal[source] and about.optimal[target] else forward
        members[kind].append((source, target))
    traces = []
    for name, (colour, width, dash) in kinds.items():
        xs, ys, sizes, rims = [], [], [], []
        for source, target in members[name]:
            x, y = curve(made, source, target, below)
            xs += [*x.round(3).tolist(), None]
            ys += [*y.round(3).tolist(), None]
            sizes += [0] * (len(x) - 1) + [5 + 2 * width, 0]
            rims += [0] * (len(x) - 1) + [float(radius[target]) + 1.5, 0]
        if xs:
            traces.append(
                go.Scatter(
                    x=xs, y=ys, name=name, visible="legendonly" if name == joining else True, legendrank=1100,
                    line={"color": colour, "width": width, "dash": dash}, **_arrows(colour, sizes, rims),
                )
            )  # fmt: skip
    return traces


def _arrows(colour: str, sizes: list, rims: list) -> dict[str, Any]:
    """Return what curves with an arrow head share: sizes of all points, 0 but at the head, and its distance."""
    return {
        "mode": "lines+markers", "hoverinfo": "skip", "cliponaxis": False, "unselected": STILL["unselected"],
        "marker": {
            "symbol": "arrow", "angleref": "previous", "size": sizes, "standoff": rims, "color": colour, "opacity": 1,
            "line": {"width": 0},
        },
    }  # fmt: skip


def curve(made: Layout, source: int, target: int, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of one edge from below the source's name to the centre of the target."""

    def shift(point: np.ndarray, right: float, down: float) -> np.ndarray:
        return point + np.array([right, down])

    drop = float(below[source])
    start, end = np.array([made.x[source], made.y[source]]), np.array([made.x[target], made.y[target]])
    across = end[0] - start[0]
    if end[1] - start[1] > drop + 0.1:
        start = shift(start, 0.0, drop)
        reach, lean = (end[1] - start[1]) * 0.55, float(np.clip(-across * 0.1, -0.3, 0.3))
        points = [start, shift(start, 0.0, reach * 0.9), shift(end, lean, -reach), end]
    elif abs(across) > 0.05 and abs(end[1] - start[1]) < 0.05:
        rise = 0.42 + 0.06 * min(abs(across), 5)
        points = [start, shift(start, across * 0.15, -rise), shift(end, -across * 0.15, -rise), end]
    else:
        # Back up (or too close below): leave sideways and come in from the side and below.
        away = np.sign(across) or 1.0
        lift = max((start[1] - end[1]) * 0.25, 0.1)
        points = [start, shift(start, away * 0.6, -lift), shift(end, -away * 0.7, lift), end]
    t = SAMPLES[:, None]
    weights = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    along = np.sum([weight * point for weight, point in zip(weights, points, strict=True)], axis=0)
    return along[:, 0], along[:, 1]


# Attention, as the width of the edges


def draw_attention(
    figure: go.Figure, attention: EdgeAttention, problem: Problem, made: Layout, below: np.ndarray, radius: np.ndarray
) -> None:
    """Add attention to a graph that has its edges and not yet its nodes; its own edges fade.

    Args:
        figure: The graph.
        attention: What to draw.
        problem: The problem.
        made: Its layout.
        below: Rows from each node to where its edges leave, under its name.
        radius: Radius of each node in pixels.
    """
    figure.update_traces(opacity=FADED)
    curves = [curve(made, source, target, below) for source, target in problem.edges]
    order = np.argsort(attention.weights, kind="stable").tolist()  # the strongest on top
    for place, edge in enumerate(order):
        share, (x, y) = float(attention.weights[edge]) / attention.total, curves[edge]
        width, rim = THINNEST + (WIDEST - THINNEST) * share, float(radius[problem.edges[edge][1]]) + 1.5
        colour, last = alpha(BLUE, round(0.18 + 0.72 * share**0.5, 3)), len(x) - 1
        figure.add_scatter(
            x=x.round(3), y=y.round(3), name=attention.title, legendgroup="attention", legendrank=1000,
            showlegend=place == len(order) - 1, line={"color": colour, "width": width},
            **_arrows(colour, [0] * last + [6 + width], [0] * last + [rim]),
        )  # fmt: skip
    _attention_hover(figure, attention, problem, curves)


def _attention_hover(figure: go.Figure, attention: EdgeAttention, problem: Problem, curves: list) -> None:
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
