"""Which part of the model makes a thought, and along which edges: direct logit attribution.

**Attribution.** Thought k is made at column k - 1 of a recording, from edges that leave hop k - 1 (with several
thoughts to a step, the hop before the one that the thought stands for). There the question is which part of the
residual stream raises the logits of the nodes at hop k over the problem's other concepts; at the answer's column, which
part raises the target over the negative. Direct attribution says what a part writes itself, not what later parts make
of it.

**Edge, thought, answer.** For each edge and thought: how much the heads attend to the edge's tokens, and what they
write from there towards the edge's own target (its logit less the mean of the other concepts). Read along the optimal
edges this is the route root → ... → target with the weight of each step. It is direct too; `knockout` says whether the
answer rests on it.

**Parts.** The parts are those of TransformerLens on the cache of `CoconutLens.run_with_cache`: `decompose_resid` and
`stack_head_results`, brought to the final norm's scale by `apply_ln_to_stack`, on the weights as they are. With nothing
folded, the gain of the final norm is part of the direction that the parts are read along (the library's `logit_attrs`
leaves it out: it takes columns of W_U alone), and biases of norm and LM head are a part of their own. So the parts sum
to the whole logit difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.figures.attention import attribution_figures, edge_path_figures
from workbench.measure.class_means import EXCLUSIVE
from workbench.measure.recording import Recording, memoize
from workbench.measure.run_labels import RUN
from workbench.model.formats import places
from workbench.model.lens import THOUGHT, CoconutLens, Hook
from workbench.model.prompts import Prompt
from workbench.model.session import Batch, in_batches
from workbench.readings.attention import edge_codes
from workbench.readings.base import Reading, hops_read, named, rows, steps

if TYPE_CHECKING:
    from transformer_lens import ActivationCache


AT_ANSWER = ("into the target", "into the negative", "into others")
"""Classes of edges where the answer is named."""
CLASSES = (*EXCLUSIVE, *AT_ANSWER)
BIASES = "biases"
"""Name of the part that holds what the final norm's and the LM head's biases give."""
_KEPT = (
    "hook_embed", "hook_pos_embed", "hook_attn_out", "hook_mlp_out", "attn.hook_z", "attn.hook_v", "attn.hook_pattern",
    "ln_final.hook_scale",
)  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """Weights of nodes for one batch; each row over the nodes sums to 0, so that only differences of logits count."""

    thoughts: Float[Tensor, "batch K nodes"]
    thoughts_control: Float[Tensor, "batch K nodes"]
    answer: Float[Tensor, "batch nodes"]
    answer_control: Float[Tensor, "batch nodes"]
    concepts: Bool[Tensor, "batch nodes"]

    def both(self, control: bool) -> Float[Tensor, "batch columns nodes"]:
        """Return the weights of thoughts 1..K, then of the answer."""
        thoughts = self.thoughts_control if control else self.thoughts
        return torch.cat([thoughts, (self.answer_control if control else self.answer)[:, None]], 1)

    def own_targets(self) -> Float[Tensor, "batch nodes nodes"]:
        """Return for each node: itself less the mean of the problem's other concepts."""
        nodes = self.concepts.shape[1]
        others = self.concepts[:, None] & ~torch.eye(nodes, dtype=torch.bool)
        return torch.eye(nodes) - others / others.sum(-1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class Contrasts:
    """Weights of nodes for all problems of a recording; nan where a difference is undefined."""

    thoughts: Float[np.ndarray, "n K nodes"]
    """1 / size on the nodes at the hop that thought k stands for, -1 / size on the problem's other concepts."""
    thoughts_control: Float[np.ndarray, "n K nodes"]
    """The same of a random set of as many concepts."""
    answer: Float[np.ndarray, "n nodes"]
    """1 on the target, -1 on the negative."""
    answer_control: Float[np.ndarray, "n nodes"]
    """The same of two random other leaves."""
    concepts: Bool[np.ndarray, "n nodes"]

    def of(self, rows: Int[np.ndarray, "batch"]) -> Weights:
        """Return those of some problems, as tensors."""
        thoughts, control, answer, other, concepts = (torch.from_numpy(array[rows]) for array in vars(self).values())
        return Weights(thoughts, control, answer, other, concepts)


def contrasts(recording: Recording, seed: int = 0) -> Contrasts:
    """Return the weights of every problem; random sets and pairs go by the problem's number."""
    shape = (len(recording.problems), recording.count, recording.is_node.shape[1])
    thoughts, control = np.full((2, *shape), np.nan, np.float32)
    answer = np.zeros((shape[0], shape[2]), np.float32)
    other = np.full_like(answer, np.nan)
    for row, problem in enumerate(recording.problems):
        draw, concepts = np.random.default_rng([seed, row]), recording.is_concept[row]
        for k in range(1, shape[1] + 1):
            frontier = (recording.hops[row] == recording.traces[row].hop(k)) & concepts
            size = int(frontier.sum())
            if 0 < size < concepts.sum():
                drawn = np.zeros_like(concepts)
                drawn[draw.choice(np.flatnonzero(concepts), size, replace=False)] = True
                thoughts[row, k - 1], control[row, k - 1] = against(frontier, concepts), against(drawn, concepts)
        answer[row, [problem.target, problem.negative]] = 1, -1
        leaf = concepts[: len(problem.names)] & ~problem.adjacency.any(axis=1)
        leaf[[problem.target, problem.negative]] = False
        if leaf.sum() >= 2:
            other[row] = 0
            other[row, draw.choice(np.flatnonzero(leaf), 2, replace=False)] = 1, -1
    return Contrasts(thoughts, control, answer, other, recording.is_concept)


def against(members: Bool[np.ndarray, " nodes"], concepts: Bool[np.ndarray, " nodes"]) -> Float[np.ndarray, " nodes"]:
    """Return weights whose sum with the logits is the mean of the members less the mean of the other concepts."""
    others = concepts & ~members
    return (members / members.sum() - others / others.sum()).astype(np.float32)


@dataclass(frozen=True)
class Part:
    """One term of the residual stream."""

    name: str
    """Such as "L1H3", "L1 MLP", "fed" (what stands in the column: a token's embedding, or the thought fed there)."""
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True)
class Attribution:
    """Logit differences of n problems in parts. Thought k is made at column k - 1 of the recording.

    nan where a problem does not define the difference: no frontier at that hop, no other pair of leaves.
    """

    parts: tuple[Part, ...]
    answer: Float[np.ndarray, "n parts"]
    """Target less negative, where the answer is named."""
    answer_control: Float[np.ndarray, "n parts"]
    """The same of a random other pair of leaves."""
    answer_logits: Float[np.ndarray, "n"]
    """The whole difference, computed from the parts' sum."""
    thoughts: Float[np.ndarray, "n K parts"]
    """Mean of the nodes at hop k less mean of the problem's other concepts, where thought k is made."""
    thoughts_control: Float[np.ndarray, "n K parts"]
    """The same of a random set of as many concepts."""
    thought_logits: Float[np.ndarray, "n K"]
    """The whole difference of thought k."""
    edges: Float[np.ndarray, "n K edges"]
    """What attention to an edge's tokens writes, all heads together, towards the edge's own target (its logit less the
    mean of the other concepts), where thought k is made."""
    answer_edges: Float[np.ndarray, "n edges"]
    """The same towards the target less the negative, where the answer is named."""
    answer_thoughts: Float[np.ndarray, "n K"]
    """What attention to each thought writes there."""


