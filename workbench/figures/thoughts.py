"""Figures of one problem over its thoughts: where the mass lies, one node, the likeliest tokens, the search tree."""

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.style import (
    BLUE,
    CLASS_COLOURS,
    DASHED,
    FAINT,
    GREEN,
    GREY,
    HERE,
    PURPLE,
    SKY,
    STILL,
    VALUE_SCALE,
    VERMILION,
    alpha,
    entry,
    figure,
    fit_legend,
    plural,
    require_rows,
    root_bar,
    shade,
    write,
)
from workbench.measure.arrays import Trace
from workbench.measure.run_labels import MODEL
from workbench.measure.run_labels import title as run_title
from workbench.measure.scores import MASS_CLASSES, NOISE_MASS, OUTSIDE, READOUT_TITLES, NodeScores, statistics
from workbench.problems.graph import NODE_CLASSES, node_classes, structure

CLASS_TITLES: dict[str, str] = {
    "optimal": "frontier, on a shortest path",
    "frontier": "frontier, off the path",
    "reachable elsewhere": "reachable at another hop",
    "unreachable": "not reachable",
    "outside the problem": "outside the problem",
}
"""The classes in full; "frontier" is the set of nodes at the hop read."""
_ROW = 104
"""Pixels from layer to layer."""
_NAME = 0.46
"""Layers from a node to the end of its two lines of text, where its edges begin."""
_SYMBOLS = {"root": "square", "target": "diamond", "negative": "triangle-down", "": "circle"}
_RULES = {True: {"color": GREY, "width": 1.5, "dash": "solid"}, False: {"color": GREY, "width": 1, "dash": "dot"}}
"""Edges to the first parent, and to any other."""


# Where the mass lies


