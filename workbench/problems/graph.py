"""Numbers of a directed acyclic graph: hops, frontiers, heights, shortest paths, node classes, chance levels.

The functions at the top are pure and take an adjacency matrix, `adjacency[source, destination]`, and node numbers.
`structure` gathers them for one problem and remembers the last few thousand, since scores, figures and reports all
ask for the same numbers. They are numpy, twice as fast as networkx on graphs of this size, and networkx is what the
tests hold them against; `networks` turns a problem into a networkx graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from workbench.problems.problem import Problem

Adjacency = Bool[np.ndarray, "nodes nodes"]
NodeSet = Bool[np.ndarray, " nodes"]
NodeCounts = Int[np.ndarray, " nodes"]

NODE_CLASSES = ("optimal", "frontier", "reachable elsewhere", "unreachable")
"""The exclusive classes of `node_classes`, in the order of its codes."""

Over = Literal["concepts", "reachable", "frontier"]
"""A set that a chance level is uniform over."""


def from_edges(nodes: int, edges: Sequence[tuple[int, int]]) -> Adjacency:
    """Return the adjacency matrix of (source, destination) pairs over nodes 0..nodes-1."""
    adjacency = np.zeros((nodes, nodes), dtype=bool)
    for edge in edges:
        adjacency[edge] = True
    return adjacency


def find_cycle(adjacency: Adjacency) -> tuple[int, ...]:
    """Return the nodes of one directed cycle, the first repeated at the end; empty if there is none."""
    sorter = TopologicalSorter({node: np.flatnonzero(row).tolist() for node, row in enumerate(adjacency)})
    try:
        sorter.prepare()
    except CycleError as error:
        # graphlib reads the mapping as node -> predecessors, so its cycle runs against our edges.
        return tuple(reversed(error.args[1]))
    return ()


def hop_read(thought: int, thoughts_per_step: int = 1) -> int:
    """Return the hop that a thought is about: thought / thoughts_per_step, rounded up; 0 for thought 0."""
    return -(-thought // thoughts_per_step)


def hops(adjacency: Adjacency, root: int | NodeSet) -> NodeCounts:
    """Return each node's BFS depth in edges from the root, or the nearest of several; -1 where it cannot be reached."""
    depth = np.full(len(adjacency), -1)
    front = np.zeros(len(adjacency), dtype=bool)
    front[root] = True
    hop = 0
    while front.any():
        depth[front] = hop
        hop += 1
        front = adjacency[front].any(axis=0) & (depth < 0)
    return depth


def reachable(adjacency: Adjacency, root: int) -> NodeSet:
    """Return the nodes that some path from the root ends at, the root among them."""
    return hops(adjacency, root) >= 0


def frontier(adjacency: Adjacency, root: int, k: int) -> NodeSet:
    """Return the nodes at BFS depth exactly k; none for k beyond the deepest node."""
    return hops(adjacency, root) == k


def walk_frontier(adjacency: Adjacency, root: int, k: int) -> NodeSet:
    """Return the nodes that a walk of exactly k edges from the root ends at.

    The other definition in use (Reasoning by Superposition, arXiv 2505.12514): a node with paths of two
    lengths is in two of these frontiers, but in one BFS frontier only.
    """
    front = np.zeros(len(adjacency), dtype=bool)
    front[root] = True
    for _ in range(k):
        front = np.logical_or.reduce(adjacency[front], axis=0)
    return front


def optimal(adjacency: Adjacency, root: int, target: int) -> NodeSet:
    """Return the nodes on some shortest path from root to target, both included; none if there is no path."""
    down, up = hops(adjacency, root), hops(adjacency.T, target)
    return (down >= 0) & (up >= 0) & (down + up == down[target])


def count_shortest_paths(adjacency: Adjacency, root: int, target: int) -> int:
    """Return the number of different shortest paths from root to target, 0 if there is none."""
    depth = hops(adjacency, root)
    if depth[target] < 0:
        return 0
    ways = [0] * len(adjacency)  # Python integers: layered graphs of 256 nodes have more than 2**63 paths
    ways[root] = 1
    for hop in range(1, int(depth[target]) + 1):
        for node in np.flatnonzero(depth == hop):
            parents = np.flatnonzero(adjacency[:, node] & (depth == hop - 1))
            ways[node] = sum(ways[parent] for parent in parents)
    return ways[target]


def shortest_path(adjacency: Adjacency, root: int, target: int) -> tuple[int, ...]:
    """Return a shortest path as nodes, root first; of several the first by node numbers; empty if none."""
    up = hops(adjacency.T, target)
    if up[root] < 0:
        return ()
    path = [root]
    while path[-1] != target:
        path.append(int(np.flatnonzero(adjacency[path[-1]] & (up == up[path[-1]] - 1))[0]))
    return tuple(path)


