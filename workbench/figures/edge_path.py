"""Figures of what attention to edges writes into thoughts and answer: one problem's route, and classes over a set."""

import plotly.graph_objects as go
import polars as pl

from workbench.figures.by_thought import colour_of, dash_of, estimates_by, line, panels, place, runs
from workbench.figures.palette import CLASS_COLOURS, GREY, LEGEND, figure, require_rows
from workbench.measure.run_labels import MODEL, title

_CLASSES = {"optimal": "optimal", "off the path": "frontier, off the path", "elsewhere": "all other edges"}


def edge_path_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw what edges of each class write over the set, and the route of the first problem that is answered rightly.

    Args:
        table: `readings.edge_path.frame`.
    """
    require_rows(table)
    right = table.filter(pl.col("right"))
    return [written_by_class(table), route_figure(table, (table if right.is_empty() else right)["problem"][0])]


def written_by_class(table: pl.DataFrame, column: str = "written", *, seed: int = 0) -> go.Figure:
    """Draw the mean of an edge by its class as thought k is made; a panel per class.

    Args:
        table: `readings.edge_path.frame`.
        column: "written" or "attention".
        seed: Of the bootstrap.
    """
    require_rows(table)
    words = {
        "written": ("What attention to an edge writes towards the edge's target", "logits per edge"),
        "attention": ("Attention to an edge, mean over heads", "attention per edge"),
    }
    several = runs(_by_problem(table, column))
    made = panels(
        words[column][0],
        "Mean over problems of the mean over edges, by the edge's source; 95 % interval; dashed: all edges",
        list(_CLASSES.values()),
        3,
    )
    told = []
    for panel, (name, heading) in enumerate(_CLASSES.items()):
        where = place(panel, 3, len(_CLASSES))
        for index, (run, rows) in enumerate(several.items()):
            estimates = estimates_by(rows.filter(pl.col("class") == name), "thought", "value", seed)
            line(
                made, estimates, title(run), colour_of(run, index), dash_of(run), legendgroup=run,
                showlegend=panel == 0, **where,
            )  # fmt: skip
            if run == MODEL:
                told.append(f"{heading}: " + ", ".join(f"{e.value:.2f} at {k}" for k, e in estimates.items()))
                every = estimates_by(rows.filter(pl.col("class") == "all"), "thought", "value", seed)
                made.add_scatter(
                    x=list(every), y=[e.value for e in every.values()], mode="lines", name="chance: all edges",
                    legendgroup="chance", showlegend=panel == 0, line={"color": GREY, "dash": "dash", "width": 1.5},
                    hovertemplate="all edges: %{y:.3f}<extra></extra>", **where,
                )  # fmt: skip
    made.update_xaxes(title="thought made", dtick=1, showgrid=False)
    made.update_yaxes(title=words[column][1], col=1)
    return made.update_layout(meta={"alt": f"{words[column][0]}. {'; '.join(told)}."})


def route_figure(table: pl.DataFrame, problem: str) -> go.Figure:
    """Draw what attention to each edge of one problem writes as each thought is made; the optimal edges are joined.

    Args:
        table: `readings.edge_path.frame`.
        problem: Its id.
    """
    rows = table.filter((pl.col("problem") == problem) & pl.col("thought").is_not_null())
    require_rows(rows)
    own = next(iter(runs(rows).values()))
    path = own.filter(pl.col("class") == "optimal").sort("thought", "written", descending=[False, True])
    best = path.unique("thought", keep="first", maintain_order=True)
    steps = " → ".join([*best["source"].head(1), *best["target"]])
    made = figure(
        f"The route through {problem}",
        f"{steps}; a point is an edge, what attention to it writes towards its own target; dashed: mean over all edges",
        "",
        height=460, margin={"l": 60, "r": 16, "t": 92, "b": 116}, legend=LEGEND,
        xaxis={"title": "thought made", "dtick": 1, "showgrid": False}, yaxis={"title": "logits"},
    )  # fmt: skip
    colours = {"optimal": CLASS_COLOURS["optimal"], "off the path": CLASS_COLOURS["frontier"], "elsewhere": GREY}
    for name in ("elsewhere", "off the path", "optimal"):
        part = own.filter(_class_of() == name)
        made.add_scatter(
            x=part["thought"], y=part["written"], mode="markers", name=_CLASSES[name],
            marker={"color": colours[name], "size": 6 if name == "elsewhere" else 10, "opacity": 0.85},
            customdata=part.select("problem", "source", "target", "attention").rows(),
            hovertemplate="%{customdata[1]} → %{customdata[2]}: %{y:.3f}, attention %{customdata[3]:.3f}"
            "<extra></extra>",
        )  # fmt: skip
    for index, (run, of_run) in enumerate(runs(rows).items()):
        joined = of_run.filter(pl.col("class") == "optimal").group_by("thought").agg(pl.max("written")).sort("thought")
        made.add_scatter(
            x=joined["thought"], y=joined["written"], mode="lines", name=f"route, {title(run)}",
            line={"color": colour_of(run, index), "dash": dash_of(run), "width": 2.5 if run == MODEL else 1.5},
            hovertemplate=f"best optimal edge, {title(run)}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    every = own.group_by("thought").agg(pl.mean("written")).sort("thought")
    made.add_scatter(
        x=every["thought"], y=every["written"], mode="lines", name="chance: all edges",
        line={"color": GREY, "dash": "dash", "width": 1.5}, hovertemplate="all edges: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    told = ", ".join(f"{s} to {t} {w:.2f}" for s, t, w in best.select("source", "target", "written").iter_rows())
    return made.update_layout(meta={"alt": f"Route through {problem}: {told}."})


def _class_of() -> pl.Expr:
    name = pl.col("class").cast(pl.String)
    return pl.when(name.is_in(list(_CLASSES)[:2])).then(name).otherwise(pl.lit("elsewhere"))


def _by_problem(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the mean over the edges of each class, and over all edges, per (run, problem, thought)."""
    rows = table.filter(pl.col("thought").is_not_null()).with_columns(_class_of().alias("class"))
    keys, value = ("run", "problem", "thought"), pl.mean(column).alias("value")
    by_class = rows.group_by(*keys, "class", maintain_order=True).agg(value)
    every = rows.group_by(*keys, maintain_order=True).agg(value).with_columns(pl.lit("all").alias("class"))
    return pl.concat([by_class, every.select(by_class.columns)])
