"""Direct logit attribution: what each head, MLP and input writes towards a difference of logits, over a problem set.

The parts are those of TransformerLens on the cache of `CoconutLens.run_with_cache`: `decompose_resid` and
`stack_head_results`, brought to the final norm's scale by `apply_ln_to_stack`, on the weights as they are. With nothing
folded, the gain of the final norm is part of the direction that the parts are read along (the library's `logit_attrs`
leaves it out: it takes columns of W_U alone), and biases of norm and LM head are a part of their own. So the parts sum
to the whole logit difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.measure.recording import Recording, memoize
from workbench.model.formats import places
from workbench.model.lens import THOUGHT, CoconutLens, Hook
from workbench.model.prompts import Prompt
from workbench.model.session import Batch, arrays_in_batches

if TYPE_CHECKING:
    from transformer_lens import ActivationCache


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
    lens, asked, parts = CoconutLens(recording.checkpoint), contrasts(recording, seed), list[Part]()

    def run(batch: Batch) -> dict[str, np.ndarray]:
        parts[:], arrays = _batch(lens, recording, batch, asked)
        return arrays

    arrays: dict[str, Any] = arrays_in_batches(recording.checkpoint, recording.problems, run, batch_size)
    return Attribution(tuple(parts), **arrays)


def refed(recording: Recording, rows: Sequence[int] | Int[np.ndarray, "batch"]) -> list[Hook]:
    """Return hooks that feed the thoughts of a recording again, whatever they were changed to; pauses feed themselves.

    Args:
        recording: What was run.
        rows: Numbers of its problems, in the order of the batch that will run.
    """
    if recording.checkpoint.pause is not None:
        return []
    fed = torch.from_numpy(recording.thoughts[list(rows)])[:, :, None]

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