def longest_height(adjacency: Adjacency) -> NodeCounts:
    """Return each node's longest distance in edges to a leaf, 0 for leaves (Coconut v3, caption of figure 5).

    Raises:
        ValueError: if the graph has a cycle, on which no distance is longest.
    """
    height = np.full(len(adjacency), -1)
    left = np.ones(len(adjacency), dtype=bool)
    level = 0
    while left.any():
        peeled = left & ~(adjacency & left).any(axis=1)  # nodes without a child that is still there
        if not peeled.any():
            raise ValueError("the graph has a cycle: heights are defined on acyclic graphs only")
        height[peeled] = level
        left &= ~peeled
        level += 1
    return height


def shortest_height(adjacency: Adjacency) -> NodeCounts:
    """Return each node's shortest distance in edges to a leaf, 0 for leaves (Coconut v3, section 4.4)."""
    return hops(adjacency.T, np.logical_not(adjacency.any(axis=1)))


@dataclass(frozen=True)
class Structure:
    """The numbers of one problem's graph, seen from the entity it asks about. The arrays are read-only."""

    adjacency: Adjacency
    """Whether there is an edge from row node to column node."""
    hops: NodeCounts
    """BFS depth from the root, -1 for unreachable."""
    reachable: NodeSet
    """Whether the root reaches the node; the root itself counts."""
    optimal: NodeSet
    """Whether the node lies on a shortest path from root to target."""
    longest_height: NodeCounts
    """Longest distance to a leaf."""
    shortest_height: NodeCounts
    """Shortest distance to a leaf."""
    reaches_target: NodeSet
    """Whether the node reaches the target; the target itself counts."""
    concepts: NodeSet
    """The nodes that are not entities."""
    length: int
    """Hops from root to target: the number of steps."""
    shortest_paths: int
    """How many different shortest paths lead from root to target."""

    def frontier(self, k: int) -> NodeSet:
        """Return the nodes at BFS depth exactly k."""
        return self.hops == k


@lru_cache(maxsize=1024)
def structure(problem: Problem) -> Structure:
    """Return the numbers of a problem's graph; `validator.check` must find no fault with the problem."""
    adjacency = problem.adjacency.copy()
    depth = hops(adjacency, problem.root)
    concepts = np.ones(len(problem.names), dtype=bool)
    concepts[list(problem.entities)] = False
    result = Structure(
        adjacency=adjacency,
        hops=depth,
        reachable=depth >= 0,
        optimal=optimal(adjacency, problem.root, problem.target),
        longest_height=longest_height(adjacency),
        shortest_height=shortest_height(adjacency),
        reaches_target=reachable(adjacency.T, problem.target),
        concepts=concepts,
        length=int(depth[problem.target]),
        shortest_paths=count_shortest_paths(adjacency, problem.root, problem.target),
    )
    for array in vars(result).values():
        if isinstance(array, np.ndarray):
            array.setflags(write=False)  # shared by all who ask: a change here would be seen there
    return result


def node_classes(problem: Problem, k: int) -> NodeCounts:
    """Return each node's class at hop k as an index into `NODE_CLASSES`; every node has exactly one.

    0 optimal: at hop k and on a shortest path to the target. 1 frontier: the other nodes at hop k.
    2 reachable elsewhere: reachable at another hop, the root included. 3 unreachable.
    """
    about = structure(problem)
    here = about.frontier(k)
    return np.select([here & about.optimal, here, about.reachable], [0, 1, 2], default=3)


def uniform(problem: Problem, over: Over, k: int = 0) -> Float[np.ndarray, " nodes"]:
    """Return the chance value of each node: 1 / size of the set for its members, 0 for the others.

    The chance mass of any set of nodes is the sum of these values over it.

    Args:
        problem: A sound problem.
        over: "concepts" (every node of the problem that is no entity), "reachable" (concepts that the root
            reaches) or "frontier" (nodes at hop k).
        k: The hop of the frontier; used by "frontier" alone.

    Returns:
        Values that sum to one, or zeros where the set is empty (a frontier beyond the deepest node).
    """
    about = structure(problem)
    members = {
        "concepts": about.concepts,
        "reachable": about.concepts & about.reachable,
        "frontier": about.frontier(k),
    }[over]
    return members / max(int(members.sum()), 1)


def frontier_hit_chance(problem: Problem, k: int) -> float:
    """Return the chance that a node drawn evenly from the frontier at hop k reaches the target; nan if empty.

    The chance level of "the likeliest candidate is a correct one" (Coconut v3, figure 7).
    """
    members = structure(problem).frontier(k)
    return float(structure(problem).reaches_target[members].mean()) if members.any() else float("nan")
