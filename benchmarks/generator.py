"""Problems per second: the vectorised generator against the same algorithm written with networkx.

    python -m benchmarks.generator

Ours is what training calls: `question_batch`, graphs and questions of the released family as token ids, with labels.
Two figures: many questions of each graph, as training asks them, and one question per graph, against the peer, which
also makes one question per graph. The peer is the same algorithm with the usual means: a `networkx.DiGraph` grown node
by node, descendants and shortest paths by networkx, token ids at the end. Both run on one core.
"""

from typing import Annotated

import networkx as nx
import numpy as np
import torch
import typer

from benchmarks.timing import Side, compare, finish, timed
from workbench.problems.vocabulary import NAMES, VOCABULARY
from workbench.train.graphs import question_batch

EDGES, THOUGHTS = 36, 6
HOPS = {3: 0.41, 4: 0.44, 5: 0.13, 6: 0.02}
TOKEN = {word: number for number, word in enumerate(VOCABULARY)}


def grow(rng: np.random.Generator, edges: int) -> nx.DiGraph:
    """Grow one graph of the released family (see `workbench.generators`) until it has so many edges."""
    graph = nx.DiGraph()
    graph.add_nodes_from([0, 1])
    label, depth, rootless = {0: 1, 1: 2}, {0: 0, 1: 0}, set[int]()
    while graph.number_of_edges() < edges:
        new, draw = graph.number_of_nodes(), rng.random()
        if draw <= 0.70:
            own = (0, 1) if draw <= 0.35 else (0, 2)
            open_ = [node for node in graph if label[node] in own and node not in rootless]
        else:
            open_ = list(graph)
        number = min(int(rng.poisson(1.5)), len(open_), edges - graph.number_of_edges())
        weight = np.array([depth[node] * 1.5 + 1 for node in open_])
        parents = rng.choice(open_, number, replace=False, p=weight / weight.sum()) if number else []
        graph.add_node(new)
        label[new], depth[new] = 0, min((depth[int(parent)] + 1 for parent in parents), default=0)
        if not number:
            rootless.add(new)
        for parent in parents:
            graph.add_edge(int(parent), new)
            label[new] |= label[int(parent)]
    graph.remove_nodes_from([node for node in list(graph) if graph.degree(node) == 0])
    return graph


def ask(graph: nx.DiGraph, rng: np.random.Generator) -> tuple[list[int], list[int]] | None:
    """Ask one question as in ProsQA; return token ids and the tokens of one shortest path, None if there is none."""
    root = int(rng.integers(2))
    if root not in graph or 1 - root not in graph or len(graph) > len(NAMES):
        return None
    hops = nx.single_source_shortest_path_length(graph, root)
    beyond = nx.descendants(graph, 1 - root)
    leaves = [node for node in graph if graph.out_degree(node) == 0]
    by_hop = {hop: [n for n in leaves if n not in beyond and hops.get(n) == hop] for hop in HOPS}
    negatives = [node for node in leaves if node in beyond and node not in hops]
    share = np.array([HOPS[hop] if by_hop[hop] else 0.0 for hop in HOPS])
    if not negatives or not share.any():
        return None
    target = int(rng.choice(by_hop[list(HOPS)[int(rng.choice(len(HOPS), p=share / share.sum()))]]))
    negative = int(rng.choice(negatives))
    paths = list(nx.all_shortest_paths(graph, root, target))
    path = paths[int(rng.integers(len(paths)))]
    names = dict(zip(graph, (int(n) for n in rng.permutation([TOKEN[name] for name in NAMES])), strict=False))
    ids = [TOKEN["<eos>"]]
    edges = list(graph.edges)
    for place in rng.permutation(len(edges)):
        ids += [names[edges[place][0]], names[edges[place][1]], TOKEN["|"]]
    pair = [names[target], names[negative]] if rng.random() < 0.5 else [names[negative], names[target]]
    ids += [TOKEN["[Q]"], *pair, TOKEN["[R]"], names[root]]
    return ids, [names[node] for node in path[1:]]


def networkx_problems(count: int, seed: int) -> int:
    """Make so many problems."""
    rng, made = np.random.default_rng(seed), 0
    while made < count:
        made += ask(grow(rng, EDGES), rng) is not None
    return made


def our_problems(graphs: int, questions: int, batches: int, seed: int) -> int:
    """Make so many batches of problems."""
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        question_batch(
            rng, graphs=graphs, questions=questions, edges=EDGES, thoughts=THOUGHTS, hop_weights=HOPS, special=1.0
        )
    return graphs * questions * batches


def main(
    rounds: Annotated[int, typer.Option(help="How often both are run.")] = 7,
    scale: Annotated[int, typer.Option(help="Batches of ours in a round; 1 for a quick look.")] = 4,
) -> None:
    """Measure problems per second, ours and the peer's in turn."""
    torch.set_num_threads(1)
    single = Side("one question per graph", lambda: our_problems(256, 1, scale, 1))
    training = Side("16 questions per graph, as in training", lambda: our_problems(16, 16, scale, 2))
    peer = Side("networkx, one question per graph", lambda: networkx_problems(16 * scale, 3))
    training.work()
    as_trained = [timed(training)[0].cpu for _ in range(rounds)]
    result = compare("generator", single, peer, rounds=rounds, unit="problem")
    per_second = 1000 / float(str(result["ours_cpu_ms"]))
    finish(
        {
            **result,
            "problems_per_core_second": round(per_second),
            "problems_per_core_second_as_trained": round(1 / float(np.median(as_trained))),
            "aim_per_core_second": 2000,
        }
    )


if __name__ == "__main__":
    typer.run(main)
