"""Linear probes: is the node of this name reachable in this problem? One linear read-out of a state for every name.

Names are drawn anew for every graph, so a property of a node can only be asked by its name: for each token t that a
concept's name begins with, and each property, the logit is w_t . h + b_t. All read-outs are one logistic regression
[vocab x properties, d] on a shared state; a token is asked about in the problems that have a concept of that name.
The LM head (of the final norm) is such a read-out too. A probe starts from it: to w_t . h is added the LM head's own
logit times one number for each property, without a penalty, so that a probe fitted on few problems does not fall short
of a read-out that everybody has, and what it reads beyond the LM head was found in the state.

**Control task** (Hewitt & Liang, arXiv 1909.03368): every pair (name of the root, name of the node) gets a label at
random, once and for all, as often "yes" as the property is. It is a function of the names alone, so a probe that can
memorise names learns it and keeps it on held-out graphs, on which the same names come back; and it says nothing of any
graph. What a probe reads better than its control (selectivity) is not memorised. Labels exchanged between problems
would be no such control: no probe can learn them for held-out graphs, whatever its capacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F

from workbench.model.prompts import Format
from workbench.problems.graph import structure
from workbench.problems.problem import Problem

PENALTY = 100.0
"""Weight of the squared norm, chosen among 10, 100 and 1000 by the AUC on 400 generated problems after fitting on 600
others (reference model): with 10 rare hops are missed (hop 5 at column 4: .74 against .90), with 1000 common ones are
(hop 3 at column 3: .80 against .88)."""
STEPS = 30
"""Of L-BFGS."""


@dataclass(frozen=True)
class Asked:
    """Which names are asked about in each problem, and the right answers; `vocab` are the first tokens of names."""

    there: Bool[np.ndarray, "n vocab"]
    """Whether the problem has a concept of that (first) token. Left out are the two options, which the question names
    (the target is always on the path, so that naming it would pass for reading it), and names that begin alike."""
    labels: Bool[np.ndarray, "n vocab properties"]
    """Reachable, optimal, and for each hop from 1 whether the node is at it (one against the rest)."""
    roots: Int[np.ndarray, " n"]
    """Place of the token that the root's name begins with."""


def first_tokens(form: Format, problems: Sequence[Problem]) -> Int[np.ndarray, " vocab"]:
    """Return the tokens that names of these problems begin with, in order."""
    return np.unique([word[0] for prompt in form.prompts(problems) for word in prompt.nodes])


def asked(form: Format, problems: Sequence[Problem], tokens: Int[np.ndarray, " vocab"], hops: int) -> Asked:
    """Return what is asked of each problem, for hops 1 to `hops`; `tokens` (sorted) must hold all first tokens."""
    there = np.zeros((len(problems), len(tokens)), dtype=bool)
    labels = np.zeros((len(problems), len(tokens), 2 + hops), dtype=bool)
    roots = np.zeros(len(problems), dtype=np.int64)
    for row, prompt in enumerate(form.prompts(problems)):
        problem, first = problems[row], np.searchsorted(tokens, [word[0] for word in prompt.nodes])
        about, nodes = structure(problem), np.arange(len(problem.names))
        alone = (first[:, None] == first).sum(1) == 1
        nodes = nodes[about.concepts & alone & ~np.isin(nodes, problem.options)]
        there[row, first[nodes]] = True
        at = about.hops[nodes, None] == np.arange(1, hops + 1)
        labels[row, first[nodes]] = np.column_stack([about.reachable[nodes], about.optimal[nodes], at])
        roots[row] = first[problem.root]
    return Asked(there, labels, roots)


def control(real: Asked, seed: int = 0) -> Bool[np.ndarray, "n vocab properties"]:
    """Return the labels of the control task: a random function of the root's name and the node's.

    It depends on names, rates and seed alone; give training and held-out problems together.
    """
    vocab, properties = real.labels.shape[1:]
    rate = real.labels[real.there].mean(0)
    drawn = np.random.default_rng(seed).random((vocab, vocab, properties)) < rate
    return drawn[real.roots] & real.there[:, :, None]