@memoize
def attribute(recording: Recording, *, seed: int = 0, batch_size: int = 64) -> Attribution:
    """Take the logit differences of a recording apart; its thoughts are fed again as they were recorded.

    Names of several tokens count with their first one.

    Args:
        recording: Of the model, or of a control.
        seed: Of the random pairs and sets.
        batch_size: Problems run at a time.
    """
    lens, asked = CoconutLens(recording.checkpoint), contrasts(recording, seed)

    def run(batch: Batch) -> Iterator[tuple[tuple[Part, ...], dict[str, np.ndarray]]]:
        parts, arrays = _batch(lens, recording, batch, asked)
        return ((parts, {name: array[row] for name, array in arrays.items()}) for row in range(len(batch.rows)))

    found = list(in_batches(recording.checkpoint, recording.asked, run, batch_size))
    parts, first = found[0]
    arrays: dict[str, Any] = {name: np.stack([row[name] for _, row in found]) for name in first}
    return Attribution(parts, **arrays)


def refed(recording: Recording, rows: Sequence[int] | Int[np.ndarray, "batch"]) -> list[Hook]:
    """Return hooks that feed the thoughts of a recording again, whatever they were changed to; pauses feed themselves.

    Args:
        recording: What was run.
        rows: Numbers of its problems, in the order of the batch that will run.
    """
    if recording.checkpoint.pause is not None:
        return []
    fed = torch.from_numpy(recording.fed[list(rows)])[:, :, None]

    def at(k: int) -> Hook:
        return THOUGHT, lambda vectors, hook: fed[:, k - 1].to(vectors), k

    return [at(k) for k in range(1, recording.count + 1)]


