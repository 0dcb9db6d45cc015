"""The tree of paths from the root, each node with its value after as many thoughts as its layer (Coconut v3, figure 5).

Layers are those of walks: children, grandchildren, and so on; each node once in a layer, under its first parent, the
others joined by a thin dotted line. A node that stands in a layer above as well is drawn hollow.
"""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import FAINT, GREEN, GREY, PURPLE, VALUE_SCALE, figure, require_rows
from workbench.measure.run_labels import MODEL
from workbench.measure.run_labels import title as run_title

_ROW = 104
"""Pixels from layer to layer."""
_NAME = 0.46
"""Layers from a node to the end of its two lines of text, where its edges begin."""
_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)
_SYMBOLS = {"root": "square", "target": "diamond", "negative": "triangle-down", "": "circle"}
_RULES = {True: {"color": GREY, "width": 1.5, "dash": "solid"}, False: {"color": GREY, "width": 1, "dash": "dot"}}
"""Edges to the first parent, and to any other."""


def search_tree(table: pl.DataFrame) -> go.Figure:
    """Draw the search tree of one problem with the model's values; those of controls are in the hover.

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
    x = _places(rows)
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
        read = f"every layer after {(k := same.pop())} thought{'' if k == 1 else 's'}"
    made = figure(
        "Search tree with values · forced language",
        f"Raw value: product of the probabilities of the name's tokens, {read};"
        f"<br>chance {chance:.3f}, uniform over the concepts; h: height, longest/shortest; hollow: seen above",
        f"Tree of paths of problem {rows[0]['problem']} from {rows[0]['name']}. Largest values: {told}.",
        height=_ROW * (depth + 1) + 230, margin={"l": 110, "r": 20, "t": 108, "b": 110}, title_pad_b=46,
        xaxis={"visible": False, "range": [-0.7, wide + 0.7]},
        yaxis={"visible": False, "range": [depth + 0.65, -0.4]},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"}, hovermode="closest",
    )  # fmt: skip
    _layers(made, own)
    _edges(made, rows, x)
    _nodes(made, rows, x, _of_controls(table))
    return made


def _places(rows: list[dict]) -> dict[tuple[int, int], float]:
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
            text = f"after {k} thought{'' if k == 1 else 's'}"
            if len(first):
                chance = first["chance"].sum()
                text += f"<br><span style='font-size:10px'>candidates {mass:.2f}<br>chance {chance:.2f}</span>"
        made.add_annotation(
            x=0, xref="paper", xanchor="right", xshift=-8, y=layer, yref="y", text=text, showarrow=False, align="right",
            font={"size": 11},
        )  # fmt: skip
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
        hovertext=[_hover(row, controls.get((row["layer"], row["node"]), [])) for row in rows], hoverinfo="text",
        marker={
            "size": 20, "color": values, "cmin": 0, "cmax": 1, "colorscale": VALUE_SCALE, "opacity": 1,
            "symbol": [_SYMBOLS[row["role"]] + ("-open" if row["earlier"] else "") for row in rows],
            "line": {
                "color": [
                    GREEN if row["reaches_target"] else PURPLE if row["role"] == "negative" else GREY for row in rows
                ],
                "width": [3 if row["reaches_target"] else 1 for row in rows],
            },
            "colorbar": {
                "orientation": "h", "thickness": 9, "len": 0.42, "x": 0, "xanchor": "left", "y": 0, "yanchor": "top",
                "ypad": 18, "xpad": 0, "outlinewidth": 0, "title": {"text": "raw value", "side": "top"},
                "tickvals": [t**0.5 for t in _TICKS],
                "ticktext": [f"{t:g}" for t in _TICKS], "tickfont": {"size": 10},
            },
        },
    )  # fmt: skip
    made.add_scatter(
        x=[x[row["layer"], row["node"]] for row in rows], y=[row["layer"] + 0.3 for row in rows], mode="text",
        name="names", hoverinfo="skip", showlegend=False, cliponaxis=False, textfont={"size": 11},
        text=[_label(row) for row in rows],
    )  # fmt: skip
    for label, outline in (("reaches the target", GREEN), ("does not", GREY)):
        made.add_scatter(
            x=[None], y=[None], mode="markers", name=label, hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 11, "color": outline, "line": {"width": 2.5}},
        )  # fmt: skip


def _label(row: dict) -> str:
    name = f"<b>{row['name']}</b>" if row["optimal"] else row["name"]
    heights = f"h {row['height_longest']}/{row['height_shortest']}"
    return name if row["value"] is None else f"{name}<br>{_number(row['value'])} · {heights}"


def _number(value: float) -> str:
    """Return a value with two digits, and as a power of ten where they would both be zero."""
    return f"{value:.2f}" if value >= 0.005 or value == 0 else f"{value:.0e}"


def _of_controls(table: pl.DataFrame) -> dict[tuple[int, int], list[tuple[str, float | None]]]:
    found: dict[tuple[int, int], list[tuple[str, float | None]]] = {}
    for row in table.filter(pl.col("run") != MODEL).iter_rows(named=True):
        found.setdefault((row["layer"], row["node"]), []).append((row["run"], row["value"]))
    return found


def _hover(row: dict, controls: list[tuple[str, float | None]]) -> str:
    lines = [f"<b>{row['name']}</b>{' · ' + row['role'] if row['role'] else ''}"]
    if row["value"] is not None:
        k = row["thoughts"]
        lines.append(f"after {k} thought{'' if k == 1 else 's'}, forced: “{_shown(row['prefix'])}”")
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
