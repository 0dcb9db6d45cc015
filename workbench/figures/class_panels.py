"""Small multiples: a panel for each class or set, thoughts along the x axis, the model and its controls as lines."""

import textwrap
from collections.abc import Mapping

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.palette import GREY, LEGEND, RUN_COLOURS, SERIES, figure, require_rows
from workbench.measure.run_labels import MODEL, RUN, title

MOST = 5
"""Panels in one row; more are laid out in two."""


def class_panels(
    means: pl.DataFrame,
    panels: Mapping[str, str],
    heading: str,
    subtitle: str,
    unit: str,
    chance: str,
    column: str = "class",
) -> go.Figure:
    """Draw means with 95 % intervals, a panel for each class, the model solid and its controls dotted.

    Args:
        means: One row per (run, thought, class): value, low, high, chance, n (problems) and, if it has them, items.
        panels: Classes in order, and their names on the screen.
        heading: Title of the figure.
        subtitle: Its second line.
        unit: Name of the y axis, with unit.
        chance: What the chance level of the model's own run is, in a few words; drawn dashed in each panel.
        column: Column that panels are of.
    """
    require_rows(means)
    shown = [name for name in panels if (means[column] == name).any()]
    wide = len(shown) if len(shown) <= MOST else -(-len(shown) // 2)
    lines = -(-len(shown) // wide)
    made = make_subplots(
        lines, wide, shared_yaxes=True, vertical_spacing=0.26,
        subplot_titles=["<br>".join(textwrap.wrap(panels[name], 22)) for name in shown],
    ).update_annotations(font_size=12)  # fmt: skip
    house = figure(
        heading, subtitle, "",
        height=400 + 200 * (lines - 1), margin={"l": 64, "r": 16, "t": 136, "b": 120}, legend=LEGEND, title_pad_b=76,
    )  # fmt: skip
    made.update_layout(house.layout)
    runs = means[RUN].unique(maintain_order=True).to_list()
    told = []
    for number, name in enumerate(shown):
        place = number // wide + 1, number % wide + 1
        of_class = means.filter(pl.col(column) == name)
        for index, run in enumerate(runs):
            rows = of_class.filter(pl.col(RUN) == run).sort("thought")
            _line(made, rows, run, index, panels[name], place)
            if run == MODEL or (run == runs[0] and MODEL not in runs):
                made.add_scatter(
                    x=rows["thought"], y=rows["chance"], mode="lines", name=f"chance: {chance}", legendgroup="chance",
                    showlegend=place == (1, 1), line={"color": GREY, "width": 1.5, "dash": "dash"},
                    row=place[0], col=place[1], hovertemplate="chance %{y:.3f}<extra></extra>",
                )  # fmt: skip
                said = ", ".join(f"{value:.2f}" for value in rows["value"])
                told.append(f"{panels[name]} {said}")
    thoughts = sorted(means["thought"].unique().to_list())
    made.update_xaxes(title="thought", row=lines)
    made.update_xaxes(tickvals=thoughts, range=[thoughts[0] - 0.5, thoughts[-1] + 0.5], showgrid=False)
    made.update_yaxes(matches="y")  # rows of panels are compared as well
    made.update_yaxes(title=unit, col=1)
    return made.update_layout(meta={"alt": f"{heading}, by thought. {title(runs[0])}: {'; '.join(told)}."})


def _line(made: go.Figure, rows: pl.DataFrame, run: str, index: int, panel: str, place: tuple[int, int]) -> None:
    colour = RUN_COLOURS.get(run, SERIES[index % len(SERIES)])
    made.add_scatter(
        x=rows["thought"], y=rows["value"], name=title(run), legendgroup=run, showlegend=place == (1, 1),
        mode="lines+markers", marker={"size": 7}, row=place[0], col=place[1],
        line={"color": colour, "width": 2.5 if run == MODEL else 1.8, "dash": "solid" if run == MODEL else "dot"},
        error_y={
            "type": "data", "symmetric": False, "color": colour, "thickness": 1.3, "width": 3,
            "array": (rows["high"] - rows["value"]).to_list(), "arrayminus": (rows["value"] - rows["low"]).to_list(),
        },
        customdata=rows.select("low", "high", "n").rows(),
        hovertemplate=f"{title(run)}, {panel}, thought %{{x}}: %{{y:.3f}} "
        "[%{customdata[0]:.3f}, %{customdata[1]:.3f}], n = %{customdata[2]} problems<extra></extra>",
    )  # fmt: skip
