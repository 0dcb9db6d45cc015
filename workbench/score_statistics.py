"""Named numbers of a `NodeScores`, each with its unit, its range and its own chance level."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.graph import frontier_hit_chance
from workbench.scores import READOUTS, NodeScores, RowNumbers, joined

STATISTICS_SCHEMA = 1
"""Version of the columns of `statistics_frame`."""

NOISE_MASS = 0.05
"""Candidate mass below which the values over the candidates are mostly noise, and the screen says so."""

_EVEN = "uniform over the concepts in the problem"
_EVEN_FRONTIER = "uniform over the frontier"
TITLES: dict[str, tuple[str, str, str]] = {
    "candidate_mass": ("candidate mass", "probability", _EVEN),
    "frontier_mass": ("frontier mass, normalised", "probability", _EVEN),
    "walk_frontier_mass": ("walk-frontier mass", "probability", _EVEN),
    "reachable_mass": ("reachable mass", "probability", _EVEN),
    "problem_mass": ("mass on the problem", "probability", "none: it depends on the vocabulary"),
    "on_path_share": ("on-path share of the frontier", "share", _EVEN_FRONTIER),
    "path_rank": ("rank of the best on-path node", "rank", "random order of the concepts in the problem"),
    "top1_correct": ("top candidate reaches the target", "share", "a random node of the frontier"),
    "breadth": ("effective breadth", "nodes", _EVEN_FRONTIER),
    "breadth_share": ("entropy over the frontier / log2 of its size", "share", _EVEN_FRONTIER),
    "entropy": ("entropy", "bits", _EVEN),
    "target": ("target", "probability", _EVEN),
    "negative": ("negative", "probability", _EVEN),
    "preference": ("target against negative", "share", "a coin"),
}
"""Title, unit and what chance stands for, by name of the statistic."""


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
    of_walk = np.where(walk_size > 0, 0.0, np.nan)
    frontier_chance = size / concepts + undefined
    value_on_frontier = np.where(frontier, scores.value, 0).sum(axis=1) + undefined
    walk_mass = np.where(walk, scores.raw, 0).sum(axis=1) + of_walk
    path_share_chance = on_path.sum(axis=1) / np.maximum(size, 1) + open_path
    best_chance = (concepts + 1) / (on_path.sum(axis=1) + 1) + open_path  # mean smallest of so many random ranks
    sized, bits = size + undefined, one * np.log2(concepts)
    made = {  # values, chance, smallest, largest
        "candidate_mass": (candidate, frontier_chance, zero, one),
        "frontier_mass": (value_on_frontier, frontier_chance, zero, one),
        "walk_frontier_mass": (walk_mass, walk_size / concepts + of_walk, zero, one),
        "reachable_mass": (scores.raw[:, reachable].sum(axis=1), one * reachable.sum() / concepts, zero, one),
        "problem_mass": (scores.raw.sum(axis=1), one * np.nan, zero, one),
        "on_path_share": (share + open_path, path_share_chance, zero, one),
        "path_rank": (np.where(np.isfinite(best), best, np.nan), best_chance, one, one * concepts),
        "top1_correct": (hit, hit_chance, zero, one),
        "breadth": (scores.breadth, sized, one, sized),
        "breadth_share": (breadth_share, np.where(size > 1, 1.0, np.nan), zero, one),
        "entropy": (scores.entropy, bits, zero, bits),
        "target": (scores.target, one / concepts, zero, one),
        "negative": (scores.negative, one / concepts, zero, one),
        "preference": (preference, one / 2, zero, one),
    }
    return {name: _statistic(name, made[name]) for name in TITLES}


def _statistic(name: str, numbers: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> Statistic:
    title, unit, baseline = TITLES[name]
    values, chance, low, high = numbers
    return Statistic(name, title, unit, values, chance, low, high, baseline)


def statistics_frame(scores: Iterable[NodeScores]) -> pl.DataFrame:
    """Return one row per (problem, readout, thought), in the order given; columns of `STATISTICS_SCHEMA`.

    Columns: checkpoint, problem, readout, thought, hop_read, steps (hops from root to target),
    frontier_size, then for every statistic its value under its name and its chance level under
    `NAME_chance`; null where undefined.
    """
    several = list(scores)
    rows = np.array([len(s.depths) for s in several], dtype=np.int64)
    computed = [statistics(s) for s in several]
    columns: dict[str, pl.Series] = {
        "checkpoint": pl.Series(np.repeat(np.array([s.checkpoint for s in several], object), rows), dtype=pl.String),
        "problem": pl.Series(np.repeat(np.array([s.problem.id for s in several], object), rows), dtype=pl.String),
        "readout": pl.Series(np.repeat(np.array([s.readout for s in several], object), rows), dtype=pl.Enum(READOUTS)),
        "thought": pl.Series([k for s in several for k in s.depths], dtype=pl.Int16),
        "hop_read": pl.Series([k for s in several for k in s.hops_read], dtype=pl.Int16),
        "steps": pl.Series(np.repeat(np.array([s.structure.length for s in several], np.int64), rows), dtype=pl.Int16),
        "frontier_size": pl.Series([n for s in several for n in s.frontier_size.tolist()], dtype=pl.Int16),
    }
    for name in TITLES:
        values, chance = [c[name].values for c in computed], [c[name].chance for c in computed]
        columns[name] = pl.Series(joined(values, np.float64)).fill_nan(None)
        columns[f"{name}_chance"] = pl.Series(joined(chance, np.float64)).fill_nan(None)
    return pl.DataFrame(columns)
