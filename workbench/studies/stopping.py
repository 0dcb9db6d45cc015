"""When to stop thinking and answer: rules that look at a thought and say "enough".

The Coconut paper (arXiv 2412.06769, section 3) names two ways to end the thoughts: a classifier on them, or a constant
number; it uses the constant. Here both, and a third that needs no training. A problem is thought about once; what is
answered after every number of thoughts branches off the same cache, so that any number of rules can be judged on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from workbench.errors import WorkbenchError
from workbench.model.checkpoint import Checkpoint
from workbench.model.coconut import lm_head
from workbench.model.session import Branches, Session
from workbench.problems.problem import Problem

LONGER = 2
"""Thoughts are tried up to so many times the trained number."""


@dataclass(frozen=True)
class Thinking:
    """What a model thought about problems, and what it got right after every number of thoughts."""

    checkpoint: str
    """Name of the checkpoint."""
    trained: int
    """Number of thoughts it was trained with."""
    thoughts: Float[np.ndarray, "problems K d"]
    """Thought 1..K of each problem: the last hidden state that would be fed."""
    entropy: Float[np.ndarray, "problems K"]
    """Entropy in nats of the LM head of each thought over the whole vocabulary, in 0..ln(vocabulary)."""
    right: Bool[np.ndarray, "problems K+1"]
    """Whether the answer after 0..K thoughts is exactly the right one."""
    needed: Int[np.ndarray, " problems"]
    """As many thoughts as stand for the problem's steps."""

    @property
    def reached(self) -> Bool[np.ndarray, "problems K"]:
        """Whether thought 1..K is the one that stands for the last step, or a later one."""
        return np.arange(1, self.thoughts.shape[1] + 1) >= self.needed[:, None]


@runtime_checkable
class Rule(Protocol):
    """A way to choose the number of thoughts."""

    @property
    def title(self) -> str:
        """Name in tables."""
        ...

    def stops(self, thinking: Thinking, most: int) -> Int[np.ndarray, " problems"]:
        """Return for each problem after how many thoughts to answer, 0..most."""
        ...


@dataclass(frozen=True)
class Fixed:
    """The same number of thoughts for every problem: what the paper does."""

    thoughts: int

    @property
    def title(self) -> str:
        """Name in tables."""
        return f"fixed: {self.thoughts}"

    def stops(self, thinking: Thinking, most: int) -> Int[np.ndarray, " problems"]:
        """Return the number, whatever `most` is: a fixed number is a choice of its own."""
        if not 0 <= self.thoughts < thinking.right.shape[1]:
            raise WorkbenchError(
                f"Nothing was answered after {self.thoughts} thoughts.",
                f"The problems were thought about for {thinking.right.shape[1] - 1} thoughts.",
                "Choose a smaller number, or think longer.",
            )
        return np.full(len(thinking.right), self.thoughts)


@dataclass(frozen=True)
class Entropy:
    """Stop after the first thought whose LM head is sure: its entropy is below a threshold."""

    threshold: float
    """In nats, over the whole vocabulary."""

    @property
    def title(self) -> str:
        """Name in tables."""
        return f"entropy < {self.threshold:g}"

    def stops(self, thinking: Thinking, most: int) -> Int[np.ndarray, " problems"]:
        """Return the first thought below the threshold; `most` where there is none."""
        return first_true(thinking.entropy < self.threshold, most)


@dataclass(frozen=True)
class AsManyAsSteps:
    """The oracle: as many thoughts as the problem has steps, which no one knows who has not solved it."""

    @property
    def title(self) -> str:
        """Name in tables."""
        return "oracle"

    def stops(self, thinking: Thinking, most: int) -> Int[np.ndarray, " problems"]:
        """Return the number of thoughts that stand for the steps, at most `most`."""
        return np.minimum(thinking.needed, most)


def first_true(enough: Bool[np.ndarray, "problems K"], most: int) -> Int[np.ndarray, " problems"]:
    """Return for each row the place, from 1, of the first True among the first `most`; `most` where there is none."""
    some = enough[:, :most]
    if some.shape[1] == 0:
        return np.zeros(len(enough), dtype=np.int64)
    return np.where(some.any(axis=1), some.argmax(axis=1) + 1, some.shape[1]).astype(np.int64)


@torch.inference_mode()
def think_through(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    thoughts: int | None = None,
    batch_size: int = 64,
    says: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Thinking:
    """Think about problems once, and answer after every number of thoughts.

    Args:
        checkpoint: What to run; one without thoughts gives a single column, the answer after none.
        problems: At least one.
        thoughts: Largest number of thoughts, K; by default twice the trained number.
        batch_size: Problems run at a time.
        says: "answer" or "chain", see `trace.answers`; by default what the checkpoint was trained to.
        on_progress: Called with the number of problems done since the last call.

    Raises:
        WorkbenchError: There is no problem, or one cannot be run.
    """
    if not problems:
        raise WorkbenchError("There is nothing to think about.", "The list of problems is empty.", "Give some.")
    count = LONGER * checkpoint.thoughts if thoughts is None else thoughts
    form, model, chain = checkpoint.format, checkpoint.model, (says or checkpoint.says) == "chain"
    limit, depths = form.continuation_limit if chain else form.answer_limit, range(count + 1)
    prompts = form.prompts(problems)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))  # prompts of like length share a batch
    vectors, entropy = [], []
    right = np.zeros((len(prompts), count + 1), dtype=bool)
    for start in range(0, len(order), batch_size):
        batch = [prompts[i] for i in order[start : start + batch_size]]
        openings = [form.chain_opening(prompt) if chain else form.answer_opening(prompt) for prompt in batch]
        room = count + max(map(len, openings)) + limit
        session = Session(model, [prompt.ids for prompt in batch], pad=form.pad, more=room)
        thought = session.think(count, pause=checkpoint.pause)
        ends = Branches(session, depths)
        said = ends.go_on(ends.say([[opening] * len(depths) for opening in openings]), limit, form.end)
        for place, prompt, told in zip(order[start : start + batch_size], batch, said, strict=True):
            texts = [form.said_answer(prompt, ids) if chain else form.decode(prompt, ids) for ids in told]
            right[place] = [form.right(prompt.problem, text) for text in texts]
        shares = lm_head(model, thought).log_softmax(-1)
        vectors.append(thought.float().cpu().numpy())
        entropy.append(-(shares.exp() * shares).sum(-1).float().cpu().numpy())
        if on_progress:
            on_progress(len(batch))
    back = np.argsort(order)
    return Thinking(
        checkpoint.name,
        checkpoint.thoughts,
        np.concatenate(vectors)[back],
        np.concatenate(entropy)[back],
        right,
        np.array([len(problem.steps) for problem in problems]) * checkpoint.thoughts_per_step,
    )
