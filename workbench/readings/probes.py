"""Linear probes: what is linearly there in thoughts and layers about every node: reachable, optimal, at which hop.

Names are drawn anew for every graph, so a property of a node can only be asked by its name: for each token t that a
concept's name begins with, and each property, the logit is w_t . h + b_t. All read-outs are one logistic regression
[vocab x properties, d] on a shared state; a token is asked about in the problems that have a concept of that name.
The LM head (of the final norm) is such a read-out too. A probe starts from it: to w_t . h is added the LM head's own
logit times one number for each property, without a penalty. So a probe fitted on few problems is no worse than the LM
head, and what it reads beyond the LM head was found in the state.

**Control task** (Hewitt & Liang, arXiv 1909.03368): every pair (name of the root, name of the node) gets a label at
random, once and for all, as often "yes" as the property is. It is a function of the names alone, so a probe that can
memorise names learns it and keeps it on held-out graphs, where the same names occur; and it says nothing about any
graph. What a probe reads better than its control (selectivity) is not memorised. Labels exchanged between problems
would be no such control: no probe can learn them for held-out graphs, whatever its capacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from workbench.figures.layers import auc_by_layer, auc_by_thought, hops_by_thought
from workbench.measure.recording import Recording, memoize
from workbench.measure.run_labels import MODEL
from workbench.measure.splits import Split, source_key, source_rows, sources, splits
from workbench.measure.statistics import auroc
from workbench.model.lens import logit_lens
from workbench.model.prompts import Format
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.readings.base import Reading, hops_read, rows

PENALTY = 100.0
"""Weight of the squared norm, chosen among 10, 100 and 1000 by the AUC on 400 generated problems after fitting on 600
others (reference model): with 10 rare hops are missed (hop 5 at column 4: .74 against .90), with 1000 common ones are
(hop 3 at column 3: .80 against .88)."""
STEPS = 30
"""Of L-BFGS. All tokens and properties are one fit: `statistics.logistic`, run to its end for one property after the
other, takes ten times as long."""


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
    """Factor of the LM head's logits."""
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
        head: The LM head's logits as `centred` returns them, to start from; none for a probe on its own.
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

        optimizer.step(loss)
    full, offset = torch.zeros(held.shape[1], *shape), torch.zeros(shape)
    full[:, used] = weight.detach().unflatten(1, (len(used), shape[1]))
    offset[used] = bias.detach().unflatten(0, (len(used), shape[1]))
    return Probe(full, offset, gain.detach(), mean, max(scale, 1e-6))


def centred(said: Float[np.ndarray, "n vocab"], there: Bool[np.ndarray, "n vocab"]) -> Float[np.ndarray, "n vocab"]:
    """Return log-probabilities less their mean over the names asked about, so that they are logits of these alone."""
    return said - np.where(there, said, 0).sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1)


def probe_frame(
    recordings: Sequence[Recording], count: int | None = None, steps: int = STEPS, seed: int = 0
) -> pl.DataFrame:
    """Fit a probe and its control at every column and layer, and read them on held-out graphs.

    A probe belongs to a model as it is fed: runs of the same model under interventions are read with the probes of its
    run without. The control task is fitted for the model's own run.

    Args:
        recordings: The model's own first, then its controls, or runs under interventions.
        count: Problems to generate to fit on; see `splits.splits`.
        steps: Of each fit.
        seed: Of the generator and of the control task.

    Returns:
        One row per (run, problem, property, column, layer): property ("reachable", "optimal", "hop 1" ...), hop (null
        but for hops), next_hop (that of the thought the column becomes), auc, control_auc (null but for the model),
        lm_head_auc (the logit lens's log-probability in place of a probe; no fit), fitted_on. AUCs are within a
        problem over its concepts without the two options, chance one half; null where undefined.
    """
    found, frames = sources(recordings), []
    for recording in recordings:
        source = found[source_key(recording.checkpoint)]
        frames.append(_of_run(recording, _fit(source, count, steps, seed), source_rows(recording, source)))
    return pl.concat(frames)


@dataclass(frozen=True)
class _Fitted:
    """What was fitted on one split."""

    split: Split
    tokens: Int[np.ndarray, " vocab"]
    probes: dict[tuple[int, int], tuple[Probe, Probe | None]]
    """By column and layer: the probe, and that of the control task."""
    seen: Bool[np.ndarray, " vocab"]
    """Whether a name was asked about in fitting; nothing can be read of others."""
    own: Asked
    """What is asked of the problems that are read."""
    random: Bool[np.ndarray, "n vocab properties"]
    """Their labels in the control task."""


