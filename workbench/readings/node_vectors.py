"""A thought as a sum of one vector per node: a linear node dictionary, learned or taken from the embeddings.

The construction of Reasoning by Superposition (arXiv 2505.12514) for thought k is (1/√|V|) Σ u_v, u_v the embeddings of
all nodes v reached within k steps. Here the sum is over the frontier alone, the nodes exactly k steps away. A trained
model need not use the embeddings. So the vectors are also learned, by ridge
regression of thoughts on the names at each hop. What they explain on other problems is how much of a thought is a
superposition at all, in whatever directions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import nnls
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError
from workbench.figures.superposition import explained_by_thought
from workbench.interventions.nodes import NodeSet
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_intervened, think_about
from workbench.interventions.thoughts import Patch, exchanged
from workbench.measure.recording import Recording
from workbench.measure.splits import alike, folds
from workbench.measure.statistics import resample
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import hop_read, structure
from workbench.problems.problem import Problem
from workbench.readings.base import Reading, hops_read, rows, steps
from workbench.readings.superposition import random_members

Space = Literal["codes", "embeddings"]
SPACES: tuple[Space, ...] = ("codes", "embeddings")
"""Learned vectors, and embeddings."""

SUMS = ("embeddings", "codes", "codes, hop before too", "codes, other graph")
"""What thoughts are predicted from. The last one is a control: codes summed over the frontier of another problem."""

RIDGE = 1.0
"""Weight of the squared codes; the constant part has no penalty."""
NOISE, OWN = "noise", "its own thought"
OTHERS, PATH = "as many other concepts", "shortest path alone"
MEAN, WITHOUT, RESIDUAL = "mean thought", "the thought without its sum", "own sum, another problem's residual"
"""What else is put in a thought's place, beside its sum: see `beside_a_sum` and `kept_when_replaced`."""

CODES_FROM = 400
"""Generated problems that codes for interventions are learned from; the audit takes more."""
CHANCE_DRAWS = 8
MOST_CODES = 8
"""Dictionaries kept for a model."""
_CODES: WeakKeyDictionary[PreTrainedModel, dict[object, "NodeVectors"]] = WeakKeyDictionary()

Thoughts = Float[np.ndarray, "n K d"]
Tokens = Int[np.ndarray, "n nodes"]
Members = Bool[np.ndarray, "n K nodes"]


@dataclass(frozen=True)
class NodeVectors:
    """The vectors of names, by thought, and a constant part that every problem has."""

    constant: Float[np.ndarray, "K d"]
    now: Float[np.ndarray, "K vocab d"]
    """Of each name (by its first token) in the set of nodes that thought k is about."""
    before: Float[np.ndarray, "K vocab d"]
    """Of each name one hop before; zeros where only one set is summed."""

    def sums(self, tokens: Sequence[Int[np.ndarray, " _"]], now: NodeSet, before: NodeSet | None = None) -> Thoughts:
        """Return the constant part plus (1/√|V|) Σ over sets V, for each problem and thought.

        Args:
            tokens: First token of every node's name, of each problem.
            now: The set that the thought is about.
            before: The set one hop before; none by default.
        """
        made = np.tile(self.constant, (len(tokens), 1, 1))
        for (row, k), own in _each(made):
            own += _sum(self.now[k - 1], tokens[row], now(row, k))
            if before is not None:
                own += _sum(self.before[k - 1], tokens[row], before(row, k))
        return made

    def contribution(
        self,
        tokens: Sequence[Int[np.ndarray, " _"]],
        nodes: NodeSet,
        frontier: NodeSet,
        per_step: int,
        sign: float,
    ) -> Thoughts:
        """Return what some nodes add to each thought, with a sign: their vectors times 1/√|V| of the frontier V.

        Nodes count in the thought that is about them and, by their `before` vectors, in that of the next hop.

        Args:
            tokens: As in `sums`.
            nodes: Of each problem and thought.
            frontier: V.
            per_step: Thoughts that stand for one hop.
            sign: 1 to add them, -1 to take them out.
        """
        made = np.zeros((len(tokens), *self.constant.shape))
        for (row, k), own in _each(made):
            for vectors, at in ((self.now[k - 1], k), (self.before[k - 1], k - per_step)):
                chosen = tokens[row][nodes(row, at)] if at > 0 else tokens[row][:0]
                if len(chosen):
                    own += sign * vectors[chosen].sum(0) / np.sqrt(max(int(frontier(row, at).sum()), 1))
        return made


