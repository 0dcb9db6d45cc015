"""Edges knocked out where a thought is made: what the answer is when that column cannot see them.

Attention knock-out (Geva et al. 2023, arXiv 2304.14767): the attention to an edge's tokens is cut and the rest shared
out anew, as minus infinity before the softmax would do. All columns before and after see the edge as ever, and later
thoughts change through the recurrence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from workbench.interventions.base import Intervention
from workbench.interventions.layers import Knockout
from workbench.interventions.plan import Plan
from workbench.interventions.run import InterventionRunner
from workbench.interventions.thoughts import Patch
from workbench.measure.recording import Recording
from workbench.model.session import Batch, Branches, as_numpy, in_batches

Heads = Bool[np.ndarray, "L H"]
"""Which heads of which layers do not see the edges."""


@dataclass(frozen=True)
class EdgeCut:
    """Edges that the column which makes a thought does not see."""

    thought: int
    """The thought that is made without them, from 1."""
    edges: tuple[tuple[int, ...], ...]
    """For each problem, numbers of its edges; none changes nothing."""
    heads: Heads | None = None
    """Heads that do not see them; None for all."""

    def interventions(self, name: str) -> list[Intervention]:
        """Return the knock-outs, one for each layer; the edges are given to the run by a name."""
        if self.heads is None:
            return [Knockout((name,), at=(self.thought,), making=True)]
        return [
            Knockout((name,), tuple(np.flatnonzero(heads).tolist()), layers=(layer,), at=(self.thought,), making=True)
            for layer, heads in enumerate(self.heads)
            if heads.any()
        ]


@dataclass(frozen=True)
class Effect:
    """What the answers are under knock-outs: row 0 with none, then one row for each."""

    logit_difference: Float[np.ndarray, "cuts n"]
    """Target less negative where the answer is named; first tokens."""
    right: Bool[np.ndarray, "cuts n"]
    """Whether the target is the likeliest of all tokens there."""


def knock_out(recording: Recording, cuts: Sequence[EdgeCut], *, batch_size: int = 64) -> Effect:
    """Run the problems of a recording under each knock-out, and once without.

    Thoughts that were changed (noise, another problem's) are fed as recorded, so that a knock-out acts only through
    columns that are still the model's own.

    Args:
        recording: Of the model, or of a control.
        cuts: Any number.
        batch_size: Problems run at a time.
    """
    checkpoint, form, count = recording.checkpoint, recording.checkpoint.format, recording.count
    fed = (Patch("recorded"),) if recording.interventions else ()
    names = [f"cut {number}" for number in range(len(cuts))]
    plans = [Plan(fed), *(Plan((*fed, *cut.interventions(name))) for cut, name in zip(cuts, names, strict=True))]
    runner = InterventionRunner(
        checkpoint, plans, count,
        sources={"recorded": torch.from_numpy(recording.thoughts)},
        edges=dict(zip(names, (cut.edges for cut in cuts), strict=True)),
    )  # fmt: skip

    def answers(batch: Batch) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        openings = [[form.value_opening(prompt)] for prompt in batch.prompts]
        options = [(prompt, prompt.graph.target, prompt.graph.negative) for prompt in batch.prompts]
        tokens = [[prompt.nodes[node][0] for node in nodes] for prompt, *nodes in options]
        named = torch.tensor(tokens, device=checkpoint.model.device)
        found = []
        for _, session, _ in runner.thinking(batch, count + max(len(one) for (one,) in openings), plans):
            logits = Branches(session, [count]).say(openings)[:, 0]
            target, negative = logits.gather(1, named).unbind(1)
            found.append((as_numpy(target - negative), as_numpy(logits.argmax(1) == named[:, 0])))
        differences, right = (np.stack(one, 1) for one in zip(*found, strict=True))
        return zip(differences, right, strict=True)

    differences, right = zip(*in_batches(checkpoint, recording.problems, answers, batch_size), strict=True)
    return Effect(np.stack(differences, 1), np.stack(right, 1))
