"""Attention knock-out: one column of the loop goes blind to chosen edges of the prompt, and runs on from there.

Before the softmax the scores of the edge's tokens are set to minus infinity, so that what is left of the attention is
shared out anew (attention knock-out, Geva et al. 2023, arXiv 2304.14767), at TransformerLens's `hook_attn_scores`. All
columns before and after see the edge as ever, and later thoughts change through the recurrence.

The knock-outs of a problem are branches side by side on one cache, each blind to the others: the prompt is read once,
and its keys and values are held once for all of them.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad as padded

from workbench.measure.recording import Recording
from workbench.model.coconut import lm_head
from workbench.model.formats import places
from workbench.model.lens import CoconutLens, HookFunction
from workbench.model.prompts import Prompt
from workbench.model.session import Session, left_padded

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
def knock_out(recording: Recording, knockouts: Sequence[Knockout], *, batch_size: int = 64) -> Effect:
    """Run the problems of a recording under each knock-out, and once without.

    Thoughts that were changed (noise, another problem's) are fed as recorded, so that a knock-out acts only through
    columns that are still the model's own.

    Args:
        recording: Of the model, or of a control.
        knockouts: Any number; one that takes no edge from a problem is not run for it.
        batch_size: Problems run at a time.
    """
    lens, problems = CoconutLens(recording.checkpoint), recording.problems
    # Problems with about as many branches, then of about the same size: little padding of either kind.
    branches = [sum(bool(knockout.edges[row]) for knockout in knockouts) for row in range(len(problems))]
    order = np.lexsort([[len(problem.edges) for problem in problems], branches])
    difference, right = np.zeros((2, 1 + len(knockouts), len(problems)))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        difference[:, rows], right[:, rows] = _batch(lens, recording, rows, knockouts)
    return Effect(difference, right.astype(bool))


def _batch(
    lens: CoconutLens, recording: Recording, rows: Int[np.ndarray, "batch"], knockouts: Sequence[Knockout]
) -> tuple[Float[np.ndarray, "knockouts batch"], Bool[np.ndarray, "knockouts batch"]]:
    checkpoint = recording.checkpoint
    live: Any = lens.bridge.original_model
    form, embed = checkpoint.format, live.get_input_embeddings()
    prompts = form.prompts([recording.problems[i] for i in rows])
    opening, is_opening = left_padded([form.value_opening(prompt) for prompt in prompts], form.pad, live.device)
    # Each problem has a branch without any knock-out, and one for each that takes an edge from it.
    branches = [[0, *(j for j, one in enumerate(knockouts, 1) if one.edges[number])] for number in rows]
    width = max(map(len, branches))
    more = 1 + recording.count + opening.shape[1]
    run = _Run(Session(live, [prompt.ids[:-1] for prompt in prompts], pad=form.pad, more=more), width)
    blind = _Blind(lens, prompts, run.session.begin, rows, knockouts, branches)
    fed = embed(torch.tensor([prompt.ids[-1] for prompt in prompts]))[:, None].expand(-1, width, -1)
    for column in range(recording.count + 1):
        with blind.while_making(column + 1):
            last = run.step(fed)
        if checkpoint.pause is not None:
            fed = embed(torch.full(last.shape[:2], checkpoint.pause))
        elif recording.interventions and column < recording.count:
            fed = torch.from_numpy(recording.thoughts[rows, column])[:, None].expand(-1, width, -1)
        else:
            fed = last
    for token, real in zip(embed(opening).unbind(1), is_opening.unbind(1), strict=True):
        last = run.step(token[:, None].expand(-1, width, -1), real)
    logits = lm_head(live, last)
    named = [(prompt.nodes[prompt.graph.target][0], prompt.nodes[prompt.graph.negative][0]) for prompt in prompts]
    target, negative = logits.gather(2, torch.tensor(named)[:, None].expand(-1, width, -1)).unbind(2)
    right = logits.argmax(2) == torch.tensor(named)[:, :1]
    of_branch = np.zeros((len(rows), 1 + len(knockouts)), np.int64)  # where no edge is taken: the branch without any
    for own, numbers in zip(of_branch, branches, strict=True):
        own[numbers] = range(len(numbers))
    found = torch.from_numpy(of_branch)
    return (target - negative).gather(1, found).T.double().numpy(), right.gather(1, found).T.numpy()


class _Run:
    """Branches side by side, a column of each appended at a time; no branch sees another."""

    def __init__(self, session: Session, width: int) -> None:
        self.session = session
        self.sees: Bool[Tensor, "batch branches columns"] = session.mask[:, None].expand(-1, width, -1)
        self.own = torch.eye(width, dtype=torch.bool).expand(len(session.mask), -1, -1)

    def step(
        self, inputs: Float[Tensor, "batch branches d"], real: Bool[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch branches d"]:
        """Append a column of each branch, and return its hidden state after the final norm.

        Args:
            inputs: What is fed.
            real: Rows for which it is no padding; by default all.
        """
        place = self.sees.sum(2)
        hidden = self.session.feed(inputs, torch.cat([self.sees, self.own], 2), place)
        seen = self.own if real is None else self.own & real[:, None, None]
        self.sees = torch.cat([self.sees, seen], 2)
        return hidden


class _Blind:
    """Hooks on the scores of every layer that take chosen edges out while one thought is made."""

    def __init__(
        self,
        lens: CoconutLens,
        prompts: Sequence[Prompt],
        begin: int,
        rows: Int[np.ndarray, "batch"],
        knockouts: Sequence[Knockout],
        branches: Sequence[Sequence[int]],
    ) -> None:
        self.bridge, cfg = lens.bridge, lens.bridge.cfg
        width = max(map(len, branches))
        self.keys: Bool[Tensor, "batch branches begin"] = torch.zeros(len(rows), width, begin, dtype=torch.bool)
        self.heads: Bool[Tensor, "batch branches L H"] = torch.zeros(
            len(rows), width, cfg.n_layers, cfg.n_heads, dtype=torch.bool
        )
        self.thought: Int[Tensor, "batch branches"] = torch.zeros(len(rows), width, dtype=torch.long)
        for row, (number, prompt) in enumerate(zip(rows, prompts, strict=True)):
            spans, pad = places(lens.checkpoint.format, prompt).edges, begin - (len(prompt.ids) - 1)
            for place, branch in enumerate(branches[row][1:], 1):
                knockout = knockouts[branch - 1]
                self.thought[row, place] = knockout.thought
                self.heads[row, place] = True if knockout.heads is None else torch.from_numpy(knockout.heads)
                for edge in knockout.edges[number]:
                    self.keys[row, place, spans[edge][0] + pad : spans[edge][1] + pad] = True

    def while_making(self, thought: int) -> AbstractContextManager:
        """Return a context in which the branches of this thought do not see their edges."""
        now = self.keys & (self.thought == thought)[..., None]
        if not now.any():
            return nullcontext()

        def hook(layer: int) -> tuple[str, HookFunction]:
            def without(scores: Tensor, hook: Any) -> Tensor:
                hidden = padded(now, (0, scores.shape[-1] - now.shape[2]))
                both = self.heads[:, :, layer].transpose(1, 2)[..., None] & hidden[:, None]  # batch, heads, branches
                return scores.masked_fill(both, float("-inf"))

            return f"blocks.{layer}.attn.hook_attn_scores", without

        return self.bridge.hooks(fwd_hooks=[hook(layer) for layer in range(self.bridge.cfg.n_layers)])
