"""Sets of nodes by problem and thought, as plan on a search needs them: on a path, beside it, on the other side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from workbench.problems.graph import Structure, hop_read, structure
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap
from workbench.readings.node_vectors import NodeSets

Mask = Bool[np.ndarray, " nodes"]


@dataclass(frozen=True)
class NodeMasks:
    """Of n problems. Thought k is about hop `hop(k)`; the root is at hop 0."""

    problems: Sequence[Problem]
    values: Float[np.ndarray, "n K nodes"]
    """LM-head value of each node in thought 1..K of the run without plan, nan beyond a problem's nodes."""
    per_step: int = 1
    """Thoughts that stand for one hop."""

    @cached_property
    def graphs(self) -> list[Structure]:
        """The graph of each problem."""
        return [structure(problem) for problem in self.problems]

    @cached_property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Hops from root to target."""
        return np.array([graph.length for graph in self.graphs])

    def hop(self, k: int) -> int:
        """Return the hop that thought k stands for; 0 for 0."""
        return hop_read(k, self.per_step)

    def frontier(self, row: int, k: int) -> Mask:
        """Return the nodes at the hop of thought k."""
        return self.graphs[row].hops == self.hop(k)

    def within(self, row: int, k: int) -> Mask:
        """Return the nodes at any hop up to that of thought k, the root left out."""
        hops = self.graphs[row].hops
        return (hops >= 1) & (hops <= self.hop(k))

    def shortest(self, row: int, k: int) -> Mask:
        """Return those of the frontier on a shortest path to the target, the target left out."""
        return self._without_target(row, self.frontier(row, k) & self.graphs[row].optimal)

    def leading(self, row: int, k: int) -> Mask:
        """Return those of the frontier that reach the target by any path, the target left out."""
        return self._without_target(row, self.frontier(row, k) & self.graphs[row].reaches_target)

    def leading_and_target(self, row: int, k: int) -> Mask:
        """Return those of the frontier that reach the target by any path, the target among them."""
        return self.frontier(row, k) & self.graphs[row].reaches_target

    def off_path(self, row: int, k: int) -> Mask:
        """Return those of the frontier on no shortest path."""
        return self.frontier(row, k) & ~self.graphs[row].optimal

    def top(self, row: int, k: int) -> Mask:
        """Return the concept of the highest value in thought k, alone."""
        values = self.values[row, k - 1, : len(self.graphs[row].hops)]
        return np.arange(len(values)) == int(np.where(self.graphs[row].concepts, values, -1).argmax())

    def other_side(self, row: int, k: int) -> Mask:
        """Return the nodes at that hop on a shortest path from the twin's root to the negative, the negative left out.

        They are out of the root's reach; none where there is no twin.
        """
        twin = self._twins[row]
        if twin is None:
            return np.zeros(len(self.graphs[row].hops), dtype=bool)
        mask = twin.optimal & (twin.hops == self.hop(k)) & ~self.graphs[row].reachable
        mask[self.problems[row].negative] = False
        return mask

    def strangers(self, row: int, k: int) -> Mask:
        """Return as many concepts as the other side has, out of the root's reach and leading to neither option."""
        graph, problem = self.graphs[row], self.problems[row]
        leads = np.zeros(len(graph.hops), dtype=bool)
        if self._twins[row] is not None:
            leads = self._twins[row].reaches_target  # type: ignore[union-attr]
        open_ = np.flatnonzero(graph.concepts & ~graph.reachable & ~leads & ~graph.reaches_target)
        drawn = np.random.default_rng([row, k]).permutation(open_)[: int(self.other_side(row, k).sum())]
        return np.isin(np.arange(len(problem.names)), drawn)

    def beside(self, chosen: NodeSets, avoided: NodeSets) -> NodeSets:
        """Return the set of as many nodes of the same frontier, each of the value nearest to one of a chosen set.

        Args:
            chosen: The set that is matched, a part of the frontier.
            avoided: What cannot stand beside it.
        """

        def mask(row: int, k: int) -> Mask:
            here = self.frontier(row, k)
            on, off = np.flatnonzero(chosen(row, k)), np.flatnonzero(here & ~avoided(row, k))
            off = off[off != self.problems[row].target]
            first = (self.hop(k) - 1) * self.per_step
            values = self.values[row, first] if 0 <= first < self.values.shape[1] else np.zeros(len(here))
            _, matched = linear_sum_assignment(np.abs(values[on][:, None] - values[off]))
            return np.isin(np.arange(len(here)), off[matched])

        return _remembered(mask)

    def matched(self, chosen: NodeSets, beside: NodeSets, thoughts: Sequence[int]) -> Bool[np.ndarray, " n"]:
        """Say of which problems some thoughts before the target's hop all have as many nodes beside, and one has any.

        Args:
            chosen: A set.
            beside: What `beside` made of it.
            thoughts: Numbers of the thoughts.
        """
        found = []
        for row, length in enumerate(self.lengths):
            open_ = [k for k in thoughts if self.hop(k) < length]
            sizes = [(chosen(row, k).sum(), beside(row, k).sum()) for k in open_]
            found.append(bool(sizes) and all(a == b for a, b in sizes) and any(a > 0 for a, _ in sizes))
        return np.array(found, dtype=bool)

    def beyond(self, k: int | None) -> Bool[np.ndarray, " n"]:
        """Say of which problems the target lies beyond the hop of thought k; of all beyond hop 1 for None."""
        return self.lengths > self.hop(k or 1)

    def _without_target(self, row: int, mask: Mask) -> Mask:
        mask = mask.copy()
        mask[self.problems[row].target] = False
        return mask

    @cached_property
    def _twins(self) -> list[Structure | None]:
        twins = [entity_swap(problem) for problem in self.problems]
        return [None if twin is None else structure(twin) for twin in twins]


def _remembered(mask: Callable[[int, int], Mask]) -> NodeSets:
    held: dict[tuple[int, int], Mask] = {}

    def memoize(row: int, k: int) -> Mask:
        if (row, k) not in held:
            held[row, k] = mask(row, k)
        return held[row, k]

    return memoize
