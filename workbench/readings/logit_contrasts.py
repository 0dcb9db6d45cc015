"""Which logits are held against which: frontier against other concepts, target against negative, and controls."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.measure.recording import Recording


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