def _batch(
    lens: CoconutLens, recording: Recording, batch: Batch, asked: Contrasts
) -> tuple[tuple[Part, ...], dict[str, np.ndarray]]:
    form, count = lens.checkpoint.format, recording.count
    prompts, rows = batch.prompts, np.array(batch.rows)
    openings = [form.value_opening(prompt) for prompt in prompts]
    laid = lens.rows([prompt.graph for prompt in prompts], count, openings)
    _, cache = lens.run_with_cache(laid, refed(recording, rows), names_filter=lambda name: name.endswith(_KEPT))
    begin = max(len(prompt.ids) for prompt in prompts)
    # Columns that make thoughts 1..K stand side by side; the end of the answer's opening need not.
    making = torch.arange(begin - 1, begin - 1 + count).expand(len(rows), -1)
    naming = torch.tensor([[begin + count - 1 + len(opening)] for opening in openings])
    columns = torch.cat([making, naming], 1)

    weights = asked.of(rows)
    head = _Head(lens, torch.from_numpy(np.maximum(recording.first_tokens[rows], 0)))
    parts, written = _parts(_at(cache, columns), lens)
    read = [head.read(written, weights.both(control)) for control in (False, True)]
    contributed = [torch.cat([part, bias[..., None]], -1) for part, bias in read]
    own, asked_answer = head.directions(weights.own_targets()), head.directions(weights.answer[:, None])
    found = {
        "answer": contributed[0][:, -1], "answer_control": contributed[1][:, -1],
        "answer_logits": contributed[0][:, -1].sum(-1),
        "thoughts": contributed[0][:, :-1], "thoughts_control": contributed[1][:, :-1],
        "thought_logits": contributed[0][:, :-1].sum(-1),
    }  # fmt: skip
    arrays = {name: value.float().numpy() for name, value in found.items()}
    # Attention to each column, in the direction of every node, and at the answer in that of target less negative.
    to_nodes = _by_key(lens, cache, making, own)
    to_answer = _by_key(lens, cache, naming, asked_answer)[:, 0, :, 0]
    arrays["edges"], arrays["answer_edges"] = _per_edge(lens, prompts, recording, rows, begin, to_nodes, to_answer)
    arrays["answer_thoughts"] = to_answer[:, begin : begin + count].float().numpy()
    return (*parts, Part(BIASES)), arrays


