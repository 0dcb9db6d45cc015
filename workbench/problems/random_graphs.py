"""Random ProsQA graphs, many at a time: every graph of a batch grows by one node in the same numpy call.

Three families, all of them directed acyclic with edges from a smaller to a larger node id. Nodes 0 and 1 are the two
special roots; a node's label says whether it descends from node 0 (bit 1), node 1 (bit 2), both or neither.

- `algorithm1`: Algorithm 1 as printed (Coconut, arXiv 2412.06769, appendix A.2).
- `released`: the variant whose moments match the released files (nodes without parents are drawn as parents only in
  the branch that allows every node; depth is the distance to the nearest node without parents).
- `balanced`: graphs as `released`, each asked from both special roots with the same two options (`ask_both`), so that
  a rule that never reads the queried root scores exactly one half.

Questions are asked of a whole batch of graphs: with weights for each distance (`ask`), as in the released files
(`ask_deepest`), or in balanced pairs (`ask_both`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int8

FAR = 100
"""Hop distance that stands for "cannot be reached"."""
FAMILIES = ("algorithm1", "released", "balanced")


@dataclass(frozen=True)
class Graphs:
    """A batch of graphs of the same number of node slots; a slot that no edge touches is not part of its graph."""

    adjacency: Bool[np.ndarray, "graphs nodes nodes"]
    """Whether there is an edge from row node to column node."""
    hops: Int8[np.ndarray, "graphs nodes nodes"]
    """BFS distance from row node to column node, `FAR` where there is no path."""

    def __len__(self) -> int:
        """Return the number of graphs."""
        return len(self.adjacency)

    @property
    def present(self) -> Bool[np.ndarray, "graphs nodes"]:
        """Nodes that at least one edge touches."""
        return np.logical_or(self.adjacency.any(1), self.adjacency.any(2))

    @property
    def leaves(self) -> Bool[np.ndarray, "graphs nodes"]:
        """Present nodes without children."""
        return self.present & ~self.adjacency.any(2)

    @property
    def sources(self) -> Bool[np.ndarray, "graphs nodes"]:
        """Present nodes without parents: the entities."""
        return self.present & ~self.adjacency.any(1)

    def take(self, index: np.ndarray) -> "Graphs":
        """Return the graphs at the given positions or where a mask is true."""
        return Graphs(self.adjacency[index], self.hops[index])


def grow(
    family: str,
    count: int,
    nodes: int,
    rng: np.random.Generator,
    parents: float = 1.5,
    max_edges: int | None = None,
    spine: int = 0,
) -> Graphs:
    """Grow `count` graphs of `nodes` node slots.

    Args:
        family: "algorithm1" or "released".
        count: Number of graphs.
        nodes: Node slots of each, nodes that stay isolated included.
        rng: Source of all randomness.
        parents: Mean number of parents of a new node (Poisson), 1.5 in the paper.
        max_edges: Stop a graph when it has this many edges; the last node may then lose some of its parents. A prefix
            of the construction is a smaller graph of the same family.
        spine: Begin with a path of this many edges from each of the two special roots instead of the bare roots,
            for targets farther away than the family ever puts them; growth shortens no path. Its edges are not
            counted in `max_edges`.
    """
    adjacency = np.zeros((count, nodes, nodes), dtype=bool)
    hops = np.full((count, nodes, nodes), FAR, dtype=np.int8)
    hops[:, np.arange(nodes), np.arange(nodes)] = 0
    labels = np.zeros((count, nodes), dtype=np.int8)
    labels[:, :2] = 1, 2
    depth = np.zeros((count, nodes), dtype=np.float32)
    rootless = np.zeros((count, nodes), dtype=bool)
    edges_left = np.full(count, max_edges if max_edges is not None else nodes * nodes)
    for new in range(2, 2 + 2 * spine):
        adjacency[:, new - 2, new] = True
        depth[:, new] = 1  # not its distance: new nodes are then spread along the whole path, not drawn to its end
        labels[:, new] = labels[:, new - 2]
        hops[:, new % 2 : new : 2, new] = np.arange(new // 2, 0, -1)
    rows = np.arange(count)
    wanted = rng.poisson(parents, (nodes, count))
    branch = rng.random((nodes, count))
    for new in range(2 + 2 * spine, nodes):
        before = labels[:, :new]
        allowed = np.where(
            (branch[new] <= 0.35)[:, None],
            before <= 1,
            np.where((branch[new] <= 0.70)[:, None], (before == 0) | (before == 2), True),
        )
        if family == "released":
            allowed = allowed & ~(rootless[:, :new] & (branch[new] <= 0.70)[:, None])
        # Weighted sampling without replacement: the largest of log weight + Gumbel noise.
        keys = np.log(depth[:, :new] * 1.5 + 1) + rng.gumbel(size=(count, new)).astype(np.float32)
        keys[~allowed] = -np.inf
        number = np.minimum(np.minimum(wanted[new], allowed.sum(1)), edges_left)
        edges_left = edges_left - number
        most = int(number.max(initial=0))
        if most == 0:
            rootless[:, new] = True
            continue
        order = np.argsort(-keys, axis=1)[:, :most]
        nearest = np.full(count, np.inf, dtype=np.float32)
        for rank in range(order.shape[1]):
            chosen = rank < number
            parent = order[:, rank]
            adjacency[rows[chosen], parent[chosen], new] = True
            labels[:, new] |= np.where(chosen, labels[rows, parent], 0).astype(np.int8)
            nearest = np.where(chosen, np.minimum(nearest, depth[rows, parent] + 1), nearest)
            via = np.minimum(hops[rows, :, parent] + 1, FAR).astype(np.int8)
            hops[:, :, new] = np.where(chosen[:, None], np.minimum(hops[:, :, new], via), hops[:, :, new])
        depth[:, new] = np.where(number > 0, nearest, 0)
        rootless[:, new] = number == 0
        if max_edges is not None and not edges_left.any():
            break
    return Graphs(adjacency, hops)


@dataclass(frozen=True)
class Questions:
    """Questions asked of a batch of graphs, any number of each."""

    graph: Int[np.ndarray, " questions"]
    """Position of the graph in its batch."""
    root: Int[np.ndarray, " questions"]
    target: Int[np.ndarray, " questions"]
    """A node that can be reached from the root."""
    negative: Int[np.ndarray, " questions"]
    """A node that cannot."""
    hops: Int[np.ndarray, " questions"]
    """BFS distance from root to target."""
    target_first: Bool[np.ndarray, " questions"]
    """Whether the question lists the target before the negative."""

    def __len__(self) -> int:
        """Return the number of questions."""
        return len(self.root)

    def take(self, index: np.ndarray) -> "Questions":
        """Return the questions at the given positions or where a mask is true."""
        return Questions(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def pick(weights: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " rows"]:
    """Draw one column per row with probability proportional to its weight; -1 where all weights are zero."""
    total = weights.cumsum(1, dtype=np.float32)
    level = (rng.random(len(weights), dtype=np.float32) * total[:, -1])[:, None]
    chosen = (total > level).argmax(1)
    return np.where(total[:, -1] > 0, chosen, -1)


def ask(
    graphs: Graphs,
    per_graph: int,
    rng: np.random.Generator,
    hop_weights: dict[int, float],
    special: float = 1.0,
) -> Questions:
    """Ask `per_graph` questions of every graph; those for which a graph has no target or negative are left out.

    Args:
        graphs: Where to ask.
        per_graph: Questions of one graph.
        rng: Source of all randomness.
        hop_weights: Relative weight of a target at each hop distance; other distances are never asked.
        special: Share of questions as in ProsQA: the root is node 0 or 1, target and negative are leaves that descend
            from one of the two only. The other questions take any node as root, any node as target, any unreachable
            node as negative.
    """
    count = len(graphs) * per_graph
    graph = np.repeat(np.arange(len(graphs)), per_graph)
    as_prosqa = rng.random(count) < special
    special_root = rng.integers(0, 2, count)
    weight_of_hop = np.zeros(FAR + 1, dtype=np.float32)
    for hop, weight in hop_weights.items():
        weight_of_hop[hop] = weight
    weight = weight_of_hop[graphs.hops]  # [graphs, root, target]
    any_root = pick(weight.max(2)[graph], rng)
    root = np.where(as_prosqa, special_root, any_root)
    reachable = graphs.hops[graph, root] < FAR
    beyond = graphs.hops[graph, 1 - special_root] < FAR
    leaf = graphs.leaves[graph]
    open_target = np.where(as_prosqa[:, None], leaf & ~beyond, True) & (weight[graph, root] > 0)
    # The weights are of hops, not of nodes: a hop with many open nodes is no likelier for it.
    target_weight = np.zeros(open_target.shape, dtype=np.float32)
    for hop, hop_weight in hop_weights.items():
        at_hop = open_target & (graphs.hops[graph, root] == hop)
        target_weight += at_hop * (hop_weight / np.maximum(at_hop.sum(1, keepdims=True), 1))
    target = pick(target_weight, rng)
    open_negative = ~reachable & graphs.present[graph]
    open_negative &= np.where(as_prosqa[:, None], leaf & beyond, True)
    negative = pick(open_negative.astype(np.float32), rng)
    keep = (root >= 0) & (target >= 0) & (negative >= 0)
    return Questions(
        graph, root, target, negative, graphs.hops[graph, root, target].astype(np.int64), rng.random(count) < 0.5
    ).take(keep)


def sample_paths(
    graphs: Graphs, graph: np.ndarray, root: np.ndarray, target: np.ndarray, length: int, rng: np.random.Generator
) -> Int[np.ndarray, "questions length"]:
    """Draw one shortest path per question: column k-1 holds its node at hop k, -1 beyond the target.

    A predecessor is drawn uniformly at each node, from the target backwards.
    """
    hops = graphs.hops[graph, root]  # [questions, nodes]
    distance = hops[np.arange(len(root)), target].astype(np.int64)
    path = np.full((len(root), length), -1, dtype=np.int64)
    here = target.copy()
    for hop in range(int(distance.max(initial=0)), 0, -1):
        active = distance >= hop
        if hop <= length:
            path[active, hop - 1] = here[active]
        before = graphs.adjacency[graph, :, here] & (hops == hop - 1)
        here = np.where(active, pick(before.astype(np.float32), rng), here)
    return path


def ask_deepest(graphs: Graphs, rng: np.random.Generator) -> Questions:
    """Ask one question of every graph as the released files seem to (measured in 800 released problems).

    The root is one of the two special ones, drawn at random; the target a deepest leaf that descends from it and not
    from the other; the negative any leaf that descends from the other only. Graphs without such leaves are left out.
    """
    rows = np.arange(len(graphs))
    root = rng.integers(0, 2, len(graphs))
    own, other = _own_leaves(graphs, root), _own_leaves(graphs, 1 - root)
    depth = np.where(own, graphs.hops[rows, root], -1)
    target = pick((own & (depth == depth.max(axis=1, keepdims=True))).astype(np.float32), rng)
    negative = pick(other.astype(np.float32), rng)
    asked = Questions(rows, root, target, negative, depth.max(axis=1).astype(np.int64), rng.random(len(graphs)) < 0.5)
    return asked.take((target >= 0) & (negative >= 0))


def ask_both(graphs: Graphs, rng: np.random.Generator, hop_weights: dict[int, float]) -> Questions:
    """Ask two questions of every graph that differ in one word: the special root asked about.

    For each special root a leaf is drawn that descends from it alone; the two leaves are the options of both
    questions, in the same order. What one question makes right the other makes wrong, so a rule that does not read
    the root scores exactly one half on the pair, whatever it reads: depth, in-degree, ancestors, listing order.

    Args:
        graphs: Where to ask. Those without two such leaves are left out.
        rng: Source of all randomness.
        hop_weights: Relative weight of a target at each distance from its own root; other distances are never asked.

    Returns:
        Questions in pairs: 2i asks about node 0, 2i + 1 about node 1, of the same graph.
    """
    count = len(graphs)
    weight_of_hop = np.zeros(FAR + 1, dtype=np.float32)
    for hop, weight in hop_weights.items():
        weight_of_hop[hop] = weight
    leaf = np.empty((count, 2), dtype=np.int64)
    for root in (0, 1):
        own = _own_leaves(graphs, np.full(count, root))
        hops = np.where(own, graphs.hops[:, root], 0)
        # Divided by the leaves at the same hop: the weights are of hops, not of nodes.
        same = (hops[:, :, None] == hops[:, None, :]).sum(axis=2)
        leaf[:, root] = pick(np.where(own, weight_of_hop[hops] / same, 0).astype(np.float32), rng)
    kept = np.flatnonzero((leaf >= 0).all(axis=1))
    graph = np.repeat(kept, 2)
    root = np.tile([0, 1], len(kept))
    target, negative = leaf[graph, root], leaf[graph, 1 - root]
    first = np.repeat(rng.integers(0, 2, len(kept)), 2)  # the root whose leaf is listed first
    return Questions(graph, root, target, negative, graphs.hops[graph, root, target].astype(np.int64), first == root)


def _own_leaves(graphs: Graphs, root: np.ndarray) -> np.ndarray:
    """Return the leaves [graphs, nodes] that the given special root of each graph reaches and the other does not."""
    rows = np.arange(len(graphs))
    return graphs.leaves & (graphs.hops[rows, root] < FAR) & (graphs.hops[rows, 1 - root] >= FAR)