@dataclass(frozen=True)
class Probe:
    """A linear read-out for every token and property, of standardised states."""

    weight: Float[Tensor, "d vocab properties"]
    bias: Float[Tensor, "vocab properties"]
    gain: Float[Tensor, " properties"]
    """What the LM head's logits count."""
    mean: Float[Tensor, " d"]
    scale: float

    def logits(
        self, states: Float[np.ndarray, "n d"], head: Float[np.ndarray, "n vocab"] | None = None
    ) -> Float[np.ndarray, "n vocab properties"]:
        """Return the logit of every token and property; `head` as in fitting."""
        held = (torch.from_numpy(states) - self.mean) / self.scale
        own = (held @ self.weight.flatten(1)).unflatten(1, self.bias.shape) + self.bias
        return (own if head is None else own + torch.from_numpy(head)[..., None] * self.gain).numpy()


def fit_probe(
    states: Float[np.ndarray, "n d"],
    there: Bool[np.ndarray, "n vocab"],
    labels: Bool[np.ndarray, "n vocab properties"],
    head: Float[np.ndarray, "n vocab"] | None = None,
    penalty: float = PENALTY,
    steps: int = STEPS,
) -> Probe:
    """Fit all read-outs at once: summed logistic loss + penalty / 2 * |weights|^2, by L-BFGS from zero; convex.

    Args:
        states: Thoughts, or the residual stream at one column and layer.
        there: Which tokens are asked about.
        labels: The right answers.
        head: What `centred` returns for the LM head, to start from; none for a probe on its own.
        penalty: Weight of the squared norm.
        steps: Of L-BFGS.
    """
    held = torch.from_numpy(states)
    mean = held.mean(0)
    scale = float((held - mean).std()) or 1.0
    held = (held - mean) / scale if scale > 1e-6 else torch.zeros_like(held)  # the same state in every problem
    shape, used = labels.shape[1:], np.flatnonzero(there.any(0))
    right = torch.from_numpy(labels[:, used]).float().flatten(1)
    start = torch.from_numpy(np.zeros(there.shape, np.float32) if head is None else head)[:, used, None]
    counts = torch.from_numpy(there[:, used]).float().repeat_interleave(shape[1], 1)
    with torch.enable_grad():
        weight = torch.zeros(held.shape[1], right.shape[1], requires_grad=True)
        bias = torch.zeros(right.shape[1], requires_grad=True)
        gain = torch.zeros(shape[1], requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias, gain], max_iter=steps, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            said = held @ weight + bias + (start * gain).flatten(1)
            wrong = F.binary_cross_entropy_with_logits(said, right, counts, reduction="sum")
            total = wrong + penalty / 2 * weight.square().sum()
            total.backward()
            return total

        optimizer.step(loss)  # type: ignore[arg-type]
    full, offset = torch.zeros(held.shape[1], *shape), torch.zeros(shape)
    full[:, used] = weight.detach().unflatten(1, (len(used), shape[1]))
    offset[used] = bias.detach().unflatten(0, (len(used), shape[1]))
    return Probe(full, offset, gain.detach(), mean, max(scale, 1e-6))


def centred(said: Float[np.ndarray, "n vocab"], there: Bool[np.ndarray, "n vocab"]) -> Float[np.ndarray, "n vocab"]:
    """Return log-probabilities less their mean over the names asked about, so that they are logits of these alone."""
    return said - np.where(there, said, 0).sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1)


def auc(
    scores: Float[np.ndarray, "n vocab"], there: Bool[np.ndarray, "n vocab"], labels: Bool[np.ndarray, "n vocab"]
) -> Float[np.ndarray, " n"]:
    """Return for each problem how often a node with the property is scored above one without (ties count half).

    Within a problem, so that chance is one half whatever the shares; nan where one of the two kinds is missing.
    """
    ranks = rankdata(np.where(there, scores, -np.inf), axis=1) - (~there).sum(1, keepdims=True)
    yes = there & labels
    positive, negative = yes.sum(1), (there & ~labels).sum(1)
    above = np.where(yes, ranks, 0).sum(1) - positive * (positive + 1) / 2
    pairs = np.where((positive > 0) & (negative > 0), positive * negative, np.nan)
    return above / pairs