def _each(made: Thoughts) -> Iterator[tuple[tuple[int, int], Float[np.ndarray, " d"]]]:
    """Yield problem, thought (from 1) and its vector, to be written to."""
    return (((row, k + 1), made[row, k]) for row, k in np.ndindex(made.shape[:2]))


def _sum(
    vectors: Float[np.ndarray, "vocab d"], tokens: Int[np.ndarray, " nodes"], nodes: Bool[np.ndarray, " nodes"]
) -> Float[np.ndarray, " d"]:
    chosen = tokens[nodes]
    return vectors[chosen].sum(0) / np.sqrt(max(len(chosen), 1))


def at_hops(hops: Int[np.ndarray, "n nodes"], read: Sequence[int]) -> Members:
    """Return the nodes at a hop from the root, for each thought: `read` is the hop that each thought is about."""
    return hops[:, None] == np.array(read)[:, None]


def name_weights(tokens: Tokens, members: Bool[np.ndarray, "n nodes"], vocab: int) -> Float[np.ndarray, "n vocab"]:
    """Return which names are in each problem's set V, each with the weight 1/√|V| of the theory."""
    row, node = np.nonzero(members)
    there = np.zeros((len(tokens), vocab))
    np.add.at(there, (row, tokens[row, node]), 1.0)
    return there / np.sqrt(np.maximum(there.sum(1, keepdims=True), 1))


def learn_vectors(
    thoughts: Thoughts, tokens: Tokens, now: Members, before: Members | None, vocab: int, ridge: float = RIDGE
) -> NodeVectors:
    """Learn the node vectors of a model from its thoughts about many problems, by ridge regression.

    Args:
        thoughts: Thought 1..K of every problem.
        tokens: First token of every node's name, anything where there is no node.
        now: The nodes that each thought is about.
        before: The nodes one hop before, to be summed too; None for `now` alone.
        vocab: Number of tokens.
        ridge: See `RIDGE`.

    Raises:
        WorkbenchError: There are fewer than two problems.
    """
    if len(thoughts) < 2:
        why = f"There {'is one problem' if len(thoughts) else 'are no problems'}."
        raise WorkbenchError("A code cannot be learned.", why, "Give some hundred problems.")
    sets, constant, learned = [now] if before is None else [now, before], [], []
    for k in range(thoughts.shape[1]):
        names = np.concatenate([name_weights(tokens, members[:, k], vocab) for members in sets], 1)
        centre, mean = names.mean(0), thoughts[:, k].mean(0)
        names = names - centre
        gram = names.T @ names + ridge * np.eye(names.shape[1])
        vectors = np.linalg.solve(gram, names.T @ (thoughts[:, k] - mean))
        constant.append(mean - centre @ vectors)
        learned.append(vectors if before is not None else np.concatenate([vectors, np.zeros_like(vectors)]))
    both = np.stack(learned)
    return NodeVectors(np.stack(constant), both[:, :vocab], both[:, vocab:])


def scaled_embeddings(
    thoughts: Thoughts, tokens: Tokens, now: Members, embedding: Float[np.ndarray, "vocab d"]
) -> NodeVectors:
    """Return embeddings as node vectors: for each thought a constant, and one number times the embeddings.

    Args:
        thoughts: Thought 1..K of every problem; the numbers are fitted to them by least squares.
        tokens: First token of every node's name.
        now: The nodes that each thought is about.
        embedding: Of every token.
    """
    constant, sizes = [], []
    for k in range(thoughts.shape[1]):
        summed = name_weights(tokens, now[:, k], len(embedding)) @ embedding
        centre, mean = summed.mean(0), thoughts[:, k].mean(0)
        off, about = summed - centre, thoughts[:, k] - mean
        sizes.append(float((off * about).sum() / max(float((off**2).sum()), 1e-12)))
        constant.append(mean - sizes[-1] * centre)
    vectors = np.array(sizes)[:, None, None] * embedding
    return NodeVectors(np.stack(constant), vectors, np.zeros_like(vectors))


