"""Which nodes a thought resembles: cosines with sets, inner products by class, and sums of one vector per node."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.figures.lines import Look, grid, lines, maps, place, run_looks
from workbench.figures.style import CLASS_COLOURS, DASHED, GREEN, GREY, ORANGE, fit_legend, require_rows, told
from workbench.measure.class_means import CLASS_TITLES, NESTED, WALK, class_means
from workbench.measure.run_labels import MODEL, RUN
from workbench.measure.run_labels import title as run_title
from workbench.measure.statistics import about, ratio, summarise

SETS = {
    "reached": "reached within k hops",
    "frontier": "frontier at hop k",
    "walk frontier": "frontier, by walks",
    "optimal": "optimal at hop k",
    "target": "target",
    "another frontier": "frontier of another problem",
    "another reached": "reached in another problem",
    "concepts": "all concepts of the problem",
    "vocabulary": "all tokens",
}
"""Sets that a thought is set against, and their names on the screen; k is the number of the thought."""
WRONG = {"hop before": "frontier at hop k - 1", "hop after": "frontier at hop k + 1"}
"""Frontiers of a wrong hop, which a figure shows as sets of their own."""
RIVALS = ("reached", "frontier", "hop before", "hop after", "optimal", "another frontier", "another reached")
"""Sets among which the most similar one is looked for."""
BIN_EDGES = 30
"""Edges of the histogram's bins, as published."""
COLUMNS = {
    "input": ("inner product with the input embedding", "inner product"),
    "unembedding": ("inner product with the unembedding: the logit", "logit"),
    "input_cosine": ("cosine with the input embedding", "cosine"),
    "unembedding_cosine": ("cosine with the unembedding", "cosine"),
}
"""Columns of inner products that can be drawn: in words, and as a unit."""
COLOURS = {
    "not reached": CLASS_COLOURS["unreachable"],
    "reached": CLASS_COLOURS["reachable elsewhere"],
    "frontier": CLASS_COLOURS["frontier"],
    "optimal": CLASS_COLOURS["optimal"],
}
_SUM_COLOURS = {"embeddings": ORANGE, "codes, hop before too": GREEN, "codes, other graph": GREY}
"""Colours of the sums for the model's own run; the codes have the run's colour."""
_LONG_ENOUGH = "problems whose chain is long enough"


# Sets of nodes


def superposition_figures(table: pl.DataFrame) -> list[go.Figure]:
    """Draw every figure of the reading `superposition`."""
    return [set_cosines(table), thought_against_hop(table), set_shares(table), closest_set(table)]