def thought_strip(scores: NodeScores, *, depth: int | None = None) -> go.Figure:
    """Draw raw mass by node class as one stacked bar per number of thoughts, chance as a slim bar beside it.

    The frontier is at the bottom, so that the height of its two parts is the candidate mass printed above each bar.
    Chance is what a uniform distribution over the concepts in the problem would put on each class. A line in the bar is
    at the candidate mass without the target.

    Args:
        scores: One readout of one problem.
        depth: Number of thoughts to mark as the current one.

    Returns:
        A figure whose bars have `customdata[0]` = number of thoughts.
    """
    readout, depths = READOUT_TITLES[scores.readout], list(scores.depths)
    candidate, other = (statistics(scores)[name] for name in ("candidate_mass", "mass_without_target"))
    noisy = candidate.values < NOISE_MASS
    subtitle = "Probability among all tokens (0 to 1); slim bars: chance, uniform over the concepts in the problem"
    if noisy.any():
        subtitle += f"<br><b>⚠ candidate mass below {NOISE_MASS:g}: a normalised distribution there is noise</b>"
    said, rest = (
        ", ".join(f"{m:.2f} after {k}" for k, m in zip(depths, one.values, strict=True) if not np.isnan(m))
        for one in (candidate, other)
    )
    made = figure(
        f"Where the mass lies · {readout}",
        subtitle,
        f"Stacked bars of mass by node class, {readout}. Candidate mass by number of thoughts: {said}; "
        f"without the target: {rest}.",
        plot=230, below=16, barmode="stack", bargap=0.3,
        xaxis={
            "tickvals": depths, "showgrid": False, "range": [depths[0] - 0.55, depths[-1] + 0.6],
            "ticktext": [f"{k}<br>hop {hop}" for k, hop in zip(depths, scores.hops_read, strict=True)],
            "tickangle": 0, "title": {"text": "thoughts, and the hop that is read", "standoff": 4},
        },
        yaxis={"title": "raw mass", "range": [0, 1.26], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
    )  # fmt: skip
    if depth is not None:
        at = depths[scores.row(depth)]
        shade(made, at - 0.47, at + 0.5, name=HERE)
    for name in MASS_CLASSES:
        mass, chance = scores.mass_by_class[name], scores.chance_by_class[name]
        made.add_bar(
            x=depths, y=mass, name=CLASS_TITLES[name], width=0.56, legendgroup=name,
            customdata=[[k, c] for k, c in zip(depths, chance, strict=True)],
            marker={"color": CLASS_COLOURS[name], "line": {"width": 0}},
            hovertemplate=f"{CLASS_TITLES[name]}<br>mass %{{y:.3f}}, chance %{{customdata[1]:.3f}}<extra></extra>",
            **STILL,
        )  # fmt: skip
    for name in MASS_CLASSES[:-1]:
        made.add_bar(
            x=[k + 0.37 for k in depths], y=scores.chance_by_class[name], width=0.1, legendgroup=name, showlegend=False,
            name=f"chance: {CLASS_TITLES[name]}", customdata=[[k] for k in depths],
            marker={"color": alpha(CLASS_COLOURS[name], 0.55), "line": {"width": 0}},
            hovertemplate=f"chance of {CLASS_TITLES[name]}: %{{y:.3f}}<extra></extra>",
            **STILL,
        )  # fmt: skip
    made.add_scatter(
        x=depths, y=other.values, mode="markers", name=other.title,
        customdata=list(zip(depths, other.chance, strict=True)),
        marker={"symbol": "line-ew", "size": 26, "line": {"width": 2.5, "color": VERMILION}},
        hovertemplate=f"{other.title} %{{y:.3f}}, chance %{{customdata[1]:.3f}}<extra></extra>",
    )  # fmt: skip
    for k, mass, chance, weak in zip(depths, candidate.values, candidate.chance, noisy, strict=True):
        text = (
            "no frontier"
            if np.isnan(mass)
            else f"<b>{mass:.2f}</b><br><span style='font-size:10px'>chance {chance:.2f}</span>"
        )
        made.add_annotation(
            x=k, y=1.01, yanchor="bottom", showarrow=False, text=f"⚠ {text}" if weak else text,
            font={"color": VERMILION} if weak else None, opacity=0.75 if np.isnan(mass) else 1,
        )  # fmt: skip
    return fit_legend(made.add_hline(y=1, line={"color": FAINT, "width": 1}))


# One node


def _above_ends(shortest: int, longest: int) -> str:
    """Say how far a node is from where paths end: its heights."""
    if not longest:
        return "no edge leaves it"
    far = str(longest) if shortest == longest else f"{shortest} to {longest}"
    return f"{far} {'edge' if longest == 1 else 'edges'} above an end"


def node_curve(
    scores: NodeScores, node: int, *, depth: int | None = None, beside: Sequence[NodeScores] = ()
) -> go.Figure:
    """Draw a node's value over the thoughts with its chance level, target and negative beside it.

    The shaded column is where the readout stands for the node's own hop: a breadth-first search peaks there.

    Args:
        scores: One readout of one problem.
        node: The node to draw.
        depth: Number of thoughts to mark as the current one.
        beside: Scores drawn in other figures with the same axis: their values fit in it too.

    Returns:
        A figure whose points have `customdata[0]` = number of thoughts.
    """
    problem, about, depths = scores.problem, scores.structure, list(scores.depths)
    readout, name, hop = READOUT_TITLES[scores.readout], problem.names[node], int(about.hops[node])
    where = "not reachable from the root" if hop < 0 else f"hop {hop}"
    heights = _above_ends(int(about.shortest_height[node]), int(about.longest_height[node]))
    lines = [(problem.target, "target", GREEN, "diamond"), (problem.negative, "negative", PURPLE, "triangle-down")]
    lines = [(n, f"{problem.names[n]} ({role})", colour, symbol) for n, role, colour, symbol in lines if n != node]
    roles = {problem.root: " (root)", problem.target: " (target)", problem.negative: " (negative)"}
    lines.append((node, name + roles.get(node, ""), BLUE, "circle"))
    values = ", ".join(
        f"{v:.2f} after {k}" for k, v in zip(depths, scores.value[:, node], strict=True) if not np.isnan(v)
    )
    most = max(float(np.nan_to_num(one.value[:, [n for n, *_ in lines]]).max()) for one in (scores, *beside))
    top = max(most * 1.12, 3 * scores.chance_value)
    ends = [depths[0] - 0.4, depths[-1] + 0.4]
    made = figure(
        f"{name} · {where} · {heights}",
        f"Value, {readout}: share of the mass on the problem's concepts, 0 to 1; chance {scores.chance_value:.3f}",
        f"Value of {name} ({where}) by number of thoughts, {readout}: {values or 'none, it is an entity'}.",
        xaxis={"title": "thoughts", "tickvals": depths, "range": ends, "showgrid": False},
        yaxis={"title": "value", "range": [-0.03 * top, min(top, 1.04)], "zeroline": False},
        below=14, hovermode="x unified",
    )  # fmt: skip
    for k, read in zip(depths, scores.hops_read, strict=True):
        if read == hop:
            made.add_vrect(x0=k - 0.4, x1=k + 0.4, fillcolor=alpha(SKY, 0.16), line_width=0, layer="below")
            write(made, f"reads hop {hop}", k, 1, 10, yref="paper", yanchor="top")
    if depth is not None:
        made.add_vline(x=depths[scores.row(depth)], line={"color": GREY, "width": 1}, name=HERE)
    made.add_scatter(
        x=ends, y=[scores.chance_value] * 2, mode="lines", name="chance", hoverinfo="skip",
        line=DASHED,
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
        write(made, "An entity: no value among the concepts.", 0.5, 0.6, xref="paper", yref="paper")
    return made


# Tokens


def token_frame(trace: Trace) -> pl.DataFrame:
    """Return the likeliest tokens of each thought, best first.

    Columns: thought, rank, token, probability (among all tokens), node, class, hop. The last three are those of the
    node that the token names, at the hop that the thought stands for; null for tokens that name none.
    """
    problem = trace.graph_problem
    number = {name: node for node, name in enumerate(problem.names)}
    hops = structure(problem).hops
    rows = []
    for thought, tokens in enumerate(trace.top_tokens, 1):
        classes = node_classes(problem, trace.hop(thought))
        for rank, (token, probability) in enumerate(tokens, 1):
            node = number.get(token.strip())
            found = (None, None, None) if node is None else (node, NODE_CLASSES[classes[node]], int(hops[node]))
            rows.append((thought, rank, token, probability, *found))
    schema = {
        "thought": pl.Int16, "rank": pl.Int16, "token": pl.String, "probability": pl.Float64, "node": pl.Int16,
        "class": pl.Enum(NODE_CLASSES), "hop": pl.Int16,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.when(pl.col("hop") >= 0).then("hop").alias("hop")
    )


def token_table(trace: Trace, depth: int | None = None, *, top: int = 8) -> go.Figure:
    """Draw the likeliest tokens, a column per thought; the bar in a cell is the probability.

    Args:
        trace: A run on one problem.
        depth: Number of thoughts to mark as the current one.
        top: Tokens per thought.

    Returns:
        A figure whose cells have `customdata[0]` = node number (-1 for a token that names none) and `customdata[1]` =
        thought.
    """
    frame = token_frame(trace).filter(pl.col("rank") <= top)
    thoughts = len(trace.top_tokens)
    first = ", ".join(
        f"{r['token'].strip()} {r['probability']:.2f}" for r in frame.filter(rank=1).iter_rows(named=True)
    )
    made = figure(
        "What the LM head says at each thought",
        "Likeliest tokens of the whole vocabulary; bar: probability, 0 to 1; colour: class of the node it names",
        f"Table of the likeliest tokens at each thought. Likeliest of thoughts 1 to {thoughts}: {first}.",
        above=18, plot=26 * top, margin_l=30,
        xaxis={
            "tickvals": list(range(1, thoughts + 1)), "ticktext": [f"thought {k}" for k in range(1, thoughts + 1)],
            "side": "top", "range": [0.45, thoughts + 0.55], "showgrid": False, "zeroline": False,
        },
        yaxis={"tickvals": list(range(1, top + 1)), "range": [top + 0.55, 0.45], "showgrid": False, "zeroline": False},
        legend_itemclick=False,
    )  # fmt: skip
    boxes = []
    if depth is not None and 1 <= depth <= thoughts:
        boxes.append(_box(depth - 0.49, depth + 0.49, 0.45, top + 0.55, alpha(SKY, 0.16)))
    for cell in frame.iter_rows(named=True):
        x, y, colour = cell["thought"], cell["rank"], CLASS_COLOURS[cell["class"] or OUTSIDE]
        for width, opacity in ((1.0, 0.13), (cell["probability"], 0.6)):
            boxes.append(_box(x - 0.45, x - 0.45 + 0.9 * width, y - 0.43, y + 0.43, alpha(colour, opacity)))
    made.update_layout(shapes=boxes)  # all at once: `add_shape` copies every earlier shape each time
    made.add_scatter(
        x=frame["thought"], y=frame["rank"], mode="text", showlegend=False, name="tokens", textfont={"size": 11.5},
        text=[_cell(*cell) for cell in frame.select("token", "probability").iter_rows()],
        customdata=[[-1 if n is None else n, k] for n, k in frame.select("node", "thought").iter_rows()],
        hovertext=[_hover(cell) for cell in frame.iter_rows(named=True)],
        hoverinfo="text",
    )  # fmt: skip
    for name, title in CLASS_TITLES.items():
        entry(made, title if name != OUTSIDE else "no node of the problem", "square", CLASS_COLOURS[name])
    return fit_legend(made)


def _box(x0: float, x1: float, y0: float, y1: float, colour: str) -> dict:
    place = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
    return {"type": "rect", "layer": "below", "fillcolor": colour, "line": {"width": 0}, **place}


def _cell(token: str, probability: float) -> str:
    return f"{escape(token.strip(), quote=False) or repr(token)} <b>{_short(probability)}</b>"


def _hover(cell: dict) -> str:
    lines = [f"<b>{escape(repr(cell['token']), quote=False)}</b>", f"thought {cell['thought']}, rank {cell['rank']}"]
    lines.append(f"probability {cell['probability']:.4g}")
    lines.append("names no node of the problem" if cell["class"] is None else CLASS_TITLES[cell["class"]])
    if cell["hop"] is not None:
        lines[-1] += f", hop {cell['hop']}"
    return "<br>".join(lines)


def _short(probability: float) -> str:
    return f"{probability:.2f}".removeprefix("0") if probability >= 0.005 else "&lt;.01"


# The search tree


def search_tree(table: pl.DataFrame) -> go.Figure:
    """Draw the tree of paths from the root with the model's values (Coconut v3, figure 5); controls are in the hover.

    Layers are those of walks: children, grandchildren, and so on. A node stands once in a layer, under its first
    parent; thin dotted lines join it to the others. A node that stands in a layer above as well is drawn hollow.

    Colour follows the square root of the raw value. An outline in green marks nodes that reach the target.

    Args:
        table: `search_tree_frame`.

    Returns:
        A figure whose node markers have `customdata` = problem id, node, layer.

    Raises:
        WorkbenchError: There is nothing to draw.
    """
    require_rows(table)
    own = table.filter(pl.col("run") == MODEL).sort("layer", "node")
    rows = own.rows(named=True)
    x = _positions(rows)
    depth, wide = max(row["layer"] for row in rows), max(x.values())
    best = [row for row in rows if row["value"] is not None]
    told = ", ".join(
        f"{row['name']} {row['value']:.2f} in layer {row['layer']}"
        for row in sorted(best, key=lambda row: -row["value"])[:3]
    )
    chance = best[0]["chance"] if best else 0.0
    same = {row["thoughts"] for row in best} if depth > 1 else set()
    read = "each layer after its own number of thoughts"
    if len(same) == 1:
        read = f"every layer after {plural(same.pop(), 'thought')}"
    made = figure(
        "Search tree with values · forced language",
        f"Raw value: product of the probabilities of a name's tokens, {read}"
        f"<br>chance {chance:.3f}, uniform over the concepts; h: height, longest/shortest; hollow: seen above",
        f"Tree of paths of problem {rows[0]['problem']} from {rows[0]['name']}. Largest values: {told}.",
        plot=_ROW * (depth + 1), below=44, margin_l=110,
        xaxis={"visible": False, "range": [-0.7, wide + 0.7]},
        yaxis={"visible": False, "range": [depth + 0.65, -0.4]},
        hovermode="closest",
    )  # fmt: skip
    _layers(made, own)
    _edges(made, rows, x)
    controls = table.filter(pl.col("run") != MODEL).group_by("layer", "node", maintain_order=True)
    _nodes(made, rows, x, {key: part.select("run", "value").rows() for key, part in controls})
    return made


def _positions(rows: list[dict]) -> dict[tuple[int, int], float]:
    """Return where each (layer, node) stands: leaves of the tree one after the other, parents over their children."""
    children: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in rows:
        if row["parents"]:
            children.setdefault((row["layer"] - 1, row["parents"][0]), []).append((row["layer"], row["node"]))
    x: dict[tuple[int, int], float] = {}
    taken = 0

    def put(key: tuple[int, int]) -> float:
        nonlocal taken
        below = [put(child) for child in children.get(key, ())]
        if not below:
            x[key], taken = float(taken), taken + 1
        else:
            x[key] = float(np.mean(below))
        return x[key]

    put((rows[0]["layer"], rows[0]["node"]))
    return x


def _layers(made: go.Figure, own: pl.DataFrame) -> None:
    """Write at the left what each layer is read after, and its sum over nodes that stand in no layer above."""
    for (layer,), part in own.group_by(["layer"], maintain_order=True):
        text = "root"
        if layer:
            first = part.filter(~pl.col("earlier"))
            mass, k = first["value"].sum(), part["thoughts"][0]
            text = f"after {plural(k, 'thought')}"
            if len(first):
                chance = first["chance"].sum()
                text += f"<br><span style='font-size:10px'>candidates {mass:.2f}<br>chance {chance:.2f}</span>"
        write(made, text, 0, layer, 11, xref="paper", xanchor="right", xshift=-8, yref="y", align="right")
        made.add_hline(y=layer, line={"color": FAINT, "width": 1}, layer="below")


def _edges(made: go.Figure, rows: list[dict], x: dict[tuple[int, int], float]) -> None:
    for is_first, rule in _RULES.items():
        across, down = [], []
        for row in rows:
            for parent in row["parents"][:1] if is_first else row["parents"][1:]:
                across += [x[row["layer"] - 1, parent], x[row["layer"], row["node"]], None]
                down += [row["layer"] - 1 + _NAME, row["layer"], None]
        made.add_scatter(
            x=across, y=down, mode="lines", hoverinfo="skip", line=rule, opacity=0.7,
            name="edge to the first parent" if is_first else "edge to another parent", showlegend=bool(across),
        )  # fmt: skip


def _nodes(made: go.Figure, rows: list[dict], x: dict[tuple[int, int], float], controls: dict) -> None:
    values = np.sqrt([row["value"] or 0 for row in rows])
    made.add_scatter(
        x=[x[row["layer"], row["node"]] for row in rows], y=[row["layer"] for row in rows], name="nodes",
        mode="markers", showlegend=False, cliponaxis=False,
        customdata=[[row["problem"], row["node"], row["layer"]] for row in rows],
        hovertext=[_tree_hover(row, controls.get((row["layer"], row["node"]), [])) for row in rows], hoverinfo="text",
        marker={
            "size": 20, "color": values, "cmin": 0, "cmax": 1, "colorscale": VALUE_SCALE, "opacity": 1,
            "symbol": [_SYMBOLS[row["role"]] + ("-open" if row["earlier"] else "") for row in rows],
            "line": {
                "color": [
                    GREEN if row["reaches_target"] else PURPLE if row["role"] == "negative" else GREY for row in rows
                ],
                "width": [3 if row["reaches_target"] else 1 for row in rows],
            },
            "colorbar": root_bar() | {"ypad": 18, "title": {"text": "raw value", "side": "top"}},
        },
    )  # fmt: skip
    made.add_scatter(
        x=[x[row["layer"], row["node"]] for row in rows], y=[row["layer"] + 0.3 for row in rows], mode="text",
        name="names", hoverinfo="skip", showlegend=False, cliponaxis=False, textfont={"size": 11},
        text=[_label(row) for row in rows],
    )  # fmt: skip
    for label, outline in (("reaches the target", GREEN), ("does not", GREY)):
        entry(made, label, "circle-open", outline, line={"width": 2.5})


def _label(row: dict) -> str:
    name = f"<b>{row['name']}</b>" if row["optimal"] else row["name"]
    heights = f"h {row['height_longest']}/{row['height_shortest']}"
    return name if row["value"] is None else f"{name}<br>{_number(row['value'])} · {heights}"


def _number(value: float) -> str:
    """Return a value with two digits, and as a power of ten where they would both be zero."""
    return f"{value:.2f}" if value >= 0.005 or value == 0 else f"{value:.0e}"


def _tree_hover(row: dict, controls: list[tuple[str, float | None]]) -> str:
    lines = [f"<b>{row['name']}</b>{' · ' + row['role'] if row['role'] else ''}"]
    if row["value"] is not None:
        lines.append(f"after {plural(row['thoughts'], 'thought')}, forced: “{_shown(row['prefix'])}”")
        spelt = zip(row["tokens"], row["probabilities"], strict=True)
        product = " × ".join(f"p(“{_shown(token)}”) {p:.3g}" for token, p in spelt)
        lines.append(f"{product} = <b>{row['value']:.3g}</b>")
        lines.append(f"chance {row['chance']:.3f}")
        lines += [f"{run_title(run)}: {value:.3g}" for run, value in controls if value is not None]
    lines.append(f"height {row['height_longest']} longest, {row['height_shortest']} shortest")
    lines.append("reaches the target" if row["reaches_target"] else "does not reach the target")
    if row["earlier"]:
        lines.append("reached in a layer above too")
    return "<br>".join(lines)


def _shown(text: str) -> str:
    """Return text whose markers a browser does not take for tags."""
    return text.replace("<", "&lt;").replace(">", "&gt;")