def cross_fitted(
    fit: Callable[[Int[np.ndarray, " rows"]], NodeVectors],
    tokens: Tokens,
    now: Members,
    before: Members | None,
    fold: Int[np.ndarray, " n"],
) -> Thoughts:
    """Return for every problem the thoughts that vectors learned from the other folds predict.

    Args:
        fit: From the numbers of some problems to the vectors that are learned from them.
        tokens: First token of every node's name.
        now: The nodes that each thought is about.
        before: The nodes one hop before; None where they are not summed.
        fold: Part of each problem, see `splits.folds`.
    """
    predicted = np.empty((*now.shape[:2], 0))
    for number in np.unique(fold):
        held = np.flatnonzero(fold == number)
        made = fit(np.flatnonzero(fold != number)).sums(
            list(tokens[held]), _sets(now[held]), None if before is None else _sets(before[held])
        )
        predicted = predicted if predicted.size else np.empty((*now.shape[:2], made.shape[2]))
        predicted[held] = made
    return predicted


def _sets(members: Members) -> NodeSet:
    return lambda row, k: members[row, k - 1]


def squared_errors(thoughts: Thoughts, predicted: Thoughts) -> Float[np.ndarray, "n K 2"]:
    """Return for every problem and thought the squared error of a prediction, and that of the mean thought.

    One less the ratio of their sums is the share of variance explained (R²); it is below zero where the prediction is
    worse than the mean.
    """
    error = np.square(thoughts - predicted).sum(-1)
    return np.stack([error, np.square(thoughts - thoughts.mean(0)).sum(-1)], -1)


def learn_from_generated(
    checkpoint: Checkpoint, problems: Sequence[Problem], count: int, seed: int = 0, thoughts: int | None = None
) -> tuple[dict[Space, NodeVectors], int]:
    """Learn both kinds of vectors from what a model thinks about generated problems on other graphs.

    Args:
        checkpoint: The model.
        problems: Those that the vectors will be used on; others like them are generated.
        count: Problems to generate.
        seed: Of the generator.
        thoughts: How many the model thinks; by default as many as it was trained with.

    Returns:
        The vectors by their name of `SPACES`, and the number of problems that were run.

    Raises:
        WorkbenchError: No such problems can be generated.
    """
    made = alike(problems, count, seed)
    fed = think_about(checkpoint, made, thoughts).double().cpu().numpy()
    tokens, hops = nodes_of(checkpoint, made)
    embedding = embedding_of(checkpoint)
    read = [hop_read(k, checkpoint.thoughts_per_step) for k in range(1, fed.shape[1] + 1)]
    now, before = at_hops(hops, read), at_hops(hops, [hop - 1 for hop in read])
    return {
        "codes": learn_vectors(fed, tokens, now, before, len(embedding)),
        "embeddings": scaled_embeddings(fed, tokens, now, embedding),
    }, len(made)


def codes_of(checkpoint: Checkpoint, problems: Sequence[Problem], thoughts: int | None = None) -> NodeVectors:
    """Return the linear node dictionary of a model for problems like these; learned once for a model and a set.

    Raises:
        WorkbenchError: No such problems can be generated.
    """
    known = _CODES.setdefault(checkpoint.model, {})
    key = frozenset(problem.question for problem in problems), thoughts
    if key not in known:
        while len(known) >= MOST_CODES:
            known.pop(next(iter(known)))
        known[key] = learn_from_generated(checkpoint, problems, CODES_FROM, thoughts=thoughts)[0]["codes"]
    return known[key]