def named_sets(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows about each thought's own hop, and the frontiers a hop before and after it as `WRONG` sets.

    Thoughts beyond the problem's chain are left out: there is nothing left to search.
    """
    ahead = pl.col("hop") - pl.col("hop_read")
    of_hops = pl.col("set").cast(pl.String) == "frontier"
    name = (
        pl.when(of_hops & (ahead == -1)).then(pl.lit("hop before"))
        .when(of_hops & (ahead == 1)).then(pl.lit("hop after"))
        .otherwise(pl.col("set").cast(pl.String))
    )  # fmt: skip
    own = pl.when(of_hops).then(ahead.abs() <= 1).otherwise(True)
    return table.filter(own, pl.col("hop_read") <= pl.col("steps")).with_columns(set=name)


def set_means(table: pl.DataFrame, value: str = "cosine", *, seed: int = 0) -> pl.DataFrame:
    """Return means over problems with intervals, one row per (run, set, thought).

    Args:
        table: Frame of the reading `superposition`.
        value: "cosine", "distance" or "explained".
        seed: Seed of the bootstrap.

    Returns:
        Columns run, set, thought, value, low, high, n, chance (null where it has none).
    """
    require_rows(table)
    return summarise(named_sets(table), value, [RUN, "set", "thought"], seed=seed)


def set_cosines(table: pl.DataFrame) -> go.Figure:
    """Draw the cosine of thoughts with each set's superposition, the model beside its controls."""
    return _by_set(
        set_means(table), (*RIVALS, "target"), "Cosine of thought k and (1/√|V|) Σ u over a set V of nodes",
        "1: the thought is the set's superposition; mean over problems with its 95 % interval over graphs", "cosine",
        "chance: as many random concepts of the problem",
    )  # fmt: skip


def set_shares(table: pl.DataFrame) -> go.Figure:
    """Draw the share of thoughts' squared length in the span of each set's embeddings, controls beside the model."""
    shown = ("optimal", "frontier", "hop before", "hop after", "reached", "another frontier", "concepts", "vocabulary")
    return _by_set(
        set_means(table, "explained"), shown, "Share of thought k explained by a set's embeddings",
        "Squared length in the span of the embeddings (least squares), mean over problems with its 95 % interval over "
        "graphs<br>what all tokens leave over is no superposition of names", "share of squared length",
        "chance: as many random concepts; last two: a random direction",
    )  # fmt: skip


def closest(table: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """Return how often each of the `RIVALS` is the one a thought resembles most.

    Sets with the same nodes are one set: if the frontier is the optimal node alone, the two share the problem equally.

    Args:
        table: Frame of the reading `superposition`.
        seed: Seed of the bootstrap.

    Returns:
        Columns run, thought, set, value (share of problems), low, high, n, chance (each set of a problem equally
        often).
    """
    kept = named_sets(table).filter(pl.col("set").is_in(RIVALS) & pl.col("cosine").is_not_null())
    require_rows(kept)
    keys = (RUN, *about(table.columns), "thought")
    # Equal sets have equal cosines, up to rounding.
    first = (pl.col("cosine") >= pl.col("cosine").max().over(keys) - 1e-9).cast(pl.Float64)
    won = kept.select(*keys, "set", won=first / first.sum().over(keys), even=1 / pl.len().over(keys))
    # A problem without such a set is not won by it.
    every = kept.select(keys).unique(maintain_order=True).join(pl.DataFrame({"set": RIVALS}), how="cross")
    each = every.join(won, on=[*keys, "set"], how="left", maintain_order="left").with_columns(
        pl.col("won", "even").fill_null(0.0)
    )
    return summarise(each, "won", [RUN, "thought", "set"], chance="even", seed=seed)


def closest_set(table: pl.DataFrame) -> go.Figure:
    """Draw how often each set is the one that a thought resembles most, the model beside its controls."""
    return _by_set(
        closest(table), RIVALS, "The set whose superposition thought k resembles most",
        "Share of problems in which its cosine is the highest, with its 95 % interval; equal sets share a problem",
        "share of problems", "chance: each set equally often",
    )  # fmt: skip


def _by_set(
    means: pl.DataFrame, shown: tuple[str, ...], title: str, subtitle: str, unit: str, chance: str
) -> go.Figure:
    return lines(
        means, title, f"{subtitle}; {_LONG_ENOUGH}", unit, panel="set",
        panels={name: WRONG.get(name) or SETS[name] for name in shown}, wide=4, chance=chance,
    )  # fmt: skip


def thought_against_hop(table: pl.DataFrame) -> go.Figure:
    """Draw the mean cosine of thought k with the frontier at every hop, a matrix for each run.

    A thought that holds its own frontier gives a diagonal.
    """
    kept = table.filter(pl.col("set").cast(pl.String) == "frontier", pl.col("hop_read") <= pl.col("steps"))
    require_rows(kept)
    found = summarise(kept, "cosine", [RUN, "thought", "hop"])
    made = maps(
        found, "Cosine of thought k and the frontier at every hop",
        "Mean over problems; hop 0 is the root; a thought that holds its own frontier gives a diagonal",
        "cosine", x="hop", y="thought", axes=("hop of the frontier", "thought"), limits=(0.0, None), wide=3, plot=130,
    )  # fmt: skip
    runs = found[RUN].unique(maintain_order=True).to_list()
    own = found.filter(pl.col(RUN) == (MODEL if MODEL in runs else runs[0]), pl.col("thought") == pl.col("hop"))
    diagonal = ", ".join(f"{value:.2f}" for value in own.sort("thought")["value"])
    made.update_yaxes(tickvals=sorted(found["thought"].unique().to_list()))
    made.update_xaxes(tickvals=sorted(found["hop"].unique().to_list()))
    return told(made, f"Cosine of each thought with the frontier at every hop. The model on the diagonal: {diagonal}.")


# Inner products


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
    keys, value = (RUN, *about(table.columns), "thought"), pl.col(column).cast(pl.Float64)
    even = kept.group_by(keys).agg(chance=value.mean())
    walk = kept.filter("walk").with_columns(pl.lit(WALK).alias("class"))
    each = pl.concat([kept.with_columns(pl.col("class").cast(pl.String)), walk])
    means = each.group_by(*keys, "class", maintain_order=True).agg(
        value.mean(), nodes=pl.len(), spread=value.std(ddof=0)
    )
    return means.join(even, on=keys, maintain_order="left")


def inner_products_by_class(table: pl.DataFrame, column: str = "input") -> go.Figure:
    """Draw the means by class and thought, the model beside its controls (Table 5).

    Args:
        table: Frame of the reading `inner_products`.
        column: One of `COLUMNS`.
    """
    require_rows(table)
    words, unit = COLUMNS[column]
    return lines(
        class_means(by_class(table, column), column, "nodes"), f"Thought k and the nodes at hop k · {words}",
        f"Mean over the nodes of a class with its 95 % interval over graphs; classes are nested; {_LONG_ENOUGH}",
        unit, panel="class", panels={name: CLASS_TITLES[name] for name in NESTED}, wide=5,
        chance="chance: mean over all nodes",
    )  # fmt: skip


def inner_product_histogram(table: pl.DataFrame, column: str = "input") -> go.Figure:
    """Draw how inner products are distributed by class, a panel for each thought (Fig. 6).

    The first run is drawn solid in all classes; of the controls the frontier, dotted.

    Args:
        table: Frame of the reading `inner_products`.
        column: One of `COLUMNS`.
    """
    kept = table.filter(pl.col("hop_read") <= pl.col("steps")).with_columns(pl.col("class").cast(pl.String))
    require_rows(kept)
    words, unit = COLUMNS[column]
    looks, thoughts = run_looks(kept[RUN]), sorted(kept["thought"].unique().to_list())
    first, *controls = looks
    drawn = [(first, name, Look(CLASS_TITLES[name], colour)) for name, colour in COLOURS.items()]
    drawn += [(run, "frontier", Look(f"frontier, {looks[run].title}", looks[run].colour, "dot")) for run in controls]
    made = grid(
        f"Distribution over nodes · {words}",
        f"Share of the nodes of each class in {BIN_EDGES - 1} bins; dotted: the frontier of the controls; "
        f"dashed line: mean over all nodes; classes are nested; {_LONG_ENOUGH}",
        [f"thought {k}" for k in thoughts], len(thoughts),
    )  # fmt: skip
    said = []
    for index, k in enumerate(thoughts):
        here, at = kept.filter(pl.col("thought") == k), place(index, len(thoughts), len(thoughts))
        bins = np.linspace(here[column].to_numpy().min(), here[column].to_numpy().max(), BIN_EDGES)
        for run, name, look in drawn:
            values = here.filter(pl.col(RUN) == run, pl.col("class").is_in(list(NESTED[name])))[column].to_numpy()
            if len(values):
                counts = np.histogram(values, bins)[0]
                made.add_scatter(
                    x=(bins[:-1] + bins[1:]) / 2, y=counts / len(values), customdata=counts, name=look.title,
                    legendgroup=look.title, showlegend=index == 0, mode="lines", **at,
                    line={"color": look.colour, "width": 2 if run == first else 1.5, "dash": look.dash, "shape": "hvh"},
                    hovertemplate=f"{look.title}, around %{{x:.2f}}: %{{y:.3f}} of the class, %{{customdata}} of "
                    f"{len(values)} nodes<extra></extra>",
                )  # fmt: skip
        own = here.filter(pl.col(RUN) == first)
        even = float(own[column].to_numpy().mean())
        made.add_vline(x=even, line=DASHED, **at)  # type: ignore[arg-type]
        frontier = own.filter(pl.col("class").is_in(list(NESTED["frontier"])))[column].mean()
        said.append(f"{frontier:.2f} against {even:.2f} at thought {k}")
    made.update_xaxes(title=unit, showgrid=False).update_yaxes(title="share of the class", col=1)
    return fit_legend(made, f"{words}, by class. Mean of the frontier against all nodes: {'; '.join(said)}.")


# Sums of one vector per node


def shares(table: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return the share of the thoughts' variance that each sum explains, with a bootstrap interval over graphs.

    Args:
        table: `readings.node_vectors.codes_frame`.
        seed: Of the resampling.

    Returns:
        One row per (run, sum, thought): value (at most 1; below 0 where worse than the mean thought), low, high, n.
    """
    require_rows(table)
    left = summarise(table, ["error", "spread"], [RUN, "sum", "thought"], statistic=ratio, seed=seed)
    return left.select(
        RUN, "sum", "thought", value=1 - pl.col("value"), low=1 - pl.col("high"), high=1 - pl.col("low"), n="n"
    )


def explained_by_thought(table: pl.DataFrame) -> go.Figure:
    """Draw the share of variance explained by thought: the model's own by each sum, its controls by the codes.

    Args:
        table: `readings.node_vectors.codes_frame`.
    """
    found = shares(table).with_columns(pl.col("sum").cast(pl.String), line=pl.format("{} {}", RUN, "sum"), chance=0.0)
    runs, looks = run_looks(found[RUN]), {}
    for run, name, key in found.select(RUN, "sum", "line").unique(maintain_order=True).iter_rows():
        look = runs[run]
        if run == MODEL:
            dash = "dash" if name == "codes, other graph" else "solid"
            looks[key] = Look(name, _SUM_COLOURS.get(name, look.colour), dash)
        elif name == "codes":
            looks[key] = Look(f"codes, {run_title(run)}", look.colour, look.dash)
    # Far below zero says no more than that it is no prediction.
    lowest = max(-0.5, float(found["low"].to_numpy().min()) - 0.05)
    return lines(
        found, "What a thought is the sum of",
        "Share of the thoughts' variance explained on graphs that nothing was learned on, with its 95 % interval; "
        f"0: the mean thought; codes are learned from the others of these {found['n'].max()} problems: "
        "the fewer, the less they explain", "share of variance explained",
        by="line", looks=looks, chance="chance: the mean thought", limits=(min(lowest, -0.05), 1.02),
    )  # fmt: skip
