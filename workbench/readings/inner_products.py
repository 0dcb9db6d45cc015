"""Inner products of thoughts with node embeddings, by class of the node: Table 5 and Fig. 6 of arXiv 2505.12514.

Thought i is set against the nodes i hops away (where c thoughts stand for a step, i / c, rounded up). A thought is the
hidden state after the final norm, so where input and output embeddings are tied, as in the paper, this inner product
*is* the logit of the node's token under the LM head: the same reading as values, before the softmax. Cosines take the
lengths out. Where the two embeddings are not tied, both are read, and only the unembedding's is a logit.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool

from workbench.figures.superposition import by_class, inner_product_figures
from workbench.measure.class_means import EXCLUSIVE, NESTED, class_codes, class_means
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure, walk_frontier
from workbench.readings.base import Reading

Which = Literal["input", "unembedding", "input_cosine", "unembedding_cosine"]
"""Columns of the frame that `table_5` can be of."""


def on_walk_frontier(recording: Recording, hop: int) -> Bool[np.ndarray, "n nodes"]:
    """Say which nodes a walk of exactly so many edges from the root ends at."""
    found = np.zeros_like(recording.is_node)
    for row, problem in zip(found, recording.problems, strict=True):
        row[: len(problem.names)] = walk_frontier(structure(problem).adjacency, problem.root, hop)
    return found


def frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, thought, node).

    Columns: run, problem, steps (hops from root to target), thought, hop_read (the hop it
    stands for), node (its name), hop (BFS depth, null where
    unreachable), class (`EXCLUSIVE`, at hop_read), walk (whether it is on the walk frontier),
    input and unembedding (inner product of thought and the node's embedding; of its first token where a name has
    several), input_cosine and unembedding_cosine, tied (whether the two embeddings are the same).
    """
    return pl.concat([_of(recording) for recording in recordings])


def _of(recording: Recording) -> pl.DataFrame:
    tokens, thoughts = np.maximum(recording.first_tokens, 0), recording.thoughts.astype(np.float64)
    lengths, products = np.linalg.norm(thoughts, axis=2)[..., None], {}
    for name, matrix in (("input", recording.embedding), ("unembedding", recording.unembedding)):
        nodes = matrix[tokens].astype(np.float64)  # n nodes d
        products[name] = thoughts @ nodes.swapaxes(1, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            products[f"{name}_cosine"] = products[name] / lengths / np.linalg.norm(nodes, axis=2)[:, None]
    read = np.array([recording.traces[0].hop(k) for k in range(1, recording.count + 1)])
    codes = np.stack([class_codes(recording.hops, int(hop), recording.is_optimal) for hop in read], 1)
    walks = np.stack([on_walk_frontier(recording, int(hop)) for hop in read], 1)
    at, k, node = np.nonzero(codes >= 0)  # problem by problem, thought by thought
    names = [problem.names[n] for problem in recording.problems for _ in read for n in range(len(problem.names))]
    about = [structure(problem).length for problem in recording.problems]
    ids = pl.Series([problem.id for problem in recording.problems], dtype=pl.String)
    return pl.DataFrame(
        {
            "problem": ids.gather(at),
            "steps": pl.Series(about, dtype=pl.Int16).gather(at),
            "thought": pl.Series(k + 1, dtype=pl.Int16),
            "hop_read": pl.Series(read[k], dtype=pl.Int16),
            "node": pl.Series(names, dtype=pl.String),
            "hop": pl.Series(recording.hops[at, node], dtype=pl.Int16).replace(-1, None),
            "class": pl.Series(np.array(EXCLUSIVE)[codes[at, k, node]], dtype=pl.Enum(EXCLUSIVE)),
            "walk": pl.Series(walks[at, k, node]),
            **{name: pl.Series(array[at, k, node], dtype=pl.Float32) for name, array in products.items()},
            "tied": np.full(len(at), np.array_equal(recording.embedding, recording.unembedding)),
        }
    ).select(pl.lit(recording.label).alias(RUN), pl.all())


def table_5(table: pl.DataFrame, which: Which = "input", *, seed: int = 0) -> pl.DataFrame:
    """Return Table 5: one row per (run, thought, class of `NESTED`), pooled over the nodes of all problems.

    Args:
        table: `frame` of this reading.
        which: Inner products with input embeddings, as published, or with the unembedding; or the cosines.
        seed: Seed of the bootstrap.

    Returns:
        Columns of `class_means`; chance is the mean over all nodes of the same problems, which a thought that does not
        tell nodes apart would give every class. Only problems whose chain reaches the thought count, as published.
    """
    return class_means(by_class(table, which), which, "nodes", classes=NESTED, seed=seed)


READING = Reading(
    name="inner_products",
    title="Inner products of thoughts and nodes",
    question="Is a thought closer to the embeddings of the frontier than to those of other nodes?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 5, figure 6 and table 5",
    chance="The mean over all nodes of the same problem, which a thought that tells no nodes apart gives every class.",
    schema=1,
    frame=frame,
    figures=inner_product_figures,
)