def named_spaces(
    checkpoint: Checkpoint, problems: Sequence[Problem], plan: Plan, thoughts: int | None = None
) -> dict[str, dict[str, torch.Tensor]]:
    """Return what a run under a plan must be given where the plan names "codes" as its directions; else nothing.

    Raises:
        WorkbenchError: No problems can be generated to learn codes from.
    """
    if not any(getattr(one, "space", "") == "codes" for one in plan.interventions):
        return {}
    return {"spaces": {"codes": torch.from_numpy(codes_of(checkpoint, problems, thoughts).now).float()}}


def decomposed(
    thought: Float[np.ndarray, " d"], constant: Float[np.ndarray, " d"], vectors: Float[np.ndarray, "m d"]
) -> tuple[Float[np.ndarray, " m"], float]:
    """Write a thought as a constant part and a sum of vectors with weights of zero or more (least squares).

    Returns:
        The weights, and the share of the squared distance from the constant part that the sum explains.

    Examples:
        >>> weights, share = decomposed(np.array([3.0, 1.0]), np.array([0.0, 1.0]), np.eye(2))
        >>> weights.tolist(), share
        ([3.0, 0.0], 1.0)
    """
    off = thought - constant
    weights, left = nnls(vectors.T, off)
    return weights, 1 - float(left**2 / max(float(off @ off), 1e-12))


def nodes_of(checkpoint: Checkpoint, problems: Sequence[Problem]) -> tuple[Tokens, Tokens]:
    """Return each node's first token (-1 where there is no node) and its hop (-1 unreachable, -2 no node)."""
    width = max(len(problem.names) for problem in problems)
    tokens, hops = np.full((len(problems), width), -1), np.full((len(problems), width), -2)
    for row, (own, problem) in enumerate(zip(first_tokens(checkpoint, problems), problems, strict=True)):
        tokens[row, : len(own)], hops[row, : len(own)] = own, structure(problem).hops
    return tokens, hops


def embedding_of(checkpoint: Checkpoint) -> Float[np.ndarray, "vocab d"]:
    """Return the input embedding of every token."""
    return checkpoint.model.get_input_embeddings().weight.detach().double().cpu().numpy()  # type: ignore[union-attr]


def first_tokens(checkpoint: Checkpoint, problems: Sequence[Problem]) -> list[Int[np.ndarray, " _"]]:
    """Return the token that each node's name begins with, for each problem."""
    return [np.array([word[0] for word in prompt.nodes]) for prompt in checkpoint.format.prompts(problems)]


def predictions(recording: Recording) -> dict[str, Thoughts]:
    """Return `predict` of a recording's thoughts."""
    return predict(
        recording.fed, recording.first_tokens, recording.hops, hops_read(recording), recording.embedding,
        recording.problems,
    )  # fmt: skip


def predict(
    thoughts: Thoughts, tokens: Tokens, hops: Tokens, read: Sequence[int], embedding: np.ndarray,
    problems: Sequence[Problem],
) -> dict[str, Thoughts]:  # fmt: skip
    """Predict every thought from its graph alone by each of `SUMS`, with vectors learned from other graphs.

    Args:
        thoughts: Thought 1..K of every problem.
        tokens: First token of every node's name, -1 where there is no node.
        hops: Of every node from the root, negative where it is not reached, or there is no node.
        read: The hop that each thought is about.
        embedding: Of every token, [vocab, d].
        problems: Whose thoughts they are.

    Raises:
        WorkbenchError: All problems share one graph.
    """
    thoughts, fold = thoughts.astype(np.float64), folds(problems)
    now, before = at_hops(hops, read), at_hops(hops, [hop - 1 for hop in read])
    # Another problem's graph, of the same fold so that its codes too were learned elsewhere.
    other = np.arange(len(fold))
    for number in np.unique(fold):
        held = np.flatnonzero(fold == number)
        other[held] = np.roll(held, 1)

    def by_embeddings(rest: np.ndarray) -> NodeVectors:
        return scaled_embeddings(thoughts[rest], tokens[rest], now[rest], embedding)

    def by_codes(rest: np.ndarray) -> NodeVectors:
        return learn_vectors(thoughts[rest], tokens[rest], now[rest], None, len(embedding))

    def by_both(rest: np.ndarray) -> NodeVectors:
        return learn_vectors(thoughts[rest], tokens[rest], now[rest], before[rest], len(embedding))

    codes = cross_fitted(by_codes, tokens, now, None, fold)
    made = (
        cross_fitted(by_embeddings, tokens, now, None, fold),
        codes,
        cross_fitted(by_both, tokens, now, before, fold),
        codes[other],
    )
    return dict(zip(SUMS, made, strict=True))


