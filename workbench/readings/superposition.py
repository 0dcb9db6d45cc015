"""Which nodes a thought resembles: the superposition of the theory against other sets, and node by node.

**Sets.** The theory's thought after k hops is (1/√|V|) Σ u_v over the set V of nodes **reached** within k hops (arXiv
2505.12514). A model trained to name the next node may rather hold the **frontier**, exactly k hops away, or the
**optimal** node alone. Each of these is a direction. Measured are the cosine of thought and direction, and how far the
two are apart when the direction is given the thought's length, in lengths of the thought: √(2 - 2 cos). The **explained
share** is how much of the thought's squared length lies in the span of the set's embeddings, whatever their weights
(least squares): a thought need not weigh its nodes equally. The span of a larger set explains more, so a set is
compared with as many random concepts of the same problem. Controls that need no run: the same sets of another problem
(`exchanged`; concepts have the same names, so the two may share some), and frontiers of the wrong hop.

**Node by node.** The inner product of a thought with each node's embedding: Table 5 and Fig. 6 of arXiv 2505.12514.
Thought i is compared with the nodes i hops away (where c thoughts stand for a step, i / c, rounded up). A thought is
the hidden state after the final norm, so where input and output embeddings are tied, as in the paper, this inner
product *is* the logit of the node's token under the LM head: the same reading as values, before the softmax. Cosines
take the lengths out. Where the two embeddings are not tied, both are read, and only the unembedding's is a logit.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from workbench.figures.superposition import SETS, by_class, inner_product_figures, superposition_figures
from workbench.interventions.thoughts import exchanged
from workbench.measure.class_means import EXCLUSIVE, NESTED, class_codes, class_means
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure, walk_frontier
from workbench.readings.base import Reading, hops_read, named, rows, steps

DRAWS = 4
"""Random sets of as many concepts whose mean is a chance level."""

Mask = Bool[np.ndarray, "n nodes"]
Vectors = Float[np.ndarray, "n nodes d"]
Thoughts = Float[np.ndarray, "n K d"]
Which = Literal["input", "unembedding", "input_cosine", "unembedding_cosine"]
"""Columns of inner products that `table_5` can be of."""


def superposed(nodes: Vectors, members: Mask) -> Float[np.ndarray, "n d"]:
    """Return (1/√|V|) Σ u_v over each problem's set; nan where it is empty."""
    size = members.sum(1)[:, None]
    total = np.einsum("nv,nvd->nd", members.astype(nodes.dtype), nodes)
    return np.divide(total, np.sqrt(size), out=np.full_like(total, np.nan), where=size > 0)


