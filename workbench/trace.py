"""A trace: the arrays of one run of a Coconut model on one problem."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from workbench.checkpoint import Checkpoint
from workbench.problem import Problem


@dataclass(frozen=True)
class Trace:
    """What a model did on one problem, with 0..K thoughts.

    Thought k is 1-based; "after k thoughts" has k = 0 for none. Probabilities are raw: of the whole vocabulary's
    softmax, so that a row over the nodes of the problem need not sum to one.
    """

    problem: Problem
    checkpoint: str
    """Name of the checkpoint that was run."""
    thoughts: Float[np.ndarray, "K d"]
    """Thought 1..K: the last hidden state after the final norm."""
    lm_head: Float[np.ndarray, "K N"]
    """Probability of each node under the LM head of thought 1..K."""
    forced_language: Float[np.ndarray, "K+1 N"]
    """Probability of each node right after the forced step opening, after 0..K thoughts."""
    answers: Float[np.ndarray, "K+1 N"]
    """Probability of each node right after the answer opening, after 0..K thoughts."""
    answer_texts: tuple[str, ...]
    """The greedy answer after 0..K thoughts (the problem's own names), K+1 of them."""
    continuations: tuple[str, ...]
    """What the model goes on to say after 0..K thoughts and the step opening; empty if not asked for."""
    top_tokens: tuple[tuple[tuple[str, float], ...], ...]
    """The likeliest tokens under the LM head of thought 1..K with their probabilities, best first."""


def run(
    checkpoint: Checkpoint,
    problems: Iterable[Problem],
    thoughts: int | None = None,
    batch_size: int = 64,
    top: int = 10,
    continuations: bool = True,
) -> Iterator[Trace]:
    """Run a checkpoint on problems and yield a trace for each, in order."""
    raise NotImplementedError