def beside_a_sum(thoughts: Thoughts, summed: Thoughts, other: Int[np.ndarray, " n"]) -> dict[str, Thoughts]:
    """Return what stands beside the replacement of a thought by its sum, to tell what the rest of the thought does.

    - `MEAN`: the mean thought of the set. The sum must do better, or it is not the nodes that count.
    - `WITHOUT`: the thought less its sum, about the mean. If this does better than noise the thought holds more.
    - `RESIDUAL`: the sum, and what the sum leaves of another problem's thought. If this does worse than the sum alone,
      what it leaves says something too.

    Args:
        thoughts: Thought 1..K of every problem.
        summed: The sum of each.
        other: Number of the other problem for each.
    """
    mean, rest = np.broadcast_to(thoughts.mean(0), thoughts.shape), thoughts - summed
    return {MEAN: mean, WITHOUT: mean + rest, RESIDUAL: summed + rest[other]}


def decomposition(
    checkpoint: Checkpoint, problem: Problem, fed: Float[np.ndarray, "K d"], codes: NodeVectors, seed: int = 0
) -> tuple[Float[np.ndarray, "K nodes"], Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Write each thought about a problem as a sum of the codes of its concepts: see `decomposed`.

    Returns:
        The weight of each node, as shares of all weights; the share that the sum explains; and, as its chance, what as
        many random directions of the same lengths explain (mean of `CHANCE_DRAWS` draws).
    """
    (tokens,) = first_tokens(checkpoint, [problem])
    members = np.flatnonzero(structure(problem).concepts)
    weights, shares, chance = np.zeros((len(fed), len(tokens))), np.zeros(len(fed)), np.zeros(len(fed))
    rng = np.random.default_rng(seed)
    for k, thought in enumerate(fed.astype(np.float64)):
        vectors, constant = codes.now[k, tokens[members]], codes.constant[k]
        found, shares[k] = decomposed(thought, constant, vectors)
        weights[k, members] = found / max(found.sum(), 1e-12)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        for _ in range(CHANCE_DRAWS):
            random = rng.standard_normal(vectors.shape)
            random *= lengths / np.linalg.norm(random, axis=1, keepdims=True)
            chance[k] += decomposed(thought, constant, random)[1] / CHANCE_DRAWS
    return weights, shares, chance


def _nodes_put_in(recording: Recording, seed: int) -> dict[str, Thoughts]:
    """Return the sums of codes over other nodes than the frontier: as many others, and those on a shortest path."""
    thoughts, tokens, fold = recording.fed.astype(np.float64), recording.first_tokens, folds(recording.problems)
    now, vocab = at_hops(recording.hops, hops_read(recording)), len(recording.embedding)
    free = recording.is_concept.copy()
    for row, problem in zip(free, recording.problems, strict=True):
        row[list(problem.options)] = False
    rng = np.random.default_rng(seed)
    others = np.stack([random_members(now[:, k], free & ~now[:, k], rng) for k in range(now.shape[1])], 1)

    def fit(rest: np.ndarray) -> NodeVectors:
        return learn_vectors(thoughts[rest], tokens[rest], now[rest], None, vocab)

    path = now & recording.is_optimal[:, None]
    return {name: cross_fitted(fit, tokens, sets, None, fold) for name, sets in ((OTHERS, others), (PATH, path))}


def codes_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, thought, sum).

    Columns: run, problem, thought, sum (of `SUMS`), frontier_size, error (squared distance of thought and prediction),
    spread (squared distance of the thought from the mean thought). The share of variance explained is one less the
    ratio of their sums over problems; see `figures.superposition.shares`.
    """
    parts = []
    for recording in recordings:
        at, k = (axis.ravel() for axis in np.indices((len(recording.problems), recording.count)))
        size = at_hops(recording.hops, hops_read(recording)).sum(2)
        for name, predicted in predictions(recording).items():
            error, spread = np.moveaxis(squared_errors(recording.fed.astype(np.float64), predicted), 2, 0)
            kind = pl.Series([name] * len(at), dtype=pl.Enum(SUMS))
            columns = {"thought": k + 1, "sum": kind, "frontier_size": size, "error": error, "spread": spread}
            parts.append(rows(recording, at, columns))
    return pl.concat(parts)


CODES = Reading(
    name="codes",
    title="What a thought is the sum of",
    question="How much of a thought can be predicted from its graph by adding one vector per frontier node?",
    source="Theory: arXiv 2505.12514, section 4 (the embeddings of all nodes reached); here of the frontier. Learned "
    "vectors: the workbench's own",
    chance="0, what the mean thought explains; codes summed over another problem's frontier are the control.",
    schema=1,
    frame=codes_frame,
    figures=lambda table: [explained_by_thought(table)],
)


def kept_when_replaced(
    recording: Recording, thoughts: Sequence[int] = (1, 2, 3), seed: int = 0, batch_size: int = 64
) -> pl.DataFrame:
    """Replace one thought by a sum of node vectors, and return the share of right answers that is kept.

    Each sum is learned from problems on other graphs of the set (`predictions`) and scaled to the length of the thought
    that it replaces; later thoughts change through the recurrence. A sum that names the target would give away the
    answer, so only problems whose target lies beyond the hop of the thought count. Chance is the share kept with noise
    of that length. Controls: the sum over the frontier of another problem, over as many other concepts of the same one
    (neither option), over the shortest path alone, and `beside_a_sum`, all of them with "codes".

    Args:
        recording: Of the model's own run.
        thoughts: Which thoughts are replaced, one at a time.
        seed: Of the noise and of the bootstrap.
        batch_size: Problems run at a time.

    Returns:
        One row per (thought, in_its_place): kept, low, high, n (problems that were right and whose target lies beyond
        the hop of the thought), graphs (that they are about), choice (the forced choice on these problems: a broken
        format is no lost answer).
        `in_its_place` is one of `SUMS`, of the controls, `NOISE`, or `OWN`.

    Raises:
        WorkbenchError: All problems share one graph, or the recording has no such thought.
    """
    own, made = recording.fed, predictions(recording)
    made |= _nodes_put_in(recording, seed)
    made |= beside_a_sum(own.astype(np.float64), made["codes"], exchanged(len(own), seed))
    length = np.linalg.norm(own, axis=-1, keepdims=True)
    noise = np.random.default_rng(seed).standard_normal(own.shape)
    sources = {
        name: torch.from_numpy((one / np.linalg.norm(one, axis=-1, keepdims=True) * length).astype(np.float32))
        for name, one in (made | {NOISE: noise, OWN: own}).items()
    }
    asked = [(k, name) for k in thoughts for name in sources]
    plain, *outcomes = run_intervened(
        recording.checkpoint, recording.problems,
        [[], *([Patch(at=(k,), source=name)] for k, name in asked)],
        recording.count, sources=sources, batch_size=batch_size,
    )  # fmt: skip
    found, graphs = [], np.array([problem.graph for problem in recording.problems])
    for (k, name), outcome in zip(asked, outcomes, strict=True):
        counts = plain.right & (steps(recording) > recording.traces[0].hop(k))
        kept = resample(outcome.right[counts].astype(float), clusters=graphs[counts], seed=seed)
        choice = float(outcome.choice[counts].mean()) if counts.any() else None
        found.append((k, name, kept.value, kept.low, kept.high, kept.n, kept.independent, choice))
    columns = ["thought", "in_its_place", "kept", "low", "high", "n", "graphs", "choice"]
    types = {"choice": pl.Float64}
    return pl.DataFrame(found, schema=columns, schema_overrides=types, orient="row", infer_schema_length=None)
