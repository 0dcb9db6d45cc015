"""Training batches: random graphs, many questions of each, as token ids and supervision."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench import generators
from workbench.generators import Graphs, Questions
from workbench.tokenizer import NAMES, VOCABULARY

EOS, SEPARATOR, QUESTION, ROOT = (VOCABULARY.index(token) for token in ("<eos>", "|", "[Q]", "[R]"))
NAME_IDS = tuple(VOCABULARY.index(name) for name in NAMES)

IGNORE = -100
"""The label that cross-entropy leaves out."""


@dataclass(frozen=True)
class GraphBatch:
    """G graphs with E edges each and M questions of each graph, as the `edges` format spells them."""

    prefix: Int[Tensor, "G T"]
    """`<eos> s t | s t | ...`, the edges in random order."""
    question: Int[Tensor, "G M q"]
    """`[Q] c1 c2 [R] root`, or `[R] root` for a question without candidates."""
    walks: Int[Tensor, "G M K W"]
    """Token of hop 1..K on each of W sampled shortest paths (W = 1 where there are candidates), IGNORE beyond."""
    hops: Int[Tensor, "G M"]
    """Distance from root to target (of the first walk)."""
    target: Int[Tensor, "G M"]
    """Token of the target; only meaningful where there are candidates."""
    negative: Int[Tensor, "G M"]
    """Token of the negative; only meaningful where there are candidates."""
    frontier: Bool[Tensor, "G M K V"]
    """Whether a token of the vocabulary is a node at hop 1..K: for metrics, never for a loss."""

    def first(self, graphs: int) -> "GraphBatch":
        """Return the first graphs with their questions."""
        return GraphBatch(*(getattr(self, name)[:graphs] for name in self.__dataclass_fields__))

    def to(self, device: torch.device) -> "GraphBatch":
        """Return the batch on a device."""
        return GraphBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def _tokens(graphs: Graphs, rng: np.random.Generator) -> Int[np.ndarray, "G nodes"]:
    """Draw a name for every node slot, all different within a graph."""
    count, nodes = graphs.present.shape
    names = rng.random((count, len(NAME_IDS))).argsort(1)
    # Slots that no edge touches need no name: rank the present ones first.
    slot = (~graphs.present).argsort(1, kind="stable").argsort(1)
    return np.asarray(NAME_IDS)[names[np.arange(count)[:, None], slot % len(NAME_IDS)]].reshape(count, nodes)


def _prefix(graphs: Graphs, tokens: np.ndarray, edges: int, rng: np.random.Generator) -> Int[np.ndarray, "G T"]:
    graph, source, target = graphs.adjacency.nonzero()
    order = np.lexsort((rng.random(len(graph)), graph))
    graph, source, target = graph[order], source[order], target[order]
    spelled = np.stack([tokens[graph, source], tokens[graph, target], np.full(len(graph), SEPARATOR)], 1)
    start = np.full((len(graphs), 1), EOS)
    return np.concatenate([start, spelled.reshape(len(graphs), 3 * edges)], 1)


def _grow_exact(edges: int, count: int, rng: np.random.Generator, family: str) -> Graphs:
    """Grow `count` graphs of exactly `edges` edges: a prefix of the construction of larger ones."""
    nodes = int(edges / 1.5 * 1.25) + 6
    while True:
        graphs = generators.grow(family, count + count // 2 + 2, nodes, rng, max_edges=edges)
        graphs = graphs.take(graphs.adjacency.sum((1, 2)) == edges)
        graphs = graphs.take(graphs.present.sum(1) <= len(NAME_IDS))
        if len(graphs) >= count:
            return graphs.take(np.arange(count))
        nodes += 4


def _first_of_each(graph: np.ndarray, graphs: int, per_graph: int) -> np.ndarray:
    """Return positions [graphs', per_graph] of the first questions of every graph that has enough."""
    begin = np.searchsorted(graph, np.arange(graphs))
    enough = np.bincount(graph, minlength=graphs) >= per_graph
    return begin[enough][:, None] + np.arange(per_graph)


def question_batch(
    rng: np.random.Generator,
    *,
    graphs: int,
    questions: int,
    edges: int,
    thoughts: int,
    hop_weights: dict[int, float],
    special: float,
    walks: int = 0,
    family: str = "released",
) -> GraphBatch:
    """Draw a batch.

    Args:
        rng: Source of all randomness.
        graphs: G.
        questions: M, of each graph.
        edges: E, the same in every graph, so that nothing is padded.
        thoughts: K, hops that are labelled.
        hop_weights: Relative weight of each target distance.
        special: Share of questions whose root is one of the two special ones and whose candidates are leaves.
        walks: 0 for questions with two candidates and one shortest path; else the number of sampled walks of a
            question that has no candidates, each a shortest path to a random node.
        family: Graph family (`generators.grow`).
    """
    kept: list[tuple[Graphs, Questions]] = []
    have = 0
    while have < graphs:
        batch = _grow_exact(edges, graphs * 2 if not walks else graphs + 4, rng, family)
        asked = generators.ask(batch, questions * 2, rng, hop_weights, special)
        index = _first_of_each(asked.graph, len(batch), questions)[: graphs - have]
        chosen = asked.take(index.flatten())
        owners = asked.graph[index[:, 0]]
        renumbered = np.repeat(np.arange(len(owners)), questions)
        kept.append((batch.take(owners), Questions(renumbered, *(_fields(chosen)[1:]))))
        have += len(owners)
    nodes = max(len(g.adjacency[0]) for g, _ in kept)
    parts = [_spell(_pad(g, nodes), q, rng, questions, edges, thoughts, walks, hop_weights) for g, q in kept]
    return GraphBatch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _fields(questions: Questions) -> list[np.ndarray]:
    return [getattr(questions, name) for name in questions.__dataclass_fields__]


def _pad(graphs: Graphs, nodes: int) -> Graphs:
    extra = nodes - graphs.adjacency.shape[1]
    if not extra:
        return graphs
    pad = ((0, 0), (0, extra), (0, extra))
    return Graphs(np.pad(graphs.adjacency, pad), np.pad(graphs.hops, pad, constant_values=generators.FAR))


def _spell(
    graphs: Graphs,
    asked: Questions,
    rng: np.random.Generator,
    questions: int,
    edges: int,
    thoughts: int,
    walks: int,
    hop_weights: dict[int, float],
) -> tuple[Tensor, ...]:
    """Turn graphs and questions into the tensors of a GraphBatch."""
    tokens = _tokens(graphs, rng)
    g, shape = asked.graph, (len(graphs), questions)
    root, target, negative = (tokens[g, node] for node in (asked.root, asked.target, asked.negative))
    if walks:
        question = np.stack([np.full(len(g), ROOT), root], 1)
        weight = np.zeros(generators.FAR + 1, dtype=np.float32)
        for hop, value in hop_weights.items():
            weight[hop] = value
        node_weight = weight[graphs.hops[g, asked.root]]
        ends = [asked.target] + [generators.pick(node_weight, rng) for _ in range(walks - 1)]
        paths = np.stack([generators.sample_paths(graphs, g, asked.root, end, thoughts, rng) for end in ends], -1)
    else:
        first, second = np.where(asked.target_first, (target, negative), (negative, target))
        question = np.stack([np.full(len(g), QUESTION), first, second, np.full(len(g), ROOT), root], 1)
        paths = generators.sample_paths(graphs, g, asked.root, asked.target, thoughts, rng)[..., None]
    labels = np.where(paths >= 0, tokens[g[:, None, None], paths], IGNORE)
    distance = graphs.hops[g, asked.root]
    frontier = np.zeros((len(g), thoughts, max(NAME_IDS) + 1), dtype=bool)
    question_at, node_at = ((distance >= 1) & (distance <= thoughts)).nonzero()
    frontier[question_at, distance[question_at, node_at] - 1, tokens[g[question_at], node_at]] = True
    arrays = (question, labels, asked.hops, target, negative, frontier)
    return (
        torch.from_numpy(_prefix(graphs, tokens, edges, rng)),
        *(torch.from_numpy(np.ascontiguousarray(a.reshape(*shape, *a.shape[1:]))) for a in arrays),
    )
