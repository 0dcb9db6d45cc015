"""Means by node class and thought, with intervals: the layout of tables 1 and 5 of arXiv 2505.12514.

At a hop every node belongs to exactly one **exclusive** class, by its place in a breadth-first search of that many
hops. The paper's classes are **nested**, unions of these: frontier within reached, optimal within frontier. Its
"reachable" means reached within that many hops, and its "not reachable" includes the nodes reached later.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from workbench.measure.run_labels import RUN
from workbench.measure.statistics import RESAMPLES, graphs_of, ratio, resample

EXCLUSIVE = ("optimal", "off the path", "reached before", "reached later", "never reached")
"""Exclusive classes at a hop, in the order of the codes of `class_codes`."""
WALK = "walk frontier"
"""What a walk of exactly so many edges reaches: the paper's notebook takes this for the frontier."""
NESTED: dict[str, tuple[str, ...]] = {
    "not reached": EXCLUSIVE[3:],
    "reached": EXCLUSIVE[:3],
    "frontier": EXCLUSIVE[:2],
    WALK: (WALK,),
    "optimal": EXCLUSIVE[:1],
}
"""The paper's classes in its order, and the walk frontier: name, and the classes of a table that it joins."""
APART: dict[str, tuple[str, ...]] = {name: (name,) for name in EXCLUSIVE}
"""The exclusive classes, each by itself."""
CLASS_TITLES = {
    "not reached": "not reached",
    "reached": "reached",
    "frontier": "frontier",
    WALK: "frontier, by walks",
    "optimal": "optimal",
    "off the path": "frontier, off the path",
    "reached before": "reached before",
    "reached later": "reached later",
    "never reached": "never reached",
}
"""Names on the screen."""


def class_codes(
    hops: Int[np.ndarray, "*shape"], at: int, is_optimal: Bool[np.ndarray, "*shape"]
) -> Int[np.ndarray, "*shape"]:
    """Return each node's exclusive class at a hop as an index into `EXCLUSIVE`, -1 where there is no node.

    Args:
        hops: BFS depth from the root, -1 for unreachable, -2 where there is no node (`Recording.hops`).
        at: The hop: nodes at it are the frontier.
        is_optimal: Whether the node (for edges: the edge) continues a shortest path to the target; counts on the
            frontier alone.
    """
    here = hops == at
    missing, before, later = hops < -1, (hops >= 0) & (hops < at), hops > at
    return np.select([missing, here & is_optimal, here, before, later], [-1, 0, 1, 2, 3], default=4)


def class_means(
    table: pl.DataFrame,
    value: str,
    weight: str,
    by: Sequence[str] = (RUN, "thought"),
    classes: Mapping[str, Sequence[str]] = NESTED,
    *,
    seed: int = 0,
) -> pl.DataFrame:
    """Return means over all edges or nodes of a class, pooled over problems as the paper does, with intervals.

    The bootstrap draws graphs, since the edges of one problem are not independent.

    Args:
        table: One row per (`by`, problem, class): mean `value` over `weight` edges or nodes, their standard deviation
            `spread`, and `chance`.
        value: Column of the means.
        weight: Column of the counts.
        by: Columns to keep apart, besides the class.
        classes: `NESTED`, or `APART`.
        seed: Seed of the resampling.

    Returns:
        One row per (`by`, class), classes in the order given: value, low, high, spread (standard deviation over edges
        or nodes, the paper's ±), chance (mean over the same), n (problems that have such edges or nodes), items. Low
        and high are null where n is 1.
    """
    place, graphs = table["problem"].unique(maintain_order=True), graphs_of(table)
    assert graphs is not None
    table = table.with_columns(_graph=graphs.replace_strict(place, range(len(place))))
    average, count = pl.col(value).cast(pl.Float64), pl.col(weight)
    table = table.with_columns(pl.col("class").cast(pl.String)).filter(count > 0)
    parts = []
    for name, members in classes.items():
        kept = table.filter(pl.col("class").is_in(list(members)))
        for key, rows in kept.group_by(*by, maintain_order=True):
            each = rows.group_by("problem", "_graph", maintain_order=True).agg(
                total=(average * count).sum(),
                square=((average**2 + pl.col("spread") ** 2) * count).sum(),
                even=(pl.col("chance") * count).sum(),
                items=count.cast(pl.Int64).sum(),
            )
            made = resample(
                each["total"], each["items"], statistic=ratio, clusters=each["_graph"], seed=seed, resamples=RESAMPLES
            )
            size = int(each["items"].sum())
            square, even = (float(each[column].sum()) / size for column in ("square", "even"))
            parts.append(
                dict(zip(by, key, strict=True)) | {"class": name} | made.as_dict()
                | {"spread": max(square - made.value**2, 0.0) ** 0.5, "chance": even, "n": len(each), "items": size}
            )  # fmt: skip
    return pl.DataFrame(parts, infer_schema_length=None).with_columns(pl.col("low", "high").fill_nan(None))
