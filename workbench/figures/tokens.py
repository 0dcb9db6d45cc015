"""What the raw LM head says at each thought."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import CLASS_COLOURS, SKY, alpha, figure
from workbench.figures.strip import CLASS_TITLES
from workbench.measure.arrays import Trace
from workbench.measure.scores import OUTSIDE
from workbench.problems.graph import NODE_CLASSES, node_classes, structure


def token_frame(trace: Trace) -> pl.DataFrame:
    """Return the likeliest tokens of each thought, best first.

    Columns: thought, rank, token, probability (among all tokens), node, class, hop. The last three are those of the
    node that the token names, at the hop that the thought stands for; null for tokens that name none.
    """
    problem = trace.problem
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
        height=26 * top + 170, margin={"l": 30, "r": 16, "t": 106, "b": 60},
        xaxis={
            "tickvals": list(range(1, thoughts + 1)), "ticktext": [f"thought {k}" for k in range(1, thoughts + 1)],
            "side": "top", "range": [0.45, thoughts + 0.55], "showgrid": False, "zeroline": False,
        },
        yaxis={"tickvals": list(range(1, top + 1)), "range": [top + 0.55, 0.45], "showgrid": False, "zeroline": False},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemclick": False},
        title_pad_b=48,
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
        made.add_scatter(
            x=[None], y=[None], mode="markers", name=title if name != OUTSIDE else "no node of the problem",
            marker={"symbol": "square", "size": 11, "color": CLASS_COLOURS[name]}, hoverinfo="skip",
        )  # fmt: skip
    return made


def _box(x0: float, x1: float, y0: float, y1: float, colour: str) -> dict:
    place = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
    return {"type": "rect", "layer": "below", "fillcolor": colour, "line": {"width": 0}, **place}


def _cell(token: str, probability: float) -> str:
    return f"{token.strip() or repr(token)} <b>{_short(probability)}</b>"


def _hover(cell: dict) -> str:
    lines = [f"<b>{cell['token']!r}</b>", f"thought {cell['thought']}, rank {cell['rank']}"]
    lines.append(f"probability {cell['probability']:.4g}")
    lines.append("names no node of the problem" if cell["class"] is None else CLASS_TITLES[cell["class"]])
    if cell["hop"] is not None:
        lines[-1] += f", hop {cell['hop']}"
    return "<br>".join(lines)


def _short(probability: float) -> str:
    return f"{probability:.2f}".removeprefix("0") if probability >= 0.005 else "&lt;.01"
