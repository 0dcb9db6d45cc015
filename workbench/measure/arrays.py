"""A trace: the arrays of one run of a Coconut model on one problem. Whoever only reads one loads no model code."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from workbench.model.formats import FORMATS
from workbench.problems.files import graphs_of
from workbench.problems.graph import hop_read
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import forced_choice


@dataclass(frozen=True)
class Trace:
    """What a model did on one problem, with 0..K thoughts.

    Thought k is 1-based; "after k thoughts" has k = 0 for none. Probabilities are raw: of the whole vocabulary's
    softmax, so that a row over the nodes of the problem need not sum to one.
    """

    problem: Problem | Item
    checkpoint: str
    """Name of the checkpoint that was run."""
    thoughts: Float[np.ndarray, "K d"]
    """Thought 1..K as the LM head reads it: the last hidden state after the final norm."""
    lm_head: Float[np.ndarray, "K N"]
    """Probability of each node under the LM head of thought 1..K. Where a name is several tokens, that of its first
    token, divided equally among the problem's nodes that begin with it: the LM head says one token, not a name."""
    forced_language: Float[np.ndarray, "K+1 N"]
    """Probability of each node right after the forced step opening, after 0..K thoughts: the product of its tokens'
    probabilities (Coconut, arXiv 2412.06769, section 4)."""
    answers: Float[np.ndarray, "K+1 N"]
    """Probability of each node as the answer, after 0..K thoughts: the product of its tokens' probabilities after
    `[A]`, in the text format after "### Sally is a"."""
    answer_texts: tuple[str, ...]
    """The greedy answer after 0..K thoughts (the problem's own names), K+1 of them."""
    continuations: tuple[str, ...]
    """The step opening after 0..K thoughts and what the model goes on to say, greedily, in the format's own notation
    and the problem's own names; empty if not asked for."""
    top_tokens: tuple[tuple[tuple[str, float], ...], ...]
    """The likeliest tokens under the LM head of thought 1..K with their probabilities, best first."""
    format: str = "edges"
    """Name of the prompt format; it decides what counts as an answer."""
    thoughts_per_step: int = 1
    """Thoughts that stand for one step."""
    fed: Float[np.ndarray, "K d"] | None = None
    """What was fed as thought 1..K, where that is another vector than what is read (`Recurrence.apart`)."""
    stop: int | None = None
    """After how many thoughts the model's own rule ended them; answers after more stand for that many. None where it
    has no rule."""
    choices: Float[np.ndarray, "K+1 C"] | None = None
    """Of an item with options: probability of each as the answer after 0..K thoughts, the right one first."""
    values: Float[np.ndarray, "K S"] | None = None
    """Of an item whose steps say values: probability of the first token of each step's value under the LM head of
    thought 1..K. None of its answers, nodes or classes exist: N is 0 for an item."""

    @property
    def graph_problem(self) -> Problem:
        """The problem, for what needs its graph.

        Raises:
            WorkbenchError: It is words alone.
        """
        (problem,) = graphs_of([self.problem])
        return problem

    @property
    def as_fed(self) -> Float[np.ndarray, "K d"]:
        """What was fed, as interventions take it for a source; of a pause, what Coconut would have fed."""
        return self.thoughts if self.fed is None else self.fed

    def hop(self, thoughts: int) -> int:
        """Return the hop that thought k stands for, and the steps that k thoughts stand for: k / c, rounded up."""
        return hop_read(thoughts, self.thoughts_per_step)

    @property
    def answer_right(self) -> Bool[np.ndarray, " depths"]:
        """Whether the greedy answer after 0..K thoughts is exactly the right one."""
        return np.array([FORMATS[self.format].right(self.problem, text) for text in self.answer_texts])

    @property
    def answer_valid(self) -> Bool[np.ndarray, " depths"]:
        """Whether it has the right form: one of the two options and nothing else."""
        return np.array([FORMATS[self.format].valid(self.problem, text) for text in self.answer_texts])

    @property
    def choice(self) -> Float[np.ndarray, " depths"]:
        """The forced choice after 0..K thoughts: 1 where the target is a likelier answer, 0.5 where tied.

        nan for an item without options.
        """
        return forced_choice(*self.options)

    @property
    def options(self) -> Float[np.ndarray, "2 depths"]:
        """Probability of the right answer and of the likeliest wrong option, nan where there are no options."""
        if isinstance(self.problem, Problem):
            return self.answers[:, [self.problem.target, self.problem.negative]].T
        if self.choices is None or self.choices.shape[1] < 2:
            return np.full((2, len(self.answer_texts)), np.nan)
        return np.stack([self.choices[:, 0], self.choices[:, 1:].max(1)])
