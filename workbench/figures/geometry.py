"""Figures of the geometry of thoughts: curves over thoughts, and a map of all of them."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import colour_of, dash_of, estimates_by, line, over_thoughts, panels, place, runs
from workbench.figures.palette import GREEN, GREY, SERIES, VERMILION, alpha, require_rows
from workbench.measure.run_labels import title
from workbench.measure.statistics import Estimate

_MAP_SYMBOLS = ("circle", "x")


def geometry_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw lengths, cosines, spreads and the map.

    Args:
        table: `readings.geometry.frame`.
    """
    return [
        norms(table),
        cosines(table),
        spreads(table, "effective_rank"),
        spreads(table, "participation_ratio"),
        *(thought_map(table, colour) for colour in ("thought", "steps", "right")),
    ]


def norms(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the mean length of thought k, beside that of the embeddings of the problem's concepts."""
    require_rows(table)
    made = over_thoughts(
        "Length of thoughts against token embeddings",
        "Mean over problems with its 95 % interval; dashed: mean length of the embeddings of the problem's concepts",
        "length (L2 norm)",
        table["thought"],
    )
    made.update_xaxes(title="thought")
    told = _lines(made, table, "norm", seed)
    for index, (run, rows) in enumerate(runs(table).items()):
        level = rows.group_by("thought").agg(pl.col("concept_norm").mean()).sort("thought")
        _reference(made, level["thought"], level["concept_norm"], f"embeddings, {title(run)}", colour_of(run, index))
    return made.update_yaxes(rangemode="tozero").update_layout(meta={"alt": f"Length of thoughts. {told}"})


def cosines(table: pl.DataFrame, *, seed: int = 0) -> go.Figure:
    """Draw the cosine of a thought to the one before it and to other problems' thoughts, panel by panel."""
    require_rows(table)
    shown = {
        "cosine_before": "to thought k - 1, same problem",
        "cosine_before_other": "to thought k - 1, another problem",
        "cosine_between": "to thought k, another problem",
    }
    made = panels(
        "Cosine between thoughts",
        "Mean over problems, 95 % interval; dashed: 0, of random directions; the middle is the control of the left",
        list(shown.values()),
        3,
    )
    told = []
    for index, name in enumerate(shown):
        where = place(index, 3, 3)
        told.append(f"{shown[name]}: {_lines(made, table, name, seed, legend=index == 0, **where)}")
        made.add_hline(y=0, line={"color": GREY, "dash": "dash", "width": 1.5}, row=where["row"], col=where["col"])  # type: ignore[arg-type]
    made.update_xaxes(title="thought k", dtick=1, showgrid=False)
    return made.update_yaxes(title="cosine", col=1).update_layout(meta={"alt": f"Cosines. {' '.join(told)}"})


def spreads(table: pl.DataFrame, name: str) -> go.Figure:
    """Draw the effective rank or participation ratio of the set of thoughts k of all problems.

    Args:
        table: `readings.geometry.frame`.
        name: "effective_rank" or "participation_ratio".
    """
    require_rows(table)
    words = {
        "effective_rank": ("Effective rank of thought k over problems", "exp of the entropy of the singular values"),
        "participation_ratio": (
            "Participation ratio of thought k over problems",
            "(sum of variances)² / sum of squares",
        ),
    }
    made = over_thoughts(
        words[name][0],
        f"{words[name][1]}; 95 % jackknife interval; dashed: random directions as long; dotted grey: embeddings",
        "dimensions",
        table["thought"],
    )
    made.update_xaxes(title="thought")
    told, problems = [], table["problem"].n_unique()
    for index, (run, rows) in enumerate(runs(table).items()):
        of_set = rows.unique("thought", keep="first", maintain_order=True).sort("thought")
        ends = (of_set[f"{name}{end}"].fill_null(float("nan")) for end in ("", "_low", "_high"))
        estimates = {
            k: Estimate(value, low, high, problems, "jackknife")
            for k, value, low, high in zip(of_set["thought"], *ends, strict=True)
        }
        line(made, estimates, title(run), colour_of(run, index), dash_of(run))
        _reference(made, of_set["thought"], of_set[f"{name}_chance"], f"chance, {title(run)}", colour_of(run, index))
        told.append(f"{title(run)}: " + ", ".join(f"{e.value:.1f} at {k}" for k, e in estimates.items()))
    level = table[f"{name}_embeddings"][0]
    made.add_hline(
        y=level, line={"color": GREY, "dash": "dot", "width": 1.5}, annotation_text=f"embeddings {level:.1f}"
    )
    return made.update_layout(
        meta={"alt": f"{words[name][0]}. {'; '.join(told)}. Embeddings of concepts: {level:.1f}."}
    )


def thought_map(table: pl.DataFrame, colour: str = "thought", most: int = 150) -> go.Figure:
    """Draw every thought of every problem on the two principal axes of all thoughts of its run, a panel per run.

    Args:
        table: `readings.geometry.frame`.
        colour: "thought", "steps" (hops from root to target) or "right".
        most: Problems drawn, evenly spaced over the set; axes and shares are those of all.
    """
    require_rows(table)
    names = {"thought": "number of the thought", "steps": "hops to the target", "right": "whether the answer is right"}
    problems = table["problem"].unique(maintain_order=True)
    drawn = problems.gather_every(-(-len(problems) // most))
    several = runs(table.filter(pl.col("problem").is_in(drawn.to_list())))
    heads = [
        f"{title(run)}: {rows['map_share'][0]:.0%} of the variance (chance {rows['map_share_chance'][0]:.0%})"
        for run, rows in several.items()
    ]
    made = panels(
        f"Map of all thoughts, coloured by {names[colour]}",
        f"Principal axes of all thoughts of a run; chance: of random directions as long; {len(drawn)} problems drawn",
        heads,
        2,
        330,
    )
    for index, rows in enumerate(several.values()):
        keys = sorted(rows[colour].unique().to_list(), reverse=colour == "right")
        for number, key in enumerate(keys):
            part = rows.filter(pl.col(colour) == key)
            label, shade = _legend(colour, key, number)
            made.add_scatter(
                x=part["x"], y=part["y"], mode="markers", name=label, legendgroup=label, showlegend=index == 0,
                marker={"color": alpha(shade, 0.55), "size": 4, "symbol": _MAP_SYMBOLS[colour == "right" and not key]},
                customdata=part.select("problem", "thought", "steps", "right").rows(),
                hovertemplate="%{customdata[0]}, thought %{customdata[1]}, %{customdata[2]} hops, right: "
                "%{customdata[3]}<extra></extra>",
                **place(index, 2, len(several)),
            )  # fmt: skip
    made.update_xaxes(title="first axis", zeroline=False)
    # The axes of two runs have nothing in common.
    made.update_yaxes(matches=None, showticklabels=True)
    made.update_yaxes(title="second axis", col=1)
    return made.update_layout(meta={"alt": f"Map of thoughts by {names[colour]}. {'; '.join(heads)}."})


def _legend(colour: str, key: Any, number: int) -> tuple[str, str]:
    if colour == "right":
        return ("right", GREEN) if key else ("wrong", VERMILION)
    label = f"thought {key}" if colour == "thought" else f"{key} hop{'' if key == 1 else 's'}"
    return label, (*SERIES, GREY)[number % 7]


def _lines(made: go.Figure, table: pl.DataFrame, column: str, seed: int, legend: bool = True, **where: int) -> str:
    """Add a line per run and return what they show in words."""
    told = []
    for index, (run, rows) in enumerate(runs(table).items()):
        estimates = estimates_by(rows, "thought", column, seed)
        line(
            made, estimates, title(run), colour_of(run, index), dash_of(run),
            legendgroup=run, showlegend=legend, **where,
        )  # fmt: skip
        told.append(f"{title(run)} " + ", ".join(f"{e.value:.2f} at {k}" for k, e in estimates.items()))
    return "; ".join(told) + "."


def _reference(made: go.Figure, x: pl.Series, y: pl.Series, label: str, colour: str) -> None:
    made.add_scatter(
        x=x, y=y, mode="lines", name=label, opacity=0.7, line={"color": colour, "width": 1.5, "dash": "dash"},
        hovertemplate=f"{label}: %{{y:.3f}}<extra></extra>",
    )  # fmt: skip