class _Head:
    """The final norm and the LM head as directions in the residual stream at the norm's scale."""

    def __init__(self, lens: CoconutLens, tokens: Int[Tensor, "batch nodes"]) -> None:
        norm, bridge = lens.bridge.ln_final, lens.bridge
        self.unembedding = bridge.W_U.T[tokens].float()  # [batch, nodes, d]
        self.gain, shift = norm.weight.float(), getattr(norm, "bias", None)
        head_bias = getattr(bridge.unembed, "b_U", None)
        self.constant = torch.zeros(tokens.shape) if head_bias is None else head_bias[tokens].float()
        if isinstance(shift, Tensor):
            self.constant = self.constant + self.unembedding @ shift.float()
        self.centred = bridge.cfg.normalization_type in ("LN", "LNPre") and not getattr(bridge.cfg, "final_rms", False)

    def directions(self, weights: Float[Tensor, "batch sets nodes"]) -> Float[Tensor, "batch sets d"]:
        """Return the direction of each weighted sum of logits; a norm that centres is part of it."""
        found = (weights @ self.unembedding) * self.gain
        return found - found.mean(-1, keepdim=True) if self.centred else found

    def read(
        self,
        written: Float[Tensor, "parts batch columns d"],
        weights: Float[Tensor, "batch columns nodes"],
    ) -> tuple[Float[Tensor, "batch columns parts"], Float[Tensor, "batch columns"]]:
        """Return what parts at the norm's scale, and the biases, give to each weighted sum of logits."""
        given = torch.einsum("pbcd,bcd->bcp", written, (weights @ self.unembedding) * self.gain)
        return given, torch.einsum("bcn,bn->bc", weights, self.constant)


def _at(cache: "ActivationCache", columns: Int[Tensor, "batch columns"]) -> "ActivationCache":
    """Return a cache of some columns of each row; patterns and values, which are about all columns, are left out."""
    from transformer_lens import ActivationCache

    row = torch.arange(len(columns))[:, None]
    kept = {
        name: activation[row, columns]
        for name, activation in cache.items()
        if not name.endswith(("hook_pattern", "hook_v"))
    }
    return ActivationCache(kept, cache.model)


def _parts(cache: "ActivationCache", lens: CoconutLens) -> tuple[tuple[Part, ...], Float[Tensor, "parts batch c d"]]:
    """Return the terms of the residual stream at the final norm's scale: heads in place of each attention's output."""
    whole, labels = cache.decompose_resid(return_labels=True)
    heads = cast(Tensor, cache.stack_head_results())
    of_label, per_layer = dict(zip(labels, whole, strict=True)), lens.bridge.cfg.n_heads
    parts, written = [Part("fed")], [of_label["embed"]]
    if "pos_embed" in of_label:
        parts.append(Part("position"))
        written.append(of_label["pos_embed"])
    for layer in range(lens.bridge.cfg.n_layers):
        own = heads[layer * per_layer : (layer + 1) * per_layer]
        parts += [Part(f"L{layer}H{head}", layer, head) for head in range(per_layer)]
        parts += [Part(f"L{layer} attention bias", layer), Part(f"L{layer} MLP", layer)]
        written += [*own, of_label[f"{layer}_attn_out"] - own.sum(0), of_label[f"{layer}_mlp_out"]]
    return tuple(parts), cache.apply_ln_to_stack(torch.stack(written))


