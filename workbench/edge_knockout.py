"""Attention knock-out: one column of the loop goes blind to chosen edges of the prompt, and runs on from there.

Before the softmax the scores of the edge's tokens are set to minus infinity, so that what is left of the attention is
shared out anew (attention knock-out, Geva et al. 2023, arXiv 2304.14767), at TransformerLens's `hook_attn_scores`. All
columns before and after see the edge as ever, and later thoughts change through the recurrence.

The prompt is read once for all knock-outs of a problem: they branch off its keys and values.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from workbench.coconut import lm_head, positions
from workbench.lens import CoconutLens, HookFunction
from workbench.places import places
from workbench.prompts import Prompt
from workbench.recording import Recording
from workbench.session import left_padded

Heads = Bool[np.ndarray, "L H"]
"""Which heads of which layers go blind."""


@dataclass(frozen=True)
class Knockout:
    """Edges that the column which makes a thought does not see."""

    thought: int
    """The thought that is made without them, from 1."""
    edges: tuple[tuple[int, ...], ...]
    """For each problem, numbers of its edges; none changes nothing."""
    heads: Heads | None = None
    """Heads that go blind; None for all."""


@dataclass(frozen=True)
class Effect:
    """What the answers are under knock-outs: row 0 with none, then one row for each."""

    logit_difference: Float[np.ndarray, "knockouts n"]
    """Target less negative where the answer is named; first tokens."""
    right: Bool[np.ndarray, "knockouts n"]
    """Whether the target is the likeliest of all tokens there."""


@torch.inference_mode()
def knock_out(recording: Recording, knockouts: Sequence[Knockout], *, batch_size: int = 16) -> Effect:
    """Run the problems of a recording under each knock-out, and once without.

    Thoughts that were changed (noise, another problem's) are fed as recorded, so that a knock-out acts only through
    columns that are still the model's own.

    Args:
        recording: Of the model, or of a control.
        knockouts: At most a few dozen: the keys of the prompts are held for each.
        batch_size: Problems run at a time.
    """
    lens, size = CoconutLens(recording.checkpoint), (1 + len(knockouts), len(recording.problems))
    order = np.argsort([len(problem.edges) for problem in recording.problems], kind="stable")  # little padding
    difference, right = np.zeros(size), np.zeros(size, bool)
    for start in range(0, size[1], batch_size):
        rows = order[start : start + batch_size]
        difference[:, rows], right[:, rows] = _batch(lens, recording, rows, knockouts)
    return Effect(difference, right)


def _batch(
    lens: CoconutLens, recording: Recording, rows: Int[np.ndarray, "batch"], knockouts: Sequence[Knockout]
) -> tuple[Float[np.ndarray, "branches batch"], Bool[np.ndarray, "branches batch"]]:
    checkpoint, branches = recording.checkpoint, 1 + len(knockouts)
    live: Any = lens.bridge.original_model
    form, embed = checkpoint.format, live.get_input_embeddings()
    prompts = form.prompts([recording.problems[i] for i in rows])
    ids, mask = left_padded([prompt.ids for prompt in prompts], form.pad, live.device)
    opening, is_opening = left_padded([form.value_opening(prompt) for prompt in prompts], form.pad, live.device)
    loop = _Loop(live, mask[:, :-1])
    loop.read(embed(ids[:, :-1]))
    loop.branch(branches)
    blind = _Blind(lens, prompts, ids.shape[1], rows, knockouts)
    fed = embed(ids[:, -1]).repeat_interleave(branches, 0)
    for column in range(recording.count + 1):
        with blind.while_making(column + 1):
            last = loop.step(fed[:, None])
        if checkpoint.pause is not None:
            fed = embed(torch.full((len(last),), checkpoint.pause))
        elif recording.interventions and column < recording.count:
            fed = torch.from_numpy(recording.thoughts[rows, column]).repeat_interleave(branches, 0)
        else:
            fed = last
    last = loop.step(embed(opening).repeat_interleave(branches, 0), is_opening.repeat_interleave(branches, 0))
    logits = lm_head(live, last).view(len(rows), branches, -1)
    named = [(prompt.nodes[prompt.graph.target][0], prompt.nodes[prompt.graph.negative][0]) for prompt in prompts]
    target, negative = logits.gather(2, torch.tensor(named)[:, None].expand(-1, branches, -1)).unbind(2)
    right = logits.argmax(2) == torch.tensor(named)[:, :1]
    return (target - negative).T.double().numpy(), right.T.numpy()


class _Loop:
    """Columns appended one after the other to the keys and values of prompts."""

    def __init__(self, model: Any, mask: Bool[Tensor, "batch columns"]) -> None:
        self.model, self.mask, self.cache = model, mask, DynamicCache(config=model.config)

    def branch(self, count: int) -> None:
        """Put so many copies of each row side by side."""
        self.cache.batch_repeat_interleave(count)
        self.mask = self.mask.repeat_interleave(count, 0)

    def read(self, inputs: Float[Tensor, "rows new d"]) -> Float[Tensor, "rows new d"]:
        """Read columns that the mask already has."""
        place = positions(self.mask)[:, -inputs.shape[1] :]
        ran = self.model.base_model(
            inputs_embeds=inputs, past_key_values=self.cache, use_cache=True, attention_mask=self.mask.long(),
            position_ids=place,
        )  # fmt: skip
        return ran.last_hidden_state

    def step(
        self, inputs: Float[Tensor, "rows new d"], real: Bool[Tensor, "rows new"] | None = None
    ) -> Float[Tensor, "rows d"]:
        """Append columns and return the last one's hidden state after the final norm."""
        more = torch.ones(inputs.shape[:2], dtype=torch.bool) if real is None else real
        self.mask = torch.cat([self.mask, more], 1)
        return self.read(inputs)[:, -1]


class _Blind:
    """Hooks on the scores of every layer that take chosen edges out while one thought is made."""

    def __init__(
        self,
        lens: CoconutLens,
        prompts: Sequence[Prompt],
        begin: int,
        rows: Int[np.ndarray, "batch"],
        knockouts: Sequence[Knockout],
    ) -> None:
        self.bridge, cfg = lens.bridge, lens.bridge.cfg
        keys = torch.zeros(len(rows), 1 + len(knockouts), begin, dtype=torch.bool)
        heads = torch.zeros(1 + len(knockouts), cfg.n_layers, cfg.n_heads, dtype=torch.bool)
        for branch, knockout in enumerate(knockouts, 1):
            heads[branch] = True if knockout.heads is None else torch.from_numpy(knockout.heads)
        for row, (number, prompt) in enumerate(zip(rows, prompts, strict=True)):
            spans, pad = places(lens.checkpoint.format, prompt).edges, begin - len(prompt.ids)
            for branch, knockout in enumerate(knockouts, 1):
                for edge in knockout.edges[number]:
                    keys[row, branch, spans[edge][0] + pad : spans[edge][1] + pad] = True
        self.keys: Bool[Tensor, "rows begin"] = keys.flatten(0, 1)
        self.heads: Bool[Tensor, "rows L H"] = heads.repeat(len(rows), 1, 1)
        self.thought = torch.tensor([0, *(knockout.thought for knockout in knockouts)]).repeat(len(rows))

    def while_making(self, thought: int) -> AbstractContextManager:
        """Return a context in which the branches of this thought do not see their edges."""
        now = self.keys & (self.thought == thought)[:, None]
        if not now.any():
            return nullcontext()

        def hook(layer: int) -> tuple[str, HookFunction]:
            def without(scores: Tensor, hook: Any) -> Tensor:
                hidden = torch.nn.functional.pad(now, (0, scores.shape[-1] - now.shape[1]))
                both = self.heads[:, layer, :, None, None] & hidden[:, None, None]
                return scores.masked_fill(both, float("-inf"))

            return f"blocks.{layer}.attn.hook_attn_scores", without

        return self.bridge.hooks(fwd_hooks=[hook(layer) for layer in range(self.bridge.cfg.n_layers)])
