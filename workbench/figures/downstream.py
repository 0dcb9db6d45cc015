"""What a plan changed, thought by thought: the affected region that can have changed, and how much of it did."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.palette import BLUE, PURPLE, VALUE_SCALE, VERMILION, alpha, figure, require_rows

TITLES = {
    "thought": "thought k (LM head)",
    "next step": "next step said<br>after k",
    "answer": "answer said<br>after k",
}
"""The rows of the figure by the names of the table."""
DARK, LIGHT = "#10131A", "#FFFFFF"
TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)


def downstream_map(table: pl.DataFrame, *, depth: int | None = None) -> go.Figure:
    """Draw what `workbench.measure.effects.downstream` returns: a row for what is read, a column a number of thoughts.

    Args:
        table: Of one problem and one plan.
        depth: Number of thoughts to mark as the current one.

    Returns:
        A figure whose cells have `customdata[0]` = number of thoughts.

    Raises:
        WorkbenchError: The table is empty.
    """
    require_rows(table)
    names, last = list(TITLES), int(table["k"].max())  # type: ignore[arg-type]
    shape = (len(names), last + 1)
    colour, said, hover = np.full(shape, np.nan), np.full(shape, "", object), np.full(shape, "", object)
    affected_region = np.zeros(shape, bool)
    for row in table.iter_rows(named=True):
        at = names.index(row["what"]), row["k"]
        affected_region[at] = row["can_change"]
        colour[at] = row["moved"] ** 0.5 if row["can_change"] else np.nan
        said[at] = "<b>=</b>" if row["same"] else f"{row['moved']:.2f}" if row["moved"] >= 0.005 else "<.01"
        hover[at] = _words(row)
    kept = sum(row["same"] for row in table.iter_rows(named=True))
    acted = sorted(table.filter(pl.col("operated"))["k"].unique().to_list())
    made = figure(
        "What changed downstream",
        "Share of the probability that went elsewhere (total variation distance, 0 to 1); <b>=</b>: the same to the "
        "last bit<br>Framed: the cone that can have changed. ▼: operated on",
        f"Map of what a surgery changed, for thoughts and what is said after them. Operated on: thought "
        f"{', '.join(map(str, acted)) or 'none'}. {kept} of {table.height} cells are the same to the last bit.",
        height=330, margin={"l": 110, "r": 16, "t": 110, "b": 92}, title_pad_b=50,
        xaxis={"tickvals": list(range(last + 1)), "range": [-0.55, last + 0.55], "showgrid": False,
               "title": {"text": "number of thoughts, k", "standoff": 4}},
        yaxis={"tickvals": [0, 1, 2], "ticktext": [TITLES[name] for name in names], "range": [2.55, -0.75],
               "showgrid": False, "zeroline": False},
    )  # fmt: skip
    made.add_heatmap(
        z=colour, x=list(range(last + 1)), y=[0, 1, 2], zmin=0, zmax=1, colorscale=VALUE_SCALE, xgap=3, ygap=3,
        hoverongaps=False, hoverinfo="skip", showscale=True,
        colorbar={
            "orientation": "h", "thickness": 9, "len": 0.42, "x": 0, "xanchor": "left", "y": 0, "yref": "container",
            "yanchor": "bottom", "xpad": 0, "ypad": 20, "outlinewidth": 0, "tickvals": [t**0.5 for t in TICKS],
            "ticktext": [f"{t:g}" for t in TICKS], "tickfont": {"size": 10},
        },
    )  # fmt: skip
    # Outside the cone the ink of the page; on a coloured cell what reads on its colour.
    kind = np.where(affected_region, 1 + (np.nan_to_num(colour) > 0.7), 0)
    for number, font in enumerate(({"size": 12}, {"size": 12, "color": DARK}, {"size": 12, "color": LIGHT})):
        places = [(k, y) for y in range(3) for k in range(last + 1) if said[y, k] and kind[y, k] == number]
        made.add_scatter(
            x=[k for k, _ in places], y=[y for _, y in places], mode="text", showlegend=False,
            text=[said[y, k] for k, y in places], hovertext=[hover[y, k] for k, y in places], hoverinfo="text",
            customdata=[[k] for k, _ in places], textfont=font,
        )  # fmt: skip
    for y, row in enumerate(affected_region):
        for start, end in _runs(row):
            made.add_shape(
                type="rect", x0=start - 0.49, x1=end + 0.49, y0=y - 0.49, y1=y + 0.49,
                line={"color": BLUE, "width": 2},
            )  # fmt: skip
    for k in acted:
        made.add_annotation(x=k, y=-0.52, yanchor="bottom", text="▼", showarrow=False, font={"color": VERMILION})
    if depth is not None:
        made.add_shape(
            type="rect", layer="below", x0=depth - 0.5, x1=depth + 0.5, y0=0, y1=1, yref="paper",
            fillcolor=alpha(PURPLE, 0.14), line={"width": 0},
        )  # fmt: skip
    return made


def _words(row: dict) -> str:
    lines = [f"<b>{row['what']}, k = {row['k']}</b>"]
    if row["same"]:
        lines.append("the same to the last bit" if row["can_change"] else "unchanged, to the last bit")
    else:
        lines.append(f"{row['moved']:.3g} of the probability went elsewhere")
    if row["step"]:
        lines.append(f"the vector moved by {row['step']:.3g} of its length")
    if not row["can_change"]:
        lines.append("outside the cone: nothing operated on comes before it")
        if not row["same"]:
            lines.append("rounding alone: sums over another number of columns")
    return "<br>".join(lines)


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last place of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(int(start), int(end) - 1) for start, end in zip(edges[::2], edges[1::2], strict=True)]