def _by_key(
    lens: CoconutLens,
    cache: "ActivationCache",
    columns: Int[Tensor, "batch c"],
    directions: Float[Tensor, "batch sets d"],
) -> Float[Tensor, "batch c keys sets"]:
    """Return what attention to each key column writes along directions: all heads and layers, at the norm's scale."""
    row, cfg = torch.arange(len(columns))[:, None], lens.bridge.cfg
    total: Tensor | float = 0.0
    for layer in range(cfg.n_layers):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"].transpose(1, 2)[row, columns]  # [batch, c, heads, keys]
        value = cache[f"blocks.{layer}.attn.hook_v"]
        value = value.repeat_interleave(cfg.n_heads // value.shape[2], 2)  # heads that share keys and values
        along = torch.einsum("hed,bsd->bhes", lens.bridge.blocks[layer].attn.W_O, directions)
        total = total + torch.einsum("bchk,bkhe,bhes->bcks", pattern, value, along)
    assert isinstance(total, Tensor)
    return total / cache["ln_final.hook_scale"][row, columns][..., None]


def _per_edge(
    lens: CoconutLens,
    prompts: Sequence[Prompt],
    recording: Recording,
    rows: Int[np.ndarray, "batch"],
    begin: int,
    to_nodes: Float[Tensor, "batch K keys nodes"],
    to_answer: Float[Tensor, "batch keys"],
) -> tuple[Float[np.ndarray, "batch K edges"], Float[np.ndarray, "batch edges"]]:
    """Sum over the tokens of each edge, and take the direction of its own target."""
    edges = np.full((len(rows), recording.count, recording.edges.shape[1]), np.nan, np.float32)
    answer = np.full((len(rows), recording.edges.shape[1]), np.nan, np.float32)
    for row, prompt in enumerate(prompts):
        pad = begin - len(prompt.ids)
        for number, (start, end) in enumerate(places(lens.checkpoint.format, prompt).edges):
            span, target = slice(start + pad, end + pad), prompt.graph.edges[number][1]
            edges[row, :, number] = to_nodes[row, :, span, target].sum(-1).float().numpy()
            answer[row, number] = float(to_answer[row, span].sum())
    return edges, answer


def attribution_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought or answer, part).

    Columns: run, problem, steps, thought (the one that is made; null where the answer is named), part ("L1H3", "L1
    MLP", "fed" for what stands in the column: the thought before, or the prompt's last token), layer, head (null where
    the part has none), attribution (logits; the parts of a place sum to the whole logit difference),
    attribution_control (the same parts read for a random set of as many concepts, or a random other pair of leaves),
    attention (share of a head's attention to edges that is on those which leave hop k - 1), attention_raw (all its
    attention to those), attention_chance (their share among the edges). null where undefined: no node at hop k, no
    other pair of leaves, parts that are no heads.
    """
    return pl.concat([_of_parts(recording, seed) for recording in recordings])


def leading_head(recording: Recording, seed: int = 0) -> tuple[int, int]:
    """Return layer and head that write most towards the frontier, averaged over thoughts and problems."""
    found = attribute(recording, seed=seed)
    mean = np.nanmean(found.thoughts, axis=(0, 1))
    heads = [(mean[i], part.layer, part.head) for i, part in enumerate(found.parts) if part.head is not None]
    _, layer, head = max(heads)
    return int(layer or 0), int(head or 0)


def _of_parts(recording: Recording, seed: int) -> pl.DataFrame:
    found, n, count = attribute(recording, seed=seed), len(recording.problems), recording.count
    raw, share, chance = _attention(recording, found)
    at, place, part = (axis.ravel() for axis in np.indices((n, count + 1, len(found.parts))))
    of_part = {
        "part": np.array([part.name for part in found.parts], dtype=object)[part],
        "layer": np.array([-1 if part.layer is None else part.layer for part in found.parts])[part],
        "head": np.array([-1 if part.head is None else part.head for part in found.parts])[part],
    }
    columns = {
        "steps": steps(recording)[at],
        "thought": np.array([*range(1, count + 1), -1])[place],
        **of_part,
        "attribution": np.concatenate([found.thoughts, found.answer[:, None]], 1),
        "attribution_control": np.concatenate([found.thoughts_control, found.answer_control[:, None]], 1),
        "attention": share,
        "attention_raw": raw,
        "attention_chance": chance,
    }
    return rows(recording, at, columns)


def _attention(recording: Recording, found: Attribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return attention to the edges that leave hop k - 1, [n, K + 1, parts]: raw, as a share, and by chance."""
    n, count = len(recording.problems), recording.count
    filled = np.full((3, n, count + 1, len(found.parts)), np.nan, np.float32)
    row, source = np.arange(n)[:, None], np.maximum(recording.edges[..., 0], 0)
    hop = np.where(recording.is_edge, recording.hops[row, source], -2)
    for k in range(1, count + 1):
        leaves = hop == recording.traces[0].hop(k) - 1
        chance = np.where(leaves.any(1), leaves.sum(1) / recording.is_edge.sum(1), np.nan)
        for number, part in enumerate(found.parts):
            if part.head is None:
                continue
            seen = recording.attention[:, k - 1, part.layer, part.head]
            on, total = np.where(leaves, seen, 0).sum(1), np.nansum(seen, 1)
            filled[0, :, k - 1, number] = np.where(leaves.any(1), on, np.nan)
            filled[1, :, k - 1, number] = np.where(leaves.any(1), on / np.maximum(total, 1e-9), np.nan)
            filled[2, :, k - 1, number] = chance
    return filled[0], filled[1], filled[2]


