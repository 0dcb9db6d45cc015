"""From a trace to numbers per node, and from these to statistics with unit, range and chance.

`Trace` -> `NodeScores` (arrays) -> `Statistic` (one number per thought) -> figures.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from workbench.errors import WorkbenchError, unknown
from workbench.measure.arrays import Trace
from workbench.problems.files import graphs_of
from workbench.problems.graph import (
    NODE_CLASSES,
    Structure,
    frontier_hit_chance,
    node_classes,
    structure,
    walk_frontier,
)
from workbench.problems.problem import Problem

Readout = Literal["lm_head", "forced_language"]
READOUTS: tuple[Readout, ...] = get_args(Readout)
READOUT_TITLES: dict[str, str] = {"lm_head": "LM head", "forced_language": "forced language"}
"""How a readout is called on the screen."""

SCORES_SCHEMA = 1
"""Version of the columns of `scores_frame`; raised when a column changes its name, type or meaning."""

OUTSIDE = "outside the problem"
MASS_CLASSES = (*NODE_CLASSES, OUTSIDE)
"""The exclusive classes of `NodeScores.mass_by_class`; their masses sum to one."""

RowNumbers = Float[np.ndarray, "rows"]


@dataclass(frozen=True)
class NodeScores:
    """What one readout says about every node of one problem, a row per number of thoughts.

    LM head: row k-1 is thought k, read as a statement about hop k. Forced language: row k is "after k
    thoughts", a statement about hop max(k, 1), since with no thoughts the root is part of the forced opening.
    Where c thoughts stand for a step, thought k is about hop k / c, rounded up.
    """

    problem: Problem
    checkpoint: str
    """Name of the checkpoint that was run."""
    readout: Readout
    depths: tuple[int, ...]
    """Number of thoughts of each row."""
    hops_read: tuple[int, ...]
    """The hop whose nodes each row is a statement about."""
    raw: Float[np.ndarray, "rows nodes"]
    """Probability of each node among all tokens (for names of several tokens the product), in [0, 1]."""

    def __post_init__(self) -> None:
        """Check that the arrays fit the problem."""
        expected = (len(self.depths), len(self.problem.names))
        if self.raw.shape != expected or len(self.hops_read) != len(self.depths):
            raise ValueError(f"raw has shape {self.raw.shape}, problem and depths need {expected}")

    def row(self, depth: int) -> int:
        """Return the row after `depth` thoughts.

        Raises:
            WorkbenchError: This readout has no such row.
        """
        if depth not in self.depths:
            raise WorkbenchError(
                f"There is no {READOUT_TITLES[self.readout]} reading after {depth} thoughts.",
                f"This trace has readings after {self.depths[0]} to {self.depths[-1]} thoughts.",
                "Choose a number of thoughts in that range, or run the problem with more thoughts.",
            )
        return self.depths.index(depth)

    @property
    def structure(self) -> Structure:
        """The numbers of the problem's graph."""
        return structure(self.problem)

    @cached_property
    def value(self) -> Float[np.ndarray, "rows nodes"]:
        """Probability normalised over the concepts in the problem, in [0, 1]; nan for entities."""
        concepts = self.structure.concepts
        total = self.raw[:, concepts].sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(concepts, np.where(total > 0, self.raw / total, np.nan), np.nan)

    @cached_property
    def on_frontier(self) -> Bool[np.ndarray, "rows nodes"]:
        """Whether a node is at exactly the hop read (BFS depth)."""
        return self.structure.hops[None, :] == np.array(self.hops_read)[:, None]

    @cached_property
    def on_walk_frontier(self) -> Bool[np.ndarray, "rows nodes"]:
        """Whether a walk of exactly as many edges as the hop read ends at the node."""
        adjacency, root = self.problem.adjacency, self.problem.root
        return np.array([walk_frontier(adjacency, root, hop) for hop in self.hops_read])

    @cached_property
    def node_class(self) -> Int[np.ndarray, "rows nodes"]:
        """Class of each node at the hop read, an index into `graph.NODE_CLASSES`."""
        return np.array([node_classes(self.problem, hop) for hop in self.hops_read])

    @cached_property
    def rank(self) -> Float[np.ndarray, "rows nodes"]:
        """Rank of each concept by value, 1 for the largest, ties averaged; nan for entities."""
        concepts = self.structure.concepts
        ranks = np.full(self.raw.shape, np.nan)
        values = pl.DataFrame(self.raw[:, concepts].T)
        ranks[:, concepts] = values.select(pl.all().fill_nan(None).rank("average", descending=True)).to_numpy().T
        return ranks

    @property
    def chance_value(self) -> float:
        """Value of every concept under a uniform distribution over the concepts in the problem."""
        return 1 / int(self.structure.concepts.sum())

    @cached_property
    def candidate_mass(self) -> RowNumbers:
        """Raw probability on the frontier at the hop read; nan where that frontier is empty."""
        return _mass(self.raw, self.on_frontier)

    @cached_property
    def without_target(self) -> Bool[np.ndarray, "rows nodes"]:
        """Whether a node is at exactly the hop read and not the target."""
        return self.on_frontier & (np.arange(self.raw.shape[1]) != self.problem.target)

    @cached_property
    def mass_without_target(self) -> RowNumbers:
        """Raw probability on the frontier at the hop read less the target; nan where nothing else is on it.

        The question names the target, so mass on it may be copied from there; mass on the others cannot. Chance is the
        share of the problem's concepts that these nodes are.
        """
        return _mass(self.raw, self.without_target)

    def mass_on(self, members: Bool[np.ndarray, "rows nodes"]) -> RowNumbers:
        """Return the raw probability on some nodes; nan where there are none."""
        return _mass(self.raw, members)

    def even_mass(self, members: Bool[np.ndarray, "rows nodes"]) -> RowNumbers:
        """Return the mass of some nodes under a uniform distribution over the concepts; nan where there are none."""
        return np.where(members.any(axis=1), members.sum(axis=1) * self.chance_value, np.nan)

    @cached_property
    def mass_by_class(self) -> dict[str, RowNumbers]:
        """Raw probability by class, a row per number of thoughts; `OUTSIDE` holds what is left of one.

        Names of several tokens have probabilities of token sequences: `OUTSIDE` is then every other
        continuation.
        """
        masses = {
            name: np.where(self.node_class == code, self.raw, 0).sum(axis=1) for code, name in enumerate(NODE_CLASSES)
        }
        masses[OUTSIDE] = np.clip(1 - self.raw.sum(axis=1), 0, 1)
        return masses

    @cached_property
    def chance_by_class(self) -> dict[str, RowNumbers]:
        """Mass of each class under a uniform distribution over the concepts in the problem."""
        concepts = self.structure.concepts
        chance = {
            name: ((self.node_class == code) & concepts).sum(axis=1) * self.chance_value
            for code, name in enumerate(NODE_CLASSES)
        }
        return chance | {OUTSIDE: np.zeros(len(self.depths))}

    @property
    def target(self) -> RowNumbers:
        """Raw probability of the target."""
        return self.raw[:, self.problem.target]

    @property
    def negative(self) -> RowNumbers:
        """Raw probability of the negative."""
        return self.raw[:, self.problem.negative]

    @cached_property
    def frontier_size(self) -> Int[np.ndarray, "rows"]:
        """Number of nodes at the hop read."""
        return self.on_frontier.sum(axis=1)

    @cached_property
    def breadth(self) -> RowNumbers:
        """Effective number of frontier nodes: two to the entropy over the frontier, in 1..frontier size.

        1 where one node has all of the frontier's mass, the frontier size where the mass is spread evenly.
        It says nothing about how much mass that is: read it beside `candidate_mass`. nan for an empty
        frontier.
        """
        return np.exp2(_entropy(np.where(self.on_frontier, self.raw, 0)))

    @cached_property
    def entropy(self) -> RowNumbers:
        """Entropy in bits of the values over the concepts in the problem, in 0..log2(concepts)."""
        return _entropy(np.where(self.structure.concepts, self.raw, 0))

    def likeliest(self, depth: int, count: int) -> list[int]:
        """Return the nodes of the largest values after `depth` thoughts, the largest first."""
        return np.argsort(-np.nan_to_num(self.value[self.row(depth)]), kind="stable")[:count].tolist()

    def to_frame(self) -> pl.DataFrame:
        """Return `scores_frame` of these scores alone."""
        return scores_frame([self])