@memoize
def _fit(recording: Recording, count: int | None, steps: int, seed: int) -> list[_Fitted]:
    form, found = recording.checkpoint.format, []
    for split in splits(recording, count, seed):
        both = [*recording.problems, *split.problems]
        tokens = first_tokens(form, both)
        # All at once: the control task is one function of the names, the same on both sides.
        every = asked(form, both, tokens, recording.count)
        random, n = control(every, seed), len(recording.problems)
        there, probes = every.there[n:], {}
        said = _said(recording, split.residual, tokens)
        for column, layer in np.ndindex(split.residual.shape[1:3]):
            states, head = split.residual[:, column, layer], centred(said[:, column, layer], there)
            probe = fit_probe(states, there, every.labels[n:], head, steps=steps)
            memorising = None
            if recording.label == MODEL:
                memorising = fit_probe(states, there, random[n:], head, steps=steps)
            probes[column, layer] = probe, memorising
        own = Asked(every.there[:n], every.labels[:n], every.roots[:n])
        seen = np.asarray(there.any(axis=0))
        found.append(_Fitted(split, tokens, probes, seen, own, random[:n]))
    return found


def _of_run(recording: Recording, fitted: list[_Fitted], place: Int[np.ndarray, " n"]) -> pl.DataFrame:
    n, columns, residual_streams = len(recording.problems), recording.count + 1, recording.residual.shape[2]
    real = np.full((columns, residual_streams, n, 2 + recording.count), np.nan)
    memorised, head, source = real.copy(), real.copy(), np.empty(n, dtype=object)
    for part in fitted:
        rows, own = np.flatnonzero(np.isin(place, part.split.rows)), part.own
        there, labels = own.there[place[rows]] & part.seen, own.labels[place[rows]]
        source[rows] = part.split.source
        said = _said(recording, recording.residual[rows, :columns], part.tokens)
        for (column, layer), (probe, memorising) in part.probes.items():
            states = recording.residual[rows, column, layer]
            raw = centred(said[:, column, layer], own.there[place[rows]])
            real[column, layer, rows] = _aucs(probe.logits(states, raw), there, labels)
            head[column, layer, rows] = _aucs(np.broadcast_to(raw[..., None], labels.shape), there, labels)
            if memorising is not None and recording.label == MODEL:
                memorised[column, layer, rows] = _aucs(memorising.logits(states, raw), there, part.random[place[rows]])
    return _frame(recording, real, memorised, head, source)


def _said(
    recording: Recording, residual: Float[np.ndarray, "n columns streams d"], tokens: Int[np.ndarray, " vocab"]
) -> Float[np.ndarray, "n columns streams vocab"]:
    """Return the logit lens's log-probabilities of the first tokens of names, layer by layer: of all it is too much."""
    layers = range(residual.shape[2])
    model = recording.checkpoint.model
    return np.stack([logit_lens(model, residual[:, :, layer])[..., tokens].float().numpy() for layer in layers], 2)


def _aucs(
    scores: Float[np.ndarray, "n vocab properties"],
    there: Bool[np.ndarray, "n vocab"],
    labels: Bool[np.ndarray, "n vocab properties"],
) -> Float[np.ndarray, "n properties"]:
    """Return for each problem how often a node with the property is scored above one without (ties count half)."""
    one = np.moveaxis(labels, 2, 1)
    return auroc(np.moveaxis(scores, 2, 1), one, weights=np.broadcast_to(there[:, None], one.shape).astype(float))


def _frame(
    recording: Recording, real: np.ndarray, memorised: np.ndarray, head: np.ndarray, source: np.ndarray
) -> pl.DataFrame:
    names = ["reachable", "optimal", *(f"hop {hop}" for hop in range(1, real.shape[-1] - 1))]
    column, layer, at, place = (axis.ravel() for axis in np.indices(real.shape))
    columns = {
        "property": np.array(names, dtype=object)[place],
        "hop": np.where(place > 1, place - 1, -1),
        "column": column,
        "layer": layer,
        "next_hop": np.array([*hops_read(recording), recording.traces[0].hop(recording.count + 1)])[column],
        "auc": real,
        "control_auc": memorised,
        "lm_head_auc": head,
        "fitted_on": source[at],
    }
    return rows(recording, at, columns)


PROBES = Reading(
    name="probes",
    title="Linear probes",
    question="What can be read linearly of every node from thoughts and layers, beyond what the LM head shows?",
    source="Hewitt & Liang, arXiv 1909.03368 (control tasks, selectivity); Alain & Bengio, arXiv 1610.01644",
    chance="AUC within a problem: one half; what could be memorised of names: the control task",
    schema=1,
    frame=probe_frame,
    figures=lambda frame: [auc_by_thought(frame), hops_by_thought(frame), auc_by_layer(frame)],
)