ATTRIBUTION = Reading(
    name="attribution",
    title="Which head does it",
    question="Which heads and MLPs lift the frontier in a thought, and the target over the negative in the answer?",
    source="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; TransformerLens",
    chance="Attribution: a random set of as many concepts, a random other pair of leaves (0 in the mean). Attention: "
    "the share of edges that leave the frontier.",
    schema=1,
    frame=attribution_frame,
    figures=attribution_figures,
)


def edge_path_frame(recordings: Sequence[Recording], seed: int = 0) -> pl.DataFrame:
    """Return one row per (run, problem, thought or answer, edge).

    Columns: run, problem, right, thought (the one that is made; null where the answer is named), edge (its number in
    the problem), source, target (names), class (of its source as the thought is made, as in `attention.edge_codes`; for
    the answer `AT_ANSWER`), attention (to the edge's tokens, mean over all heads), written (logits that this attention
    writes towards the edge's own target less the mean of the other concepts; for the answer towards target less
    negative).
    """
    return pl.concat([_of_edges(recording, seed) for recording in recordings])


def route(table: pl.DataFrame, problem: str) -> pl.DataFrame:
    """Return the optimal edges of one problem, root first: a row per (run, thought, edge).

    Columns: run, thought, source, target, attention, written, rank (among all edges of the problem by what is written,
    1 is the most), edges (how many there are).
    """
    rows = table.filter((pl.col("problem") == problem) & pl.col("thought").is_not_null())
    ranked = rows.with_columns(
        rank=pl.col("written").rank("min", descending=True).over(RUN, "thought").cast(pl.Int32),
        edges=pl.len().over(RUN, "thought").cast(pl.Int32),
    )
    return ranked.filter(pl.col("class") == "optimal").select(
        RUN, "thought", "source", "target", "attention", "written", "rank", "edges"
    )


def _of_edges(recording: Recording, seed: int) -> pl.DataFrame:
    found, count = attribute(recording, seed=seed), recording.count
    written = np.concatenate([found.edges, found.answer_edges[:, None]], 1)
    columns = [*range(count), count + 1]  # those that make thoughts 1..K, and the one that names the answer
    attention = recording.attention[:, columns].mean((2, 3))
    code = np.stack([*(edge_codes(recording, hop) for hop in hops_read(recording)), _answer_codes(recording)], 1)
    there = np.broadcast_to(recording.is_edge[:, None], written.shape)
    at, place, edge = np.nonzero(there)
    source, target = (
        [recording.problems[row].names[node] for row, node in zip(at, ends, strict=True)]
        for ends in recording.edges[at, edge].T
    )
    columns = {
        "right": recording.right[at],
        "thought": np.array([*range(1, count + 1), -1])[place],
        "edge": edge,
        "source": source,
        "target": target,
        "class": named(CLASSES, code[there]),
        "attention": attention[there],
        "written": written[there],
    }
    return rows(recording, at, columns)


def _answer_codes(recording: Recording) -> Int[np.ndarray, "n edges"]:
    target = np.array([problem.target for problem in recording.problems])[:, None]
    negative = np.array([problem.negative for problem in recording.problems])[:, None]
    into = recording.edges[..., 1]
    return len(EXCLUSIVE) + np.select([into == target, into == negative], [0, 1], default=2)


EDGE_PATH = Reading(
    name="edge_path",
    title="Edge, thought, answer",
    question="Along which edges does a thought come about, and does the route lead to the answer?",
    source="Attention with what it writes: Kobayashi et al. 2020, arXiv 2004.10102; per edge and thought, none known",
    chance="The mean over all edges of the problem.",
    schema=1,
    frame=edge_path_frame,
    figures=edge_path_figures,
)
