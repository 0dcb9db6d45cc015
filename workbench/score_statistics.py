"""Named numbers of a `NodeScores`, each with its unit, its range and its own chance level."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.graph import frontier_hit_chance
from workbench.scores import READOUTS, NodeScores, RowNumbers

STATISTICS_SCHEMA = 1
"""Version of the columns of `statistics_frame`."""

NOISE_MASS = 0.05
"""Candidate mass below which the values over the candidates are mostly noise, and the screen says so."""


@dataclass(frozen=True)
class Statistic:
    """One number per row of a `NodeScores` with all that is needed to read it; nan where it is undefined."""

    name: str
    """Column name."""
    title: str
    """Name on the screen."""
    unit: str
    """Such as "probability", "nodes", "bits"."""
    values: RowNumbers
    """One per row."""
    chance: RowNumbers
    """What a reader without knowledge would get; see `baseline`."""
    low: RowNumbers
    """Smallest possible value."""
    high: RowNumbers
    """Largest possible value."""
    baseline: str
    """What chance stands for, in words."""


def statistics(scores: NodeScores) -> dict[str, Statistic]:
    """Return every statistic of the scores by name.

    - candidate_mass: raw probability on the frontier at the hop read; the one to look at first.
    - frontier_mass: the same of the values, normalised over the concepts in the problem.
    - walk_frontier_mass: raw probability on the walk frontier (arXiv 2505.12514) of the hop read.
    - reachable_mass: raw probability on concepts that the root reaches, at any hop.
    - problem_mass: raw probability on the nodes of the problem.
    - on_path_share: share of the frontier's mass that is on a shortest path to the target.
    - path_rank: rank of the best frontier node on a shortest path, among all concepts.
    - top1_correct: 1 if the frontier's likeliest node reaches the target (arXiv 2606.12689), else 0.
    - breadth, entropy: see `NodeScores`. breadth_share: entropy over the frontier / log2(frontier size).
    - target, negative: raw probabilities; preference: target / (target + negative).
    """
    about, frontier, walk = scores.structure, scores.on_frontier, scores.on_walk_frontier
    rows, concepts = len(scores.depths), int(about.concepts.sum())
    zero, one = np.zeros(rows), np.ones(rows)
    size, undefined = scores.frontier_size, np.where(scores.frontier_size > 0, 0.0, np.nan)
    even = "uniform over the concepts in the problem"
    even_frontier = "uniform over the frontier"
    on_path = frontier & about.optimal
    open_path = np.where(on_path.any(axis=1), 0.0, np.nan)
    candidate = scores.candidate_mass
    walk_size = walk.sum(axis=1)
    reachable = about.reachable & about.concepts
    best = np.where(on_path, scores.rank, np.inf).min(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(on_path, scores.raw, 0).sum(axis=1) / candidate
        preference = scores.target / (scores.target + scores.negative)
        breadth_share = np.where(size > 1, np.log2(scores.breadth) / np.log2(size), np.nan)
    top = np.where(frontier, scores.raw, -1).argmax(axis=1)
    hit = about.reaches_target[top] + undefined
    hit_chance = np.array([frontier_hit_chance(scores.problem, hop) for hop in scores.hops_read])
    made = [
        Statistic(
            "candidate_mass",
            "candidate mass",
            "probability",
            candidate,
            size / concepts + undefined,
            zero,
            one,
            even,
        ),
        Statistic(
            "frontier_mass",
            "frontier mass, normalised",
            "probability",
            np.where(frontier, scores.value, 0).sum(axis=1) + undefined,
            size / concepts + undefined,
            zero,
            one,
            even,
        ),
        Statistic(
            "walk_frontier_mass",
            "walk-frontier mass",
            "probability",
            np.where(walk_size > 0, np.where(walk, scores.raw, 0).sum(axis=1), np.nan),
            np.where(walk_size > 0, walk_size / concepts, np.nan),
            zero,
            one,
            even,
        ),
        Statistic(
            "reachable_mass",
            "reachable mass",
            "probability",
            scores.raw[:, reachable].sum(axis=1),
            one * reachable.sum() / concepts,
            zero,
            one,
            even,
        ),
        Statistic(
            "problem_mass",
            "mass on the problem",
            "probability",
            scores.raw.sum(axis=1),
            one * np.nan,
            zero,
            one,
            "none: it depends on the vocabulary",
        ),
        Statistic(
            "on_path_share",
            "on-path share of the frontier",
            "share",
            share + open_path,
            on_path.sum(axis=1) / np.maximum(size, 1) + open_path,
            zero,
            one,
            even_frontier,
        ),
        Statistic(
            "path_rank",
            "rank of the best on-path node",
            "rank",
            np.where(np.isfinite(best), best, np.nan),
            (concepts + 1) / (on_path.sum(axis=1) + 1) + open_path,
            one,
            one * concepts,
            "random order of the concepts in the problem",
        ),
        Statistic(
            "top1_correct",
            "top candidate reaches the target",
            "share",
            hit,
            hit_chance,
            zero,
            one,
            "a random node of the frontier",
        ),
        Statistic(
            "breadth",
            "effective breadth",
            "nodes",
            scores.breadth,
            size + undefined,
            one,
            size + undefined,
            even_frontier,
        ),
        Statistic(
            "breadth_share",
            "entropy over the frontier / log2 of its size",
            "share",
            breadth_share,
            np.where(size > 1, 1.0, np.nan),
            zero,
            one,
            even_frontier,
        ),
        Statistic(
            "entropy",
            "entropy",
            "bits",
            scores.entropy,
            one * np.log2(concepts),
            zero,
            one * np.log2(concepts),
            even,
        ),
        Statistic("target", "target", "probability", scores.target, one / concepts, zero, one, even),
        Statistic("negative", "negative", "probability", scores.negative, one / concepts, zero, one, even),
        Statistic("preference", "target against negative", "share", preference, one / 2, zero, one, "a coin"),
    ]
    return {statistic.name: statistic for statistic in made}


def statistics_frame(scores: Iterable[NodeScores]) -> pl.DataFrame:
    """Return one row per (problem, readout, thought), in the order given; columns of `STATISTICS_SCHEMA`.

    Columns: checkpoint, problem, readout, thought, hop_read, steps (hops from root to target),
    frontier_size, then for every statistic its value under its name and its chance level under
    `NAME_chance`; null where undefined.
    """
    several = list(scores)
    rows = [len(s.depths) for s in several]
    computed = [statistics(s) for s in several]
    columns: dict[str, pl.Series] = {
        "checkpoint": pl.Series(
            np.repeat(np.array([s.checkpoint for s in several], object), rows), dtype=pl.String
        ),
        "problem": pl.Series(
            np.repeat(np.array([s.problem.id for s in several], object), rows), dtype=pl.String
        ),
        "readout": pl.Series(
            np.repeat(np.array([s.readout for s in several], object), rows), dtype=pl.Enum(READOUTS)
        ),
        "thought": pl.Series([k for s in several for k in s.depths], dtype=pl.Int16),
        "hop_read": pl.Series([k for s in several for k in s.hops_read], dtype=pl.Int16),
        "steps": pl.Series(
            np.repeat(np.array([s.structure.length for s in several], np.int64), rows), dtype=pl.Int16
        ),
        "frontier_size": pl.Series([n for s in several for n in s.frontier_size.tolist()], dtype=pl.Int16),
    }
    for name in computed[0] if computed else ():
        columns[name] = pl.Series(np.concatenate([c[name].values for c in computed])).fill_nan(None)
        columns[f"{name}_chance"] = pl.Series(np.concatenate([c[name].chance for c in computed])).fill_nan(
            None
        )
    return pl.DataFrame(columns)
