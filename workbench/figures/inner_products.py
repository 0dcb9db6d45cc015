"""Inner products of thoughts with node embeddings: means by class and thought, and their distributions."""

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.figures.class_panels import class_panels
from workbench.figures.palette import CLASS_COLOURS, GREY, LEGEND, RUN_COLOURS, SERIES, figure, require_rows
from workbench.measure.class_means import CLASS_TITLES, NESTED, WALK, class_means
from workbench.measure.run_labels import RUN, title

EDGES = 30
"""Edges of the histogram's bins, as published."""
COLUMNS = {
    "input": ("inner product with the input embedding", "inner product"),
    "unembedding": ("inner product with the unembedding: the logit", "logit"),
    "input_cosine": ("cosine with the input embedding", "cosine"),
    "unembedding_cosine": ("cosine with the unembedding", "cosine"),
}
"""Columns that can be drawn: in words, and as a unit."""
COLOURS = dict(
    zip(
        ("not reached", "reached", "frontier", "optimal"),
        (CLASS_COLOURS[name] for name in ("unreachable", "reachable elsewhere", "frontier", "optimal")),
        strict=True,
    )
)


def inner_product_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw every figure of the reading; those of the unembedding only where it is not tied to the input embedding."""
    require_rows(table)
    drawn = ["input", "input_cosine"] if table["tied"].all() else list(COLUMNS)
    means = [inner_products_by_class(table, column) for column in drawn]
    return [*means, *(inner_product_histogram(table, column) for column in drawn if "cosine" not in column)]


def by_class(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return one row per (run, problem, thought, class) for `class_means`, the walk frontier a class of its own.

    Args:
        table: Frame of the reading `inner_products`; thoughts beyond the problem's chain are left out.
        column: One of `COLUMNS`.
    """
    kept = table.filter(pl.col("hop_read") <= pl.col("steps"))
    keys, value = (RUN, "problem", "thought"), pl.col(column).cast(pl.Float64)
    even = kept.group_by(keys).agg(chance=value.mean())
    walk = kept.filter("walk").with_columns(pl.lit(WALK).alias("class"))
    each = pl.concat([kept.with_columns(pl.col("class").cast(pl.String)), walk])
    means = each.group_by(*keys, "class", maintain_order=True).agg(
        value.mean(), nodes=pl.len(), spread=value.std(ddof=0)
    )
    return means.join(even, on=keys, maintain_order="left")


def inner_products_by_class(table: pl.DataFrame, column: str = "input", *, seed: int = 0) -> go.Figure:
    """Draw the means by class and thought, the model beside its controls (Table 5).

    Args:
        table: Frame of the reading `inner_products`.
        column: One of `COLUMNS`.
        seed: Seed of the bootstrap.
    """
    require_rows(table)
    words, unit = COLUMNS[column]
    return class_panels(
        class_means(by_class(table, column), column, "nodes", seed=seed),
        {name: CLASS_TITLES[name] for name in NESTED},
        f"Thought k and the nodes at hop k · {words}",
        "Mean over the nodes of a class with its 95 % interval over problems; classes are nested<br>"
        "problems whose chain is long enough",
        unit,
        "mean over all nodes",
    )


def inner_product_histogram(table: pl.DataFrame, column: str = "input") -> go.Figure:
    """Draw how inner products are distributed by class, a panel for each thought (Fig. 6).

    The first run is drawn solid in all classes; of the controls the frontier, dotted.

    Args:
        table: Frame of the reading `inner_products`.
        column: One of `COLUMNS`.
    """
    kept = table.filter(pl.col("hop_read") <= pl.col("steps"))
    require_rows(kept)
    words, unit = COLUMNS[column]
    runs, thoughts = kept[RUN].unique(maintain_order=True).to_list(), sorted(kept["thought"].unique().to_list())
    made = make_subplots(1, len(thoughts), subplot_titles=[f"thought {k}" for k in thoughts], shared_yaxes=True)
    made.update_annotations(font_size=12)
    made.update_layout(
        figure(
            f"Distribution over nodes · {words}",
            f"Share of the nodes of each class in {EDGES - 1} bins; dotted: the frontier of the controls; "
            "dashed line: mean over all nodes<br>classes are nested; problems whose chain is long enough",
            "",
            height=420, margin={"l": 64, "r": 16, "t": 128, "b": 116}, legend=LEGEND, title_pad_b=64,
        ).layout
    )  # fmt: skip
    told = []
    for place, k in enumerate(thoughts, 1):
        here = kept.filter(pl.col("thought") == k)
        numbers = here[column].to_numpy()
        bins = np.linspace(numbers.min(), numbers.max(), EDGES)
        own = here.filter(pl.col(RUN) == runs[0])
        for name, colour in COLOURS.items():
            rows = own.filter(pl.col("class").is_in(list(NESTED[name])))
            _steps(made, rows[column].to_numpy(), bins, CLASS_TITLES[name], colour, "solid", place)
        for index, run in enumerate(runs[1:], 1):
            rows = here.filter(pl.col(RUN) == run, pl.col("class").is_in(list(NESTED["frontier"])))
            colour = RUN_COLOURS.get(run, SERIES[index % len(SERIES)])
            _steps(made, rows[column].to_numpy(), bins, f"frontier, {title(run)}", colour, "dot", place)
        made.add_vline(x=float(own[column].mean()), line={"color": GREY, "dash": "dash", "width": 1.5}, col=place)  # type: ignore[arg-type]
        frontier = own.filter(pl.col("class").is_in(list(NESTED["frontier"])))
        told.append(f"{frontier[column].mean():.2f} against {own[column].mean():.2f} at thought {k}")
    made.update_xaxes(title=unit, showgrid=False)
    made.update_yaxes(title="share of the class", col=1)
    return made.update_layout(
        meta={"alt": f"{words}, by class. Mean of the frontier against all nodes: {'; '.join(told)}."}
    )


def _steps(
    made: go.Figure, values: np.ndarray, bins: np.ndarray, name: str, colour: str, dash: str, place: int
) -> None:
    if len(values) == 0:
        return
    counts = np.histogram(values, bins)[0]
    made.add_scatter(
        x=(bins[:-1] + bins[1:]) / 2, y=counts / len(values), customdata=counts, name=name, legendgroup=name,
        showlegend=place == 1, mode="lines", row=1, col=place,
        line={"color": colour, "width": 2 if dash == "solid" else 1.5, "dash": dash, "shape": "hvh"},
        hovertemplate=f"{name}, around %{{x:.2f}}: %{{y:.3f}} of the class, %{{customdata}} of {len(values)} nodes"
        "<extra></extra>",
    )  # fmt: skip
