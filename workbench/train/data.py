"""Training batches: random graphs, many questions of each, as token ids and supervision.

The chain in words, as the packed step supervises it: what is left after its first tokens have been removed.

Training rows: what a method makes of one problem at a stage of the curriculum, as token ids.

A row is

    question · slots · what is said

and only what is said is learned, end token included; question, slots and the markers around them are not (official
repository, dataset.py). At stage s the first s steps of the chain are gone and `method.slots(s)` slots stand in their
place, also where the chain is shorter (the official `pad_latent_to_max`). Nothing in a row asks a thought's own LM
head: `Method.heads` is for tasks with a graph, where the packed step asks it.

Where training by rows starts: the model, its tokenizer, and the problems to train on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import (
    Checkpoint,
    find,
    load_checkpoint,
    make_checkpoint,
    prepare_pretrained,
    reason,
    require_tokenizer,
    require_weights,
)
from workbench.model.formats import words_tokenizer
from workbench.model.prompts import Format, Ids, Prompt
from workbench.problems import random_graphs as generators
from workbench.problems.files import load_any
from workbench.problems.problem import Item, Problem
from workbench.problems.random_graphs import Graphs, Questions
from workbench.problems.sets import generate as generate_graphs
from workbench.problems.sets import generate_items as generate
from workbench.problems.vocabulary import NAMES, VOCABULARY
from workbench.train.config import TrainConfig, checkpoint_fields
from workbench.train.init import build_model
from workbench.train.methods import Method, find_method

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


ANSWER, EOS, SEPARATOR = (VOCABULARY.index(token) for token in ("[A]", "<eos>", "|"))
STEP_TOKENS = 3
"""Tokens of a step: source, target, separator."""


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


ALL = 1 << 30
"""More tokens than any chain has."""


@dataclass(frozen=True)
class Plan:
    """How the chain disappears."""

    thoughts: int
    """K: steps that are replaced by slots, at most."""
    last: int
    """The last stage; all of the chain is gone there. K, or K + 1 where a chain is longer than K steps."""
    tokens_per_stage: int = 1
    """Tokens that each stage removes, for `tail` (iCoT)."""


@dataclass(frozen=True)
class Row:
    """One training row."""

    prompt: Ids
    """The question, up to the token whose last hidden state is thought 1."""
    slots: int
    """Number of thoughts or pause tokens."""
    rest: Ids
    """What follows the slots, its markers among it."""
    supervised: tuple[bool, ...]
    """Which tokens of the rest are learned."""


def row(prompt: Prompt, format: Format, method: Method, stage: int, plan: Plan, removed: int = 0) -> Row:
    """Build the training row of a problem.

    Args:
        prompt: The encoded problem.
        format: What encoded it.
        method: The method.
        stage: From 0 (the whole chain in words) to `plan.last`.
        plan: How the chain disappears.
        removed: Tokens of the chain that are gone, for `tail`; see `tokens_gone`.
    """
    steps = len(prompt.problem.steps)
    gone = steps if stage >= plan.last else min(stage, steps)
    if method.said == "all":
        said = format.continuation(prompt, 0)
    elif method.said == "rest":
        said = format.continuation(prompt, gone)
    elif method.said == "none":
        said = format.continuation(prompt, steps)
    else:
        said = _without(format, prompt, removed)
    markers = {format.marker.bot, format.marker.eot, format.marker.thought}
    slots = method.slots(min(stage, plan.thoughts))
    return Row(prompt.ids, slots, said, tuple(token not in markers for token in said))


def tokens_gone(method: Method, stage: int, plan: Plan, rng: np.random.Generator, passed: float = 1.0) -> int:
    """Draw how many tokens of the chain are gone (iCoT, arXiv 2405.14838, section 3).

    They go evenly: none in stage 0, `plan.tokens_per_stage` during each stage after it; and o more with probability
    ~ exp(-smoothing * o), which eases the move to the next length. At the end of the last stage all are gone.

    Args:
        method: Gives the smoothing.
        stage: The stage.
        plan: How the chain disappears.
        rng: Source of all randomness.
        passed: The part of the stage that is over, 0 to 1.
    """
    extra = int(rng.geometric(1 - np.exp(-method.smoothing))) - 1 if method.smoothing else 0
    if stage == 0:
        return 0
    if stage >= plan.last and passed >= 1:
        return ALL
    return int((stage - 1 + passed) * plan.tokens_per_stage) + extra


def chain_length(format: Format, prompt: Prompt) -> int:
    """Return the number of tokens of a chain: neither its opening nor the answer after it are counted."""
    begin, end = _chain(format, prompt)
    return end - begin


def stage_at(config: TrainConfig, step: int, last: int | None = None) -> int:
    """Return the stage that training by rows is in at a step, by the clock.

    Args:
        config: The run. A stage lasts `rows.steps_per_stage` steps; the last one stays until the end. A method without
            a curriculum is always in the last stage.
        step: From 0.
        last: The last stage, by default K.
    """
    last = config.curriculum.thoughts if last is None else last
    if not find_method(config.method).curriculum:
        return last
    return min(step // config.rows.steps_per_stage, last)


def _without(format: Format, prompt: Prompt, removed: int) -> Ids:
    """Return the whole continuation without the first tokens of its chain; opening and answer stay."""
    said, (begin, end) = format.continuation(prompt, 0), _chain(format, prompt)
    return (*said[:begin], *said[min(begin + removed, end) :])


def _chain(format: Format, prompt: Prompt) -> tuple[int, int]:
    """Return where the chain begins and ends in the whole continuation: where it differs from the bare answer."""
    whole, bare = format.continuation(prompt, 0), format.continuation(prompt, len(prompt.problem.steps))
    begin = _alike(whole, bare)
    return begin, len(whole) - min(_alike(whole[::-1], bare[::-1]), len(bare) - begin)


def _alike(one: Ids, other: Ids) -> int:
    """Return the number of first tokens that two rows have in common."""
    same = (a == b for a, b in zip(one, other, strict=False))
    return sum(1 for _ in takewhile(bool, same))


def start(config: TrainConfig) -> Checkpoint:
    """Return what a run by rows starts from, as it is before the first step.

    `config.start` may name a checkpoint of the workbench, which goes on with the method of this run (the official
    GSM8k regime starts Coconut from CoT), or a pre-trained model, which gets the markers it lacks and reads the text
    format. Without it a small model is built from scratch, for the words of the task.

    Raises:
        WorkbenchError: There is no such model, or the task cannot be trained from scratch.
    """
    if not config.start:
        tokenizer = _words(config)
        model, meta = build_model(config.model, config.seed, tokenizer=tokenizer), {"format": "words"}
        return make_checkpoint(model, tokenizer, meta | checkpoint_fields(config), config.name)
    directory, name = find(config.start)
    if _is_ours(directory):
        begun = load_checkpoint(directory)
    else:
        begun = prepare_pretrained(*_pretrained(directory, name), name=name)
    return make_checkpoint(begun.model, begun.tokenizer, begun.meta | checkpoint_fields(config), config.name)


def draw_items(config: TrainConfig) -> Sequence[Problem | Item]:
    """Return the problems to train on: those of `config.rows.problems`, or generated ones.

    Raises:
        WorkbenchError: The file cannot be read.
    """
    if config.rows.problems:
        return load_any(Path(config.rows.problems))
    if config.task == "prosqa":
        return generate_graphs("released", config.rows.count, config.seed)
    return generate(config.task, config.rows.count, config.seed)


def draw_validation(config: TrainConfig, count: int) -> Sequence[Problem | Item]:
    """Return problems to watch while training, none of them trained on.

    The first of `config.rows.validation`, or generated ones (of arithmetic, in sentences that training never has).

    Raises:
        WorkbenchError: The file cannot be read.
    """
    if config.rows.validation:
        return load_any(Path(config.rows.validation))[:count]
    if config.task == "prosqa":
        return generate_graphs("released", count, config.seed + (1 << 30))
    return generate(config.task, count, config.seed, "test")


def _words(config: TrainConfig) -> PreTrainedTokenizerBase:
    if config.task == "prosqa":
        raise WorkbenchError(
            "Sentences of ProsQA are not trained from scratch.",
            "They are read by a pre-trained tokenizer; models from scratch read its graphs, one token per name.",
            'Name a pre-trained model in `start` (such as "gpt2"), or set `task: edges`.',
        )
    return words_tokenizer(config.task)


def _is_ours(directory: Path) -> bool:
    """Say whether a directory's config.json has `coconut`; one that cannot be read is reported later."""
    try:
        return '"coconut"' in (directory / "config.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _pretrained(directory: Path, name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that has never had a thought; no code that comes with it is run, and pickles are refused."""
    require_weights(directory, name)
    require_tokenizer(directory, name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise WorkbenchError(
            f"The pre-trained model {name} cannot be read.",
            reason(error),
            "Use GPT-2, Llama or Qwen2, with weights, tokenizer and config.json saved together by save_pretrained().",
        ) from error
    return model, tokenizer
