"""Attention of thoughts to edges, by class of the edge: Table 1 of Reasoning by Superposition (arXiv 2505.12514).

**Which column makes which thought.** Thought i is the last hidden state of column i - 1 of a `Recording` (column 0 is
the root at the end of the prompt, column k is where thought k was fed). So "when generating the i-th thought" is
attention *from* column i - 1, and the edges that a search would follow there have their source one hop before the hop
that thought i stands for: the first thought is made by edges that leave the root. There "reached" and "frontier" are
the same set.

**What a number of the table is**: attention to an edge is the sum over its tokens (source, target, separator); of this
the mean over all edges of the class in all problems whose chain is long enough, and the sum over heads. The paper has 8
heads, so that its values range to 8; ours range to the number of our heads. `table_1(frame, over="mean")` divides by it
and is comparable between models. All edges count (the published notebook loses the last of each problem). Whichever
frontier is meant, by BFS depth or by walks, the optimal edges are the same.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from workbench.figures.attention import attention_figures
from workbench.measure.class_means import EXCLUSIVE, NESTED, WALK, class_codes, class_means
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure, walk_frontier
from workbench.readings.base import Reading


def edge_codes(recording: Recording, hop: int) -> Int[np.ndarray, "n edges"]:
    """Return each edge's exclusive class when a thought that stands for a hop is made; -1 for no edge.

    The class, an index into `EXCLUSIVE`, is that of the edge's source one hop before. Optimal edges lead from there
    along a shortest path: their target is on one, and a hop further.
    """
    rows, (source, target) = np.arange(len(recording.edges))[:, None], np.moveaxis(recording.edges, 2, 0)
    onward = recording.is_optimal[rows, target] & (recording.hops[rows, target] == hop)
    hops = np.where(recording.is_edge, recording.hops[rows, source], -2)
    return class_codes(hops, hop - 1, onward & recording.is_edge)


def from_walk_frontier(recording: Recording, hop: int) -> Bool[np.ndarray, "n edges"]:
    """Say which edges leave a node that a walk of exactly `hop` - 1 edges reaches."""
    found = np.zeros_like(recording.is_edge)
    for row, problem in zip(found, recording.problems, strict=True):
        front = walk_frontier(structure(problem).adjacency, problem.root, hop - 1)
        row[: len(problem.edges)] = front[[source for source, _ in problem.edges]]
    return found


def frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return attention by class, one row per (run, problem, thought, layer, head, class that has edges).

    Columns: run, problem, steps (hops from root to target), thought (the one that is made), hop_read (the hop it stands
    for), layer and head (counted from 0 as TransformerLens does; head is null for the sum over heads), class
    (`EXCLUSIVE`; and the walk frontier, whose edges are in the other classes as well), edges (how many), attention
    (mean per edge), spread (standard deviation over them), chance (the mean if the same attention to edges were spread
    evenly over all edges; times their number it is all the attention to edges).
    """
    return pl.concat([_of(recording, thought) for recording in recordings for thought in range(1, recording.count + 1)])


def _of(recording: Recording, thought: int) -> pl.DataFrame:
    each = recording.attention[:, thought - 1]  # n L H edges, of the column that makes this thought
    attention = np.nan_to_num(np.concatenate([each.sum(2, keepdims=True), each], 2).astype(np.float64))
    even = attention.sum(3) / recording.is_edge.sum(1)[:, None, None]
    hop = recording.traces[0].hop(thought)
    codes = edge_codes(recording, hop)
    sets = {name: codes == code for code, name in enumerate(EXCLUSIVE)}
    sets[WALK] = from_walk_frontier(recording, hop)
    parts = [_rows(recording, name, members, attention, even) for name, members in sets.items()]
    numbers = [pl.lit(thought, pl.Int16).alias("thought"), pl.lit(hop, pl.Int16).alias("hop_read")]
    own = pl.lit(recording.label).alias(RUN), "problem", "steps"
    return pl.concat(parts).select(*own, *numbers, pl.exclude("problem", "steps"))


def _rows(
    recording: Recording,
    name: str,
    members: Bool[np.ndarray, "n edges"],
    attention: Float[np.ndarray, "n L heads edges"],
    even: Float[np.ndarray, "n L heads"],
) -> pl.DataFrame:
    some = members.any(1)
    inside, size = members[some][:, None, None], members[some].sum(1)[:, None, None]
    mean = (attention[some] * inside).sum(3) / size
    spread = np.sqrt((((attention[some] - mean[..., None]) * inside) ** 2).sum(3) / size)
    problems = [recording.problems[row] for row in np.flatnonzero(some)]
    at, layer, head = (axis.ravel() for axis in np.indices(mean.shape))
    return pl.DataFrame(
        {
            "problem": pl.Series([problem.id for problem in problems], dtype=pl.String).gather(at),
            "steps": pl.Series([structure(problem).length for problem in problems], dtype=pl.Int16).gather(at),
            "layer": pl.Series(layer, dtype=pl.Int16),
            "head": pl.Series(head - 1, dtype=pl.Int16).replace(-1, None),
            "class": pl.Series([name] * len(at), dtype=pl.Enum((*EXCLUSIVE, WALK))),
            "edges": pl.Series(np.broadcast_to(size, mean.shape).ravel(), dtype=pl.Int16),
            "attention": pl.Series(mean.ravel(), dtype=pl.Float32),
            "spread": pl.Series(spread.ravel(), dtype=pl.Float32),
            "chance": pl.Series(even[some].ravel(), dtype=pl.Float32),
        }
    )


def table_1(
    table: pl.DataFrame, *, over: Literal["sum", "mean"] = "sum", layer: int | None = None, seed: int = 0
) -> pl.DataFrame:
    """Return Table 1: one row per (run, thought, class of `NESTED`), pooled over the edges of all problems.

    Args:
        table: `frame` of this reading.
        over: The sum over heads, as published, or the mean over heads, to compare models of unequally many.
        layer: Counted from 0; by default the last one (the paper's layer 2).
        seed: Seed of the bootstrap.

    Returns:
        Columns of `class_means`; only problems whose chain reaches the thought's hop count, as published.
    """
    heads = table["head"].n_unique() - 1 if over == "mean" else 1
    kept = table.filter(
        pl.col("head").is_null(),
        pl.col("layer") == (table["layer"].max() if layer is None else layer),
        pl.col("hop_read") <= pl.col("steps"),
    ).with_columns(pl.col("attention", "spread", "chance") / heads)
    return class_means(kept, "attention", "edges", classes=NESTED, seed=seed)


READING = Reading(
    name="attention_by_class",
    title="Attention of thoughts to edges",
    question="Does a thought attend to the edges that leave the frontier when the next thought is made?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 5, table 1; its notebook",
    chance="The same attention to edges, spread evenly over all edges of the problem.",
    schema=1,
    frame=frame,
    figures=attention_figures,
)