def cosines(thoughts: Thoughts, directions: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n K"]:
    """Return the cosine of every thought with its problem's direction; nan where there is none."""
    lengths = np.linalg.norm(thoughts, axis=2) * np.linalg.norm(directions, axis=1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.einsum("nkd,nd->nk", thoughts, directions) / lengths


def explained(nodes: Vectors, members: Mask, thoughts: Thoughts) -> Float[np.ndarray, "n K"]:
    """Return the share of each thought's squared length in the span of its problem's set (least squares); nan if empty.

    By the normal equations: with B = the set's embeddings, |proj t|² = (B t)ᵀ (B Bᵀ)⁺ (B t).
    """
    widest = max(int(members.sum(1).max()), 1)  # small sets, small matrices
    first = np.argsort(~members, axis=1, kind="stable")[:, :widest]
    kept = np.take_along_axis(nodes * members[..., None], first[..., None], 1)
    inverse = np.linalg.pinv(kept @ kept.swapaxes(1, 2), rcond=1e-9, hermitian=True)
    onto = thoughts @ kept.swapaxes(1, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.einsum("nkv,nvw,nkw->nk", onto, inverse, onto) / (thoughts**2).sum(2)
    return np.where(members.any(1, keepdims=True), share, np.nan)


def random_members(members: Mask, among: Mask, rng: np.random.Generator) -> Mask:
    """Draw for each problem as many nodes as its set has, among others; all of them where there are too few."""
    keys = np.where(among, rng.random(among.shape), 2.0)
    order = np.argsort(np.argsort(keys, axis=1), axis=1)
    return (order < np.count_nonzero(members, axis=1, keepdims=True)) & among


def on_walk_frontier(recording: Recording, hop: int) -> Mask:
    """Say which nodes a walk of exactly so many edges from the root ends at."""
    found = np.zeros_like(recording.is_node)
    for row, problem in zip(found, recording.problems, strict=True):
        row[: len(problem.names)] = walk_frontier(structure(problem).adjacency, problem.root, hop)
    return found


def superposition_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought, set) that is not empty.

    Columns: run, problem, steps (hops from root to target), thought, hop_read (the hop it stands for), set (`SETS`;
    "frontier" once for every hop), hop (of the set: frontier at it, reached within it), size (nodes), cosine, distance
    (in lengths of the thought), explained (share of its squared length in the span); cosine_chance and explained_chance
    (the same of as many random concepts of the problem, mean of `DRAWS` draws; null where the set is not of the
    thought's own hop). "concepts" is all concepts of the problem, "vocabulary" every token there is: what their span
    leaves over is no superposition of names. Of these two `explained_chance` is that of a direction at random, nodes /
    dimensions.
    """
    return pl.concat([_of_sets(recording, seed) for recording in recordings])


def _of_sets(recording: Recording, seed: int) -> pl.DataFrame:
    hops, thoughts = recording.hops, recording.thoughts.astype(np.float64)
    nodes = recording.embedding[np.maximum(recording.first_tokens, 0)].astype(np.float64)
    read = hops_read(recording)
    own: dict[str, Callable[[int], Mask]] = {
        "frontier": lambda hop: hops == hop,
        "reached": lambda hop: (hops >= 0) & (hops <= hop),
        "walk frontier": lambda hop: on_walk_frontier(recording, hop),
        "optimal": lambda hop: recording.is_optimal & (hops == hop),
        "target": lambda _: np.arange(hops.shape[1]) == np.array([[p.target] for p in recording.problems]),
    }
    here, parts = pl.col("hop_read") == pl.col("hop"), []
    for name, members in own.items():
        for hop in range(max(read) + 2) if name == "frontier" else sorted(set(read)):
            found = _against(recording, name, hop, nodes, members(hop), thoughts)
            found = found if name == "frontier" else found.filter(here)
            parts.append(_with_chance(recording, nodes, thoughts, found, members(hop), hop, seed))
    if len(hops) > 1:
        donors = exchanged(len(hops), seed)
        for hop in sorted(set(read)):
            for name in ("frontier", "reached"):
                other = own[name](hop)[donors]
                parts.append(_against(recording, f"another {name}", hop, nodes[donors], other, thoughts).filter(here))
    of_any_direction = pl.col("size") / nodes.shape[2]
    concepts = _against(recording, "concepts", 0, nodes, recording.is_concept, thoughts)
    parts.append(concepts.with_columns(explained_chance=of_any_direction))
    every = recording.embedding.astype(np.float64)[None]
    if every.shape[1] < every.shape[2]:  # more tokens than dimensions span everything, and take long
        tokens = _against(recording, "vocabulary", 0, every, np.ones((1, every.shape[1]), dtype=bool), thoughts)
        parts.append(tokens.with_columns(explained_chance=of_any_direction))
    return pl.concat(parts, how="diagonal")


def _against(
    recording: Recording, name: str, hop: int, nodes: Vectors, members: Mask, thoughts: Thoughts
) -> pl.DataFrame:
    """Compare every thought with one set of nodes for each problem (or one for all); empty sets are left out."""
    count, ks = thoughts.shape[:2]
    if len(nodes) == 1 < count:  # the same span for all: they are projected together
        flat = thoughts.reshape(1, count * ks, -1)
        cosine = cosines(flat, superposed(nodes, members)).reshape(count, ks)
        share, members = explained(nodes, members, flat).reshape(count, ks), members.repeat(count, 0)
    else:
        cosine, share = cosines(thoughts, superposed(nodes, members)), explained(nodes, members, thoughts)
    at, k = (axis.ravel() for axis in np.indices((count, ks)))
    columns = {
        "steps": steps(recording)[at],
        "thought": k + 1,
        "hop_read": np.array(hops_read(recording))[k],
        "set": pl.Series([name] * len(at), dtype=pl.Enum(tuple(SETS))),
        "hop": hop,
        "size": members.sum(1)[at],
        "cosine": cosine,
        "distance": np.sqrt(np.maximum(2 - 2 * cosine, 0)),
        "explained": share,
    }
    return rows(recording, at, columns).filter(pl.col("size") > 0)


def _with_chance(
    recording: Recording,
    nodes: Vectors,
    thoughts: Thoughts,
    found: pl.DataFrame,
    members: Mask,
    hop: int,
    seed: int,
) -> pl.DataFrame:
    """Add the score of as many random concepts of the problem, to the rows of the thoughts of that hop."""
    ks = [k for k, read in enumerate(hops_read(recording), 1) if read == hop]
    if not ks or found.is_empty():
        return found
    rng, own = np.random.default_rng([seed, hop]), thoughts[:, [k - 1 for k in ks]]
    drawn = [random_members(members, recording.is_concept, rng) for _ in range(DRAWS)]
    columns = {
        "thought": np.tile(ks, len(own)),
        "cosine_chance": np.mean([cosines(own, superposed(nodes, some)) for some in drawn], 0),
        "explained_chance": np.mean([explained(nodes, some, own) for some in drawn], 0),
    }
    levels = rows(recording, np.arange(len(own)).repeat(len(ks)), columns)
    return found.join(levels.drop(RUN, "graph"), on=("problem", "thought"), how="left", maintain_order="left")


SUPERPOSITION = Reading(
    name="superposition",
    title="Distance from the superposition",
    question="Which set of nodes does a thought resemble most: all that is reached, the frontier, or the optimal node?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 4 (the construction); no published measurement",
    chance="As many random concepts of the same problem; beside it the same set of another problem.",
    schema=1,
    frame=superposition_frame,
    figures=superposition_figures,
)


def inner_products_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, thought, node).

    Columns: run, problem, steps (hops from root to target), thought, hop_read (the hop it stands for), node (its name),
    hop (BFS depth, null where unreachable), class (`EXCLUSIVE`, at hop_read), walk (whether it is on the walk
    frontier), input and unembedding (inner product of thought and the node's embedding; of its first token where a name
    has several), input_cosine and unembedding_cosine, tied (whether the two embeddings are the same).
    """
    return pl.concat([_of_nodes(recording) for recording in recordings])


def _of_nodes(recording: Recording) -> pl.DataFrame:
    tokens, thoughts = np.maximum(recording.first_tokens, 0), recording.thoughts.astype(np.float64)
    lengths, products = np.linalg.norm(thoughts, axis=2)[..., None], {}
    for name, matrix in (("input", recording.embedding), ("unembedding", recording.unembedding)):
        nodes = matrix[tokens].astype(np.float64)  # n nodes d
        products[name] = thoughts @ nodes.swapaxes(1, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            products[f"{name}_cosine"] = products[name] / lengths / np.linalg.norm(nodes, axis=2)[:, None]
    read = hops_read(recording)
    codes = np.stack([class_codes(recording.hops, hop, recording.is_optimal) for hop in read], 1)
    walks = np.stack([on_walk_frontier(recording, hop) for hop in read], 1)
    at, k, node = np.nonzero(codes >= 0)  # problem by problem, thought by thought
    columns = {
        "steps": steps(recording)[at],
        "thought": k + 1,
        "hop_read": np.array(read)[k],
        "node": [name for problem in recording.problems for _ in read for name in problem.names],
        "hop": recording.hops[at, node],
        "class": named(EXCLUSIVE, codes[at, k, node]),
        "walk": walks[at, k, node],
        **{name: array[at, k, node].astype(np.float32) for name, array in products.items()},
        "tied": np.array_equal(recording.embedding, recording.unembedding),
    }
    return rows(recording, at, columns)


def table_5(table: pl.DataFrame, which: Which = "input", *, seed: int = 0) -> pl.DataFrame:
    """Return Table 5: one row per (run, thought, class of `NESTED`), pooled over the nodes of all problems.

    Args:
        table: `inner_products_frame`.
        which: Inner products with input embeddings, as published, or with the unembedding; or the cosines.
        seed: Seed of the bootstrap.

    Returns:
        Columns of `class_means`; chance is the mean over all nodes of the same problems, which a thought that does not
        tell nodes apart would give every class. Only problems whose chain reaches the thought count, as published.
    """
    return class_means(by_class(table, which), which, "nodes", classes=NESTED, seed=seed)


INNER_PRODUCTS = Reading(
    name="inner_products",
    title="Inner products of thoughts and nodes",
    question="Is a thought closer to the embeddings of the frontier than to those of other nodes?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 5, figure 6 and table 5",
    chance="The mean over all nodes of the same problem, which a thought that tells no nodes apart gives every class.",
    schema=1,
    frame=inner_products_frame,
    figures=inner_product_figures,
)