def _mass(weights: np.ndarray, members: np.ndarray) -> RowNumbers:
    """Sum weights over the members of each row; nan for a row without members."""
    return np.where(members.any(axis=1), np.where(members, weights, 0).sum(axis=1), np.nan)


def _entropy(weights: np.ndarray) -> RowNumbers:
    """Return the entropy in bits of each row after normalisation; nan for a row without mass."""
    total = weights.sum(axis=1, keepdims=True)
    share = np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)
    logs = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return np.where(total[:, 0] > 0, np.abs(-(share * logs).sum(axis=1)), np.nan)


def node_scores(trace: Trace, readout: str) -> NodeScores:
    """Read a trace's values for every node.

    Args:
        trace: What a model did on one problem.
        readout: "lm_head" (softmax of the LM head at thought k, k = 1..K) or "forced_language" (the name's
            probability after the forced step opening, after k = 0..K thoughts).

    Raises:
        WorkbenchError: There is no such readout.
    """
    known: Readout | None = next((name for name in READOUTS if name == readout), None)
    if known is None:
        raise unknown("readout", readout, READOUTS)
    raw = trace.lm_head if readout == "lm_head" else trace.forced_language
    first = 1 if readout == "lm_head" else 0
    depths = tuple(range(first, first + len(raw)))
    hops_read = tuple(max(trace.hop(k), 1) for k in depths)
    (problem,) = graphs_of([trace.problem])
    return NodeScores(problem, trace.checkpoint, known, depths, hops_read, np.asarray(raw, np.float64))


