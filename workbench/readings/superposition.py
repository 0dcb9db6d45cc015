"""Which set of nodes a thought resembles: the superposition of the theory (arXiv 2505.12514) against other sets.

The theory's thought after k hops is (1/√|V|) Σ u_v over the set V of nodes **reached** within k hops. A model trained
to name the next node may rather hold the **frontier**, exactly k hops away, or the **optimal** node alone. Each of
these is a direction; what is measured is the cosine of thought and direction, and how far the two are apart when the
direction is given the thought's length, in lengths of the thought: √(2 - 2 cos).

Beside it stands the **explained share**: how much of the thought's squared length lies in the span of the set's
embeddings, whatever their weights (least squares). A thought need not weigh its nodes equally. The span of a larger set
explains more, so a set is to be compared with as many random concepts of the same problem.

Controls that need no run of their own: the same sets of another problem (`exchanged`; concepts have the same names, so
the two may share some), and frontiers of the wrong hop.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from workbench.figures.superposition import SETS, superposition_figures
from workbench.interventions.thoughts import exchanged
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure
from workbench.readings.base import Reading
from workbench.readings.inner_products import on_walk_frontier

DRAWS = 4
"""Random sets of as many concepts that a chance level is the mean over."""

Mask = Bool[np.ndarray, "n nodes"]
Vectors = Float[np.ndarray, "n nodes d"]
Thoughts = Float[np.ndarray, "n K d"]


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


def frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought, set) that is not empty.

    Columns: run, problem, steps (hops from root to target), thought, hop_read (the hop it stands for), set (`SETS`;
    "frontier" once for every hop), hop (of the set: frontier at it, reached within it), size (nodes), cosine, distance
    (in lengths of the thought), explained (share of its squared length in the span); cosine_chance and explained_chance
    (the same of as many random concepts of the problem, mean of `DRAWS` draws; null where the set is not of the
    thought's own hop). "concepts" is all concepts of the problem, "vocabulary" every token there is: what their span
    leaves over is no superposition of names. Of these two `explained_chance` is that of a direction at random, nodes /
    dimensions.
    """
    return pl.concat([_of(recording, seed) for recording in recordings])


def _of(recording: Recording, seed: int) -> pl.DataFrame:
    hops, thoughts = recording.hops, recording.thoughts.astype(np.float64)
    nodes = recording.embedding[np.maximum(recording.first_tokens, 0)].astype(np.float64)
    read = [recording.traces[0].hop(k) for k in range(1, recording.count + 1)]
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
            rows = _rows(recording, name, hop, nodes, members(hop), thoughts)
            rows = rows if name == "frontier" else rows.filter(here)
            parts.append(_with_chance(recording, nodes, thoughts, rows, members(hop), hop, seed))
    if len(hops) > 1:
        donors = exchanged(len(hops), seed)
        for hop in sorted(set(read)):
            for name in ("frontier", "reached"):
                other = own[name](hop)[donors]
                parts.append(_rows(recording, f"another {name}", hop, nodes[donors], other, thoughts).filter(here))
    parts.append(_of_any_direction(_rows(recording, "concepts", 0, nodes, recording.is_concept, thoughts), nodes))
    every = recording.embedding.astype(np.float64)[None]
    if every.shape[1] < every.shape[2]:  # more tokens than dimensions span everything, and take long
        rows = _rows(recording, "vocabulary", 0, every, np.ones((1, every.shape[1]), dtype=bool), thoughts)
        parts.append(_of_any_direction(rows, nodes))
    return pl.concat(parts, how="diagonal").select(pl.lit(recording.label).alias(RUN), pl.all())


def _rows(recording: Recording, name: str, hop: int, nodes: Vectors, members: Mask, thoughts: Thoughts) -> pl.DataFrame:
    """Set every thought against one set of nodes for each problem (or one for all); empty sets are left out."""
    count, ks = thoughts.shape[:2]
    if len(nodes) == 1 < count:  # the same span for all: they are projected together
        flat = thoughts.reshape(1, count * ks, -1)
        cosine = cosines(flat, superposed(nodes, members)).reshape(count, ks)
        share, members = explained(nodes, members, flat).reshape(count, ks), members.repeat(count, 0)
    else:
        cosine, share = cosines(thoughts, superposed(nodes, members)), explained(nodes, members, thoughts)
    problems, trace = recording.problems, recording.traces[0]
    table = pl.DataFrame(
        {
            "problem": pl.Series([problem.id for problem in problems for _ in range(ks)], dtype=pl.String),
            "steps": pl.Series([structure(problem).length for problem in problems for _ in range(ks)], dtype=pl.Int16),
            "thought": pl.Series(list(range(1, ks + 1)) * count, dtype=pl.Int16),
            "hop_read": pl.Series([trace.hop(k) for k in range(1, ks + 1)] * count, dtype=pl.Int16),
            "set": pl.Series([name] * (count * ks), dtype=pl.Enum(tuple(SETS))),
            "hop": pl.Series([hop] * (count * ks), dtype=pl.Int16),
            "size": pl.Series(members.sum(1).repeat(ks), dtype=pl.Int16),
            "cosine": cosine.ravel(),
            "distance": np.sqrt(np.maximum(2 - 2 * cosine.ravel(), 0)),
            "explained": share.ravel(),
        }
    )
    return table.filter(pl.col("size") > 0).with_columns(pl.col("cosine", "distance", "explained").fill_nan(None))


def _with_chance(
    recording: Recording,
    nodes: Vectors,
    thoughts: Thoughts,
    rows: pl.DataFrame,
    members: Mask,
    hop: int,
    seed: int,
) -> pl.DataFrame:
    """Add what as many random concepts of the problem would score, to the rows of the thoughts of that hop."""
    ks = [k for k in range(1, recording.count + 1) if recording.traces[0].hop(k) == hop]
    if not ks or rows.is_empty():
        return rows
    rng, own = np.random.default_rng([seed, hop]), thoughts[:, [k - 1 for k in ks]]
    drawn = [random_members(members, recording.is_concept, rng) for _ in range(DRAWS)]
    levels = pl.DataFrame(
        {
            "problem": pl.Series([problem.id for problem in recording.problems for _ in ks], dtype=pl.String),
            "thought": pl.Series(ks * len(own), dtype=pl.Int16),
            "cosine_chance": np.mean([cosines(own, superposed(nodes, some)) for some in drawn], 0).ravel(),
            "explained_chance": np.mean([explained(nodes, some, own) for some in drawn], 0).ravel(),
        }
    )
    return rows.join(levels.fill_nan(None), on=("problem", "thought"), how="left", maintain_order="left")


def _of_any_direction(rows: pl.DataFrame, nodes: Vectors) -> pl.DataFrame:
    return rows.with_columns(explained_chance=pl.col("size") / nodes.shape[2])


READING = Reading(
    name="superposition",
    title="Distance from the superposition",
    question="Which set of nodes does a thought resemble most: all that is reached, the frontier, or the optimal node?",
    source="Reasoning by Superposition, arXiv 2505.12514, section 4 (the construction); no published measurement",
    chance="As many random concepts of the same problem; beside it the same set of another problem.",
    schema=1,
    frame=frame,
    figures=superposition_figures,
)
