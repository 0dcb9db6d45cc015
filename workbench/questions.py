"""Two more ways to ask questions of a batch of graphs, beside `generators.ask`: as released, and in balance."""

import numpy as np

from workbench.generators import FAR, Graphs, Questions, pick


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