def scores_frame(scores: Iterable[NodeScores]) -> pl.DataFrame:
    """Return one row per (problem, readout, thought, node), in the order given; columns of `SCORES_SCHEMA`.

    They are described in `columns.columns("scores")`.
    """
    several = list(scores)
    rows, nodes = [len(s.depths) for s in several], [len(s.problem.names) for s in several]
    cells = np.multiply(rows, nodes).astype(np.int64)

    def per_scores(values: list) -> np.ndarray:
        return np.repeat(np.array(values, dtype=object), cells)

    def per_row(values: list) -> np.ndarray:
        return joined([np.repeat(v, n) for v, n in zip(values, nodes, strict=True)], np.int64)

    def per_node(values: list, dtype: type) -> np.ndarray:
        return joined([np.tile(v, n) for v, n in zip(values, rows, strict=True)], dtype)

    def per_cell(name: str, dtype: type) -> np.ndarray:
        return joined([getattr(s, name).ravel() for s in several], dtype)

    about = [s.structure for s in several]
    classes, readouts = pl.Enum(NODE_CLASSES), pl.Enum(READOUTS)
    hop = pl.Series(per_node([a.hops for a in about], np.int64), dtype=pl.Int16)
    return pl.DataFrame(
        {
            "checkpoint": pl.Series(per_scores([s.checkpoint for s in several]), dtype=pl.String),
            "problem": pl.Series(per_scores([s.problem.id for s in several]), dtype=pl.String),
            "graph": pl.Series(per_scores([s.problem.graph for s in several]), dtype=pl.String),
            "readout": pl.Series(per_scores([s.readout for s in several]), dtype=readouts),
            "thought": pl.Series(per_row([s.depths for s in several]), dtype=pl.Int16),
            "hop_read": pl.Series(per_row([s.hops_read for s in several]), dtype=pl.Int16),
            "node": pl.Series(per_node([np.arange(n) for n in nodes], np.int64), dtype=pl.Int16),
            "name": pl.Series(per_node([np.array(s.problem.names, object) for s in several], object), dtype=pl.String),
            "role": pl.Series(per_node([_roles(s.problem) for s in several], object), dtype=pl.String),
            "class": pl.Series(np.array(NODE_CLASSES, object)[per_cell("node_class", np.int64)], dtype=classes),
            "hop": hop.set(hop < 0, None),
            "height_longest": pl.Series(per_node([a.longest_height for a in about], np.int64), dtype=pl.Int16),
            "height_shortest": pl.Series(per_node([a.shortest_height for a in about], np.int64), dtype=pl.Int16),
            "raw": per_cell("raw", np.float64),
            "value": pl.Series(per_cell("value", np.float64)).fill_nan(None),
            "rank": pl.Series(per_cell("rank", np.float64)).fill_nan(None),
            "chance": np.repeat(np.array([s.chance_value for s in several], np.float64), cells),
            "on_frontier": per_cell("on_frontier", np.bool_),
            "on_walk_frontier": per_cell("on_walk_frontier", np.bool_),
            "reaches_target": per_node([a.reaches_target for a in about], np.bool_),
        }
    )


def joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    """Return arrays one after the other; an empty one of the given type if there are none."""
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _roles(problem: Problem) -> np.ndarray:
    roles = np.full(len(problem.names), "", dtype=object)
    roles[[problem.root, problem.target, problem.negative]] = "root", "target", "negative"
    return roles


STATISTICS_SCHEMA = 2
"""Version of the columns of `statistics_frame`."""

NOISE_MASS = 0.05
"""Candidate mass below which the values over the candidates are mostly noise, and the screen says so."""

_EVEN = "uniform over the concepts in the problem"
_EVEN_FRONTIER = "uniform over the frontier"
TITLES: dict[str, tuple[str, str, str]] = {
    "candidate_mass": ("candidate mass", "probability", _EVEN),
    "mass_without_target": ("candidate mass without the target", "probability", _EVEN),
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
    "preference": ("target against negative", "share", "guessing between the options"),
}
"""Title, unit and what chance stands for, by name of the statistic."""


MASSES = ("candidate_mass", "mass_without_target")
"""The mass to look at first, and the same without the target: wherever one is shown, the other stands beside it."""


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
    - mass_without_target: the same without the target, see `NodeScores`.
    - frontier_mass: candidate mass of the values, normalised over the concepts in the problem.
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
    reachable = about.reachable & about.concepts
    best = np.where(on_path, scores.rank, np.inf).min(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(on_path, scores.raw, 0).sum(axis=1) / candidate
        preference = scores.target / (scores.target + scores.negative)
        breadth_share = np.where(size > 1, np.log2(scores.breadth) / np.log2(size), np.nan)
    top = np.where(frontier, scores.raw, -1).argmax(axis=1)
    hit = about.reaches_target[top] + undefined
    hit_chance = np.array([frontier_hit_chance(scores.problem, hop) for hop in scores.hops_read])
    frontier_chance = scores.even_mass(frontier)
    value_on_frontier = np.where(frontier, scores.value, 0).sum(axis=1) + undefined
    walk_mass = _mass(scores.raw, walk)
    path_share_chance = on_path.sum(axis=1) / np.maximum(size, 1) + open_path
    best_chance = (concepts + 1) / (on_path.sum(axis=1) + 1) + open_path  # mean smallest of so many random ranks
    sized, bits = size + undefined, one * np.log2(concepts)
    made = {  # values, chance, smallest, largest
        "candidate_mass": (candidate, frontier_chance, zero, one),
        "mass_without_target": (scores.mass_without_target, scores.even_mass(scores.without_target), zero, one),
        "frontier_mass": (value_on_frontier, frontier_chance, zero, one),
        "walk_frontier_mass": (walk_mass, scores.even_mass(walk), zero, one),
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
    found = {}
    for name, (title, unit, baseline) in TITLES.items():
        values, chance, low, high = made[name]
        found[name] = Statistic(name, title, unit, values, chance, low, high, baseline)
    return found


def statistics_frame(scores: Iterable[NodeScores]) -> pl.DataFrame:
    """Return one row per (problem, readout, thought), in the order given; columns of `STATISTICS_SCHEMA`.

    Every statistic under its name, its chance level under `NAME_chance`; null where undefined. They are described in
    `columns.columns("statistics")`.
    """
    several = list(scores)
    rows = np.array([len(s.depths) for s in several], dtype=np.int64)
    computed = [statistics(s) for s in several]
    columns: dict[str, pl.Series] = {
        "checkpoint": pl.Series(np.repeat(np.array([s.checkpoint for s in several], object), rows), dtype=pl.String),
        "problem": pl.Series(np.repeat(np.array([s.problem.id for s in several], object), rows), dtype=pl.String),
        "graph": pl.Series(np.repeat(np.array([s.problem.graph for s in several], object), rows), dtype=pl.String),
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


def node_values(scores: NodeScores) -> dict[str, dict[int, float]]:
    """Return scores as the columns of a graph file, for `networks.write_graph(problem, path, node_values=...)`.

    Returns:
        By column ("lm_head_raw_2": probability after 2 thoughts; "lm_head_value_2": the same normalised over the
        concepts): the number of each node that has one.
    """
    return {
        f"{scores.readout}_{name}_{depth}": {node: value for node, value in enumerate(row) if np.isfinite(value)}
        for name, table in (("raw", scores.raw), ("value", scores.value))
        for depth, row in zip(scores.depths, table.tolist(), strict=True)
    }
