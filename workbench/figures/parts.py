"""A figure over heads, MLPs and other parts with a slider over the thoughts, the model beside its controls."""

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import colour_of, error_bars, hover_data, runs
from workbench.figures.palette import GREY, LEGEND, figure
from workbench.measure.run_labels import title
from workbench.measure.statistics import Estimate, bootstrap_mean

ANSWER = "answer"
"""Place of the slider for rows without a thought."""
TOO_SMALL = 1e-5
"""Parts that never are larger, such as the biases of a model without any, are not drawn."""


def place_names(table: pl.DataFrame) -> list[str]:
    """Return the places that a table has: thoughts by number, then the answer."""
    thoughts = sorted(table["thought"].drop_nulls().unique().to_list())
    return [*(f"thought {k}" for k in thoughts), *([ANSWER] if table["thought"].null_count() else [])]


def at_place(table: pl.DataFrame, place: str) -> pl.DataFrame:
    """Return the rows of a place."""
    if place == ANSWER:
        return table.filter(pl.col("thought").is_null())
    return table.filter(pl.col("thought") == int(place.removeprefix("thought ")))


def part_estimates(rows: pl.DataFrame, column: str, seed: int) -> dict[str, Estimate]:
    """Return the mean over problems of each part, in the order of the table, where it is defined."""
    found = {}
    for (part,), group in rows.group_by("part", maintain_order=True):
        found[str(part)] = bootstrap_mean(group[column].cast(pl.Float64).fill_null(float("nan")).to_numpy(), seed=seed)
    return {part: estimate for part, estimate in found.items() if estimate.n}


def over_parts(
    table: pl.DataFrame,
    column: str,
    chance: str,
    words: Sequence[str],
    unit: str,
    *,
    seed: int = 0,
) -> go.Figure:
    """Draw means of a column by part as markers with intervals; a slider chooses the thought.

    Args:
        table: `readings.attribution.frame`, or rows of it.
        column: What is drawn.
        chance: Column of the chance level, drawn dashed for the model's own run.
        words: Title, subtitle, and the name of the chance level in the legend.
        unit: Of the y-axis.
        seed: Of the bootstrap.
    """
    heading, subtitle, chance_name = words
    made = figure(
        heading, subtitle, "",
        height=460, margin={"l": 60, "r": 16, "t": 92, "b": 190}, legend=LEGEND, scattermode="group", scattergap=0.3,
        xaxis={"showgrid": False, "type": "category", "title": "part"}, yaxis={"title": unit},
    )  # fmt: skip
    largest = table.group_by("part").agg(pl.col(column).abs().max())
    table = table.join(largest.filter(pl.col(column) > TOO_SMALL), on="part", how="semi", maintain_order="left")
    places, owner, told = place_names(table), [], []
    for place in places:
        for index, (run, rows) in enumerate(runs(at_place(table, place)).items()):
            estimates = part_estimates(rows, column, seed)
            _markers(made, estimates, run, index, place, place == places[0])
            owner.append(place)
            if index == 0:
                best = sorted(estimates, key=lambda part: -estimates[part].value)[:2]
                told.append(f"{place}: " + ", ".join(f"{part} {estimates[part].value:.2f}" for part in best))
                _chance(made, part_estimates(rows, chance, seed), chance_name, place == places[0])
                owner.append(place)
    made.add_hline(y=0, line={"color": GREY, "width": 1})
    steps = [
        {"label": place, "method": "restyle", "args": [{"visible": [place == of for of in owner]}]} for place in places
    ]
    slider = {"steps": steps, "active": 0, "pad": {"t": 60}, "len": 1, "y": 0, "currentvalue": {"visible": False}}
    made.update_layout(sliders=[slider] if len(places) > 1 else [])
    return made.update_layout(meta={"alt": f"{heading}. Largest: {'; '.join(told)}."})


def _markers(made: go.Figure, estimates: dict[str, Estimate], run: str, index: int, place: str, shown: bool) -> None:
    own, colour, numbered = index == 0, colour_of(run, index), dict(enumerate(estimates.values()))
    made.add_scatter(
        x=list(estimates), y=[e.value for e in estimates.values()], mode="markers", name=title(run), offsetgroup=run,
        legendgroup=run, visible=shown, error_y=error_bars(numbered) | {"color": colour},
        marker={"color": colour, "size": 9 if own else 6, "symbol": "circle" if own else "circle-open"},
        customdata=hover_data(numbered),
        hovertemplate=f"{title(run)}, {place}, %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}], "
        "n = %{customdata[2]}<extra></extra>",
    )  # fmt: skip


def _chance(made: go.Figure, estimates: dict[str, Estimate], name: str, shown: bool) -> None:
    made.add_scatter(
        x=list(estimates), y=[e.value for e in estimates.values()], mode="lines", name=name, legendgroup="chance",
        visible=shown, line={"color": GREY, "dash": "dash", "width": 1.5},
        customdata=hover_data(dict(enumerate(estimates.values()))),
        hovertemplate=f"{name}, %{{x}}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}]<extra></extra>",
    )  # fmt: skip
