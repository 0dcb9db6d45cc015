"""Pause tokens in one pass and in several: the same computation, so that the same answers must come out.

A pause token does not depend on what came before it, so prompt and pauses can be read at once; Coconut's thoughts
cannot. "Multi-pass" feeds the pauses one at a time, as many passes as Coconut needs (the compute-matched control of
2606.12689 and of bmarti44/research-pipeline).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.session import Branches, Session
from workbench.problems.problem import Item, Problem


@dataclass(frozen=True)
class Passes:
    """How the two ways compare."""

    problems: int
    same: int
    """Problems whose answer begins with the same token."""
    max_difference: float
    """Largest difference of any logit there."""


@torch.inference_mode()
def compare_passes(checkpoint: Checkpoint, problems: Sequence[Problem | Item], batch_size: int = 64) -> Passes:
    """Answer problems of a pause-token model in one pass each and in K + 1, and compare the answer's first token.

    Args:
        checkpoint: Feeds pause tokens, and answers right after them.
        problems: Of its task.
        batch_size: Problems run at a time.
    """
    form, model, count = checkpoint.format, checkpoint.model, checkpoint.thoughts
    same, largest = 0, 0.0
    for start in range(0, len(problems), batch_size):
        prompts = form.prompts(list(problems[start : start + batch_size]))
        openings = [form.answer_opening(prompt) for prompt in prompts]
        room = count + max(map(len, openings)) + 1
        session = Session(model, [prompt.ids for prompt in prompts], pad=form.pad, more=room)
        session.think(count, pause=checkpoint.pause)
        several = Branches(session, [count]).say([[opening] for opening in openings])[:, 0]
        whole = [(*p.ids, *[form.marker.thought] * count, *o) for p, o in zip(prompts, openings, strict=True)]
        one = lm_head(model, Session(model, whole, pad=form.pad, more=1).last)
        same += int((one.argmax(-1) == several.argmax(-1)).sum())
        largest = max(largest, float((one - several).abs().max()))
    return Passes(len(problems), same, largest)
