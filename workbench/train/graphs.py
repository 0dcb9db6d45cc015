"""Training data of random graphs, many questions of each, which share the edges as their prefix.

With packed mixing all open stages are learned in the same pass: the LM head at every slot, the answer at two stages,
the remaining chain at one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from workbench.problems import random_graphs
from workbench.problems.problem import Item, Problem
from workbench.problems.random_graphs import Graphs, Questions
from workbench.problems.sets import RELEASED_HOPS, generate
from workbench.problems.vocabulary import NAMES, VOCABULARY
from workbench.train.batch import IGNORE, Ask, Labels, TrainBatch, Words, draw_seed
from workbench.train.config import Curriculum, Schedule, Stage, TrainConfig, draw_edges, method_of

EOS, SEPARATOR, QUESTION, ROOT, ANSWER, PAUSE = (
    VOCABULARY.index(token) for token in ("<eos>", "|", "[Q]", "[R]", "[A]", "<thought>")
)
NAME_IDS = tuple(VOCABULARY.index(name) for name in NAMES)
STEP_TOKENS = 3
"""Tokens of a step in the edges format: source, target, separator."""


@dataclass(frozen=True)
class GraphBatch:
    """G graphs with E edges each and M questions of each graph, as the `edges` format spells them."""

    prefix: Int[Tensor, "G T"]
    """`<eos> s t | s t | ...`, the edges in random order."""
    question: Int[Tensor, "G M q"]
    """`[Q] c1 c2 [R] root`, or `[R] root` for a question without options."""
    walks: Int[Tensor, "G M K W"]
    """Token of hop 1..K on each of W sampled shortest paths (W = 1 where there are options), IGNORE beyond."""
    hops: Int[Tensor, "G M"]
    """Distance from root to target (of the first walk)."""
    target: Int[Tensor, "G M"]
    """Token of the target; only meaningful where there are options."""
    frontier: Int[Tensor, "G M K F"]
    """Tokens of the nodes at hop 1..K, IGNORE beyond."""

    @property
    def options(self) -> bool:
        """Whether the questions name two options, so that there is an answer."""
        return self.question.shape[2] > 2

    def first(self, graphs: int) -> "GraphBatch":
        """Return the first graphs with their questions."""
        return GraphBatch(*(getattr(self, name)[:graphs] for name in self.__dataclass_fields__))


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
    """Draw graphs and questions.

    Args:
        rng: Source of all randomness.
        graphs: G.
        questions: M, of each graph.
        edges: E, the same in every graph, so that nothing is padded.
        thoughts: K, hops that are labelled.
        hop_weights: Relative weight of each target distance.
        special: Share of questions whose root is one of the two special ones and whose options are leaves.
        walks: 0 for questions with two options and one shortest path; else the number of sampled walks of a
            question that has no options, each a shortest path to a random node.
        family: Graph family (`random_graphs.grow`).
    """
    kept: list[tuple[Graphs, Questions]] = []
    have = 0
    while have < graphs:
        grown = _grow_exact(edges, graphs * 2 if not walks else graphs + 4, rng, family)
        asked = random_graphs.ask(grown, questions * 2, rng, hop_weights, special)
        begin = np.searchsorted(asked.graph, np.arange(len(grown)))
        enough = np.bincount(asked.graph, minlength=len(grown)) >= questions
        index = (begin[enough][:, None] + np.arange(questions))[: graphs - have]
        owners = asked.graph[index[:, 0]]
        chosen = replace(asked.take(index.flatten()), graph=np.repeat(np.arange(len(owners)), questions))
        kept.append((grown.take(owners), chosen))
        have += len(owners)
    nodes = max(g.adjacency.shape[1] for g, _ in kept)
    parts = [_spell(_pad(g, nodes), q, rng, questions, edges, thoughts, walks, hop_weights) for g, q in kept]
    batch = GraphBatch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
    return replace(batch, frontier=batch.frontier[..., : int((batch.frontier != IGNORE).sum(-1).max())])


def _grow_exact(edges: int, count: int, rng: np.random.Generator, family: str) -> Graphs:
    """Grow `count` graphs of exactly `edges` edges: a prefix of the construction of larger ones."""
    nodes = int(edges / 1.5 * 1.25) + 6
    while True:
        graphs = random_graphs.grow(family, count + count // 2 + 2, nodes, rng, max_edges=edges)
        graphs = graphs.take(graphs.adjacency.sum((1, 2)) == edges)
        graphs = graphs.take(graphs.present.sum(1) <= len(NAME_IDS))
        if len(graphs) >= count:
            return graphs.take(np.arange(count))
        nodes += 4


def _pad(graphs: Graphs, nodes: int) -> Graphs:
    extra = nodes - graphs.adjacency.shape[1]
    pad = ((0, 0), (0, extra), (0, extra))
    return Graphs(np.pad(graphs.adjacency, pad), np.pad(graphs.hops, pad, constant_values=random_graphs.FAR))


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
    count, nodes = graphs.present.shape
    names = rng.random((count, len(NAME_IDS))).argsort(1)
    # Slots that no edge touches need no name: rank the present ones first.
    slot = (~graphs.present).argsort(1, kind="stable").argsort(1)
    tokens = np.asarray(NAME_IDS)[names[np.arange(count)[:, None], slot % len(NAME_IDS)]]
    g, shape = asked.graph, (count, questions)
    root, target, negative = (tokens[g, node] for node in (asked.root, asked.target, asked.negative))
    if walks:
        question = np.stack([np.full(len(g), ROOT), root], 1)
        weight = np.zeros(random_graphs.FAR + 1, dtype=np.float32)
        weight[list(hop_weights)] = list(hop_weights.values())
        node_weight = weight[graphs.hops[g, asked.root]]
        ends = [asked.target] + [random_graphs.pick(node_weight, rng) for _ in range(walks - 1)]
        paths = np.stack([random_graphs.sample_paths(graphs, g, asked.root, end, thoughts, rng) for end in ends], -1)
    else:
        first, second = np.where(asked.target_first, (target, negative), (negative, target))
        question = np.stack([np.full(len(g), QUESTION), first, second, np.full(len(g), ROOT), root], 1)
        paths = random_graphs.sample_paths(graphs, g, asked.root, asked.target, thoughts, rng)[..., None]
    labels = np.where(paths >= 0, tokens[g[:, None, None], paths], IGNORE)
    distance = graphs.hops[g, asked.root]
    frontier = np.full((len(g), thoughts, nodes), IGNORE)
    for hop in range(1, thoughts + 1):
        frontier[:, hop - 1] = np.where(distance == hop, tokens[g], IGNORE)
    frontier = -np.sort(-frontier, -1)  # tokens first
    arrays = (question, labels, asked.hops, target, frontier)
    return (
        torch.from_numpy(_prefix(graphs, tokens, edges, rng)),
        *(torch.from_numpy(np.ascontiguousarray(a.reshape(*shape, *a.shape[1:]))) for a in arrays),
    )


def _prefix(graphs: Graphs, tokens: np.ndarray, edges: int, rng: np.random.Generator) -> Int[np.ndarray, "G T"]:
    graph, source, target = graphs.adjacency.nonzero()
    order = np.lexsort((rng.random(len(graph)), graph))
    graph, source, target = graph[order], source[order], target[order]
    spelled = np.stack([tokens[graph, source], tokens[graph, target], np.full(len(graph), SEPARATOR)], 1)
    start = np.full((len(graphs), 1), EOS)
    return np.concatenate([start, spelled.reshape(len(graphs), 3 * edges)], 1)


def spell_chains(batch: GraphBatch, removed: Int[Tensor, "G M"]) -> Int[Tensor, "G M t"]:
    """Spell `| n_0 n_1 | n_1 n_2 ... [A] target <eos>` without the first tokens after its `|`, IGNORE after the end.

    Args:
        batch: Graphs and questions; the first walk of each is its chain.
        removed: Tokens left out, 3k for the first k steps; more than there are leaves `| [A] target <eos>`.
    """
    nodes = torch.cat([batch.question[:, :, -1:], batch.walks[..., 0]], -1)  # [G, M, K+1], node at hop 0..K
    pieces = torch.stack([nodes[..., :-1], nodes[..., 1:], torch.full_like(nodes[..., 1:], SEPARATOR)], -1).flatten(2)
    chain = STEP_TOKENS * batch.hops - 1  # no separator before the answer
    begin = torch.minimum(removed, chain)
    length = int((chain - begin).max()) + 3
    place = begin[..., None] + torch.arange(length)
    past = place - chain[..., None]
    body = pieces.gather(-1, place.clamp(max=pieces.shape[-1] - 1))
    body = torch.where(past == 0, ANSWER, torch.where(past == 1, batch.target[..., None].expand_as(place), body))
    body = torch.where(past == 2, EOS, torch.where(past > 2, IGNORE, body))
    return torch.cat([torch.full_like(body[..., :1], SEPARATOR), body], -1)


def graph_train_batch(batch: GraphBatch, ask: Ask, generator: torch.Generator) -> TrainBatch:
    """Return what is run and learned of graphs and questions.

    With packed mixing all open stages are learned in the same pass: the LM head at every slot, the answer at two
    stages, the remaining chain at one.

    Args:
        batch: Graphs and questions, with labels for at least as many hops as stages are open.
        ask: How they are asked.
        generator: Draws stages and lengths.
    """
    method = ask.method
    rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
    drawn = ask.draw(batch.hops.numpy(), rng)
    opened = ask.opened(drawn)
    words = []
    if batch.options and method.said != "all":
        words.append(_answers(batch, ask, torch.from_numpy(drawn), generator))
    graphs = len(batch.prefix) if method.heads == "none" else ask.chain_graphs
    if batch.options and method.said != "none" and graphs:
        words.append(_chains(batch.first(graphs), ask, drawn[:graphs], generator, rng))
    if not batch.options and method.said == "all":
        words.append(_walk(batch))
    slots = method.slots(opened)
    walks, frontier = (tensor[:, :, : opened if slots else 0] for tensor in (batch.walks, batch.frontier))
    pause = PAUSE if method.fed == "pause" else None
    heads = ask.heads(walks, frontier, drawn)
    return TrainBatch(batch.prefix, batch.question, None, slots, pause, method.per_step, heads, frontier, tuple(words))


def _answers(batch: GraphBatch, ask: Ask, drawn: Int[Tensor, "G M"], generator: torch.Generator) -> Words:
    """Return the answer, asked at stages that have removed the whole chain; without a curriculum at the last one."""
    method, distance = ask.method, batch.hops
    asked = drawn[..., None]
    if method.curriculum and ask.mixing == "packed" and method.fed != "nothing":
        span = (ask.newest - distance + 1).clamp(min=1)
        more = torch.rand(*distance.shape, ask.answers - 1, generator=generator)
        later = (distance[..., None] + (more * span[..., None]).long()).clamp(max=ask.newest)
        asked = torch.cat([later, torch.full_like(asked, ask.newest)], -1)
    due = (asked >= distance[..., None]) | (not method.curriculum)
    token = torch.where(due, batch.target[..., None].expand_as(asked), IGNORE)
    after = batch.question.shape[2] - 1 + asked * method.slots(1)
    return Words(torch.full_like(asked, ANSWER), after, Labels.of(token))


def _chains(
    batch: GraphBatch, ask: Ask, drawn: Int[np.ndarray, "G M"], generator: torch.Generator, rng: np.random.Generator
) -> Words:
    """Return what is left of the chain, the answer and the end token."""
    method, distance, k = ask.method, batch.hops, torch.from_numpy(drawn)
    if method.said == "all":
        k = torch.zeros_like(distance)
    elif ask.mixing == "packed" and method.fed != "nothing":
        # From 0 to one more than the chain has steps: beyond, there is nothing left to say.
        k = (torch.rand(distance.shape, generator=generator) * (distance + 2)).long().clamp(max=ask.newest)
    removed = STEP_TOKENS * k
    if method.said == "tail":
        removed = torch.from_numpy(ask.schedule.removed_tokens(method, ask.stage, drawn, rng))
    tokens = spell_chains(batch, removed)
    after = batch.question.shape[2] - 1 + k * method.slots(1)
    return Words(tokens[..., :-1].clamp(min=0), after, Labels.of(tokens[..., 1:]))


def _walk(batch: GraphBatch) -> Words:
    """Return one sampled walk in words, where the question names the root alone; no answer is due."""
    tokens = spell_chains(batch, torch.zeros_like(batch.hops))
    steps = torch.arange(tokens.shape[-1] - 1) < (STEP_TOKENS * batch.hops - 1)[..., None]
    after = torch.full_like(batch.hops, batch.question.shape[2] - 1)
    return Words(tokens[..., :-1].clamp(min=0), after, Labels.of(torch.where(steps, tokens[..., 1:], IGNORE)))


class GraphData:
    """Draws random graphs and questions of them.

    A batch depends on configuration, step and process alone: all methods see the same graphs and questions. Only
    `walk_share` of the batches have no options where the method can learn from such a batch: from the LM head at
    its slots, or from one walk in words (`walks: 1`, for methods that say the whole chain). The other methods get an
    ordinary batch of as many questions.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.method = config, method_of(config)
        self.schedule = Schedule.of(config, step_tokens=STEP_TOKENS)

    def questions(self, stage: Stage, step: int, rank: int) -> GraphBatch:
        """Draw the graphs and questions of one step and process."""
        config, plan = self.config, self.config.curriculum
        rng = np.random.default_rng([config.seed, rank, step])
        # The shape of a batch is drawn from the step alone, so that no process waits for another's larger one.
        shared = np.random.default_rng([config.seed, 1 << 20, step])
        wide = self.schedule.wide(stage, step)
        share = plan.walk_share if step < plan.late_from else plan.walk_share_late
        without = shared.random() < share if wide else share > 0
        learns = self.method.heads != "none" or (self.method.said == "all" and plan.walks == 1)
        walks = plan.walks if without and learns else 0
        edges = draw_edges(stage, plan, shared)
        return question_batch(
            rng,
            graphs=config.graphs,
            questions=config.questions,
            edges=edges,
            thoughts=max(plan.thoughts, *plan.hop_weights),
            hop_weights=plan.hop_weights if wide or walks == 1 else {h: 1.0 + 0.3 * h for h in range(1, 7)},
            special=plan.special if edges >= 16 and not walks else 0.0,
            walks=walks,
        )

    def draw(self, stage: Stage, step: int, rank: int) -> TrainBatch:
        """Draw the batch of one step and process."""
        ask = Ask.of(self.config, stage, self.schedule)
        generator = torch.Generator().manual_seed(draw_seed(self.config, step, rank))
        return graph_train_batch(self.questions(stage, step, rank), ask, generator)

    @cached_property
    def watched(self) -> GraphBatch:
        """Questions of every evaluation: the released distribution of hops, special roots, a typical graph size."""
        plan = self.config.curriculum
        return question_batch(
            np.random.default_rng([self.config.seed, 1 << 21]),
            graphs=64,
            questions=4,
            edges=plan.typical_edges,
            thoughts=max(plan.thoughts, *RELEASED_HOPS),
            hop_weights=asked_hops(plan.thoughts),
            special=1.0,
        )

    def evaluation(self, stage: Stage) -> TrainBatch:
        """Return the batch of every evaluation, asked at the last stage."""
        ask = Ask.of(self.config, replace(stage, thoughts=self.schedule.last), self.schedule)
        return graph_train_batch(self.watched, ask, torch.Generator().manual_seed(0))

    @cached_property
    def validation(self) -> Sequence[Problem | Item]:
        """Problems to answer at every evaluation; no step draws them."""
        config, plan = self.config, self.config.curriculum
        hops, nodes = asked_hops(plan.thoughts), node_slots(plan)
        return generate("released", config.watched, config.seed + (1 << 30), hops, nodes)


def asked_hops(thoughts: int) -> dict[int, float]:
    """Return the released weights of the distances that so many thoughts can reach."""
    return {hop: weight for hop, weight in RELEASED_HOPS.items() if hop <= thoughts} or {thoughts: 1.0}


def node_slots(plan: Curriculum) -> int:
    """Return the node slots of a generated graph of typical size: 28 for 36 edges, as in the released files."""
    return round(0.6 * plan.typical_edges) + 6
