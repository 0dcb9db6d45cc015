"""What thoughts would be if they were sums over sets of nodes: in embeddings, as theory has it, or in learned codes.

Both are learned from generated problems on other graphs than those that are audited (`codes`, `held_out.alike`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.interventions.run import think_about
from workbench.measure.splits import alike
from workbench.problems.graph import hop_read, structure
from workbench.problems.problem import Problem
from workbench.readings.node_vectors import fit_node_dictionary
from workbench.studies.audit.subject import Subject

Space = Literal["codes", "embeddings"]
SPACES: tuple[Space, ...] = ("codes", "embeddings")

_NOWHERE = -99
"""Hop of what is out of reach."""

NodeSets = Callable[[int, int], Bool[np.ndarray, " _"]]
"""From the number of a problem and of a thought to the nodes that are summed."""


@dataclass(frozen=True)
class Sums:
    """The vectors of names, by thought, and a constant part that every problem has."""

    constant: Float[np.ndarray, "K d"]
    now: Float[np.ndarray, "K vocab d"]
    """Of each name (by its first token) in the set of nodes that thought k is about."""
    before: Float[np.ndarray, "K vocab d"]
    """Of each name one hop before; zeros for embeddings."""

    def of(
        self, tokens: Sequence[Int[np.ndarray, " _"]], now: NodeSets, before: NodeSets | None = None
    ) -> Float[Tensor, "n K d"]:
        """Return the sums (1/√|V|) Σ over sets V, one for each problem and thought, with the constant part.

        Args:
            tokens: First token of every node's name, of each problem.
            now: The set that the thought is about.
            before: That of one hop before; none by default.
        """
        made = np.tile(self.constant, (len(tokens), 1, 1))
        for row, names in enumerate(tokens):
            for k in range(1, made.shape[1] + 1):
                made[row, k - 1] += _sum(self.now[k - 1], names, now(row, k))
                if before is not None:
                    made[row, k - 1] += _sum(self.before[k - 1], names, before(row, k))
        return torch.from_numpy(made.astype(np.float32))

    def given(
        self,
        tokens: Sequence[Int[np.ndarray, " _"]],
        nodes: NodeSets,
        frontier: NodeSets,
        per_step: int,
        sign: float,
    ) -> Float[Tensor, "n K d"]:
        """Return what some nodes give to each thought, with a sign: their own vectors by 1/√|V| of the frontier V.

        Nodes count in the thought that is about them, and, by their `before` vectors, in that of the next hop.

        Args:
            tokens: As in `of`.
            nodes: Of each problem and thought.
            frontier: V.
            per_step: Thoughts that stand for one hop.
            sign: 1 to add them, -1 to take them out.
        """
        made = np.zeros((len(tokens), self.constant.shape[0], self.constant.shape[1]))
        for row, names in enumerate(tokens):
            for k in range(1, made.shape[1] + 1):
                for vectors, at in ((self.now[k - 1], k), (self.before[k - 1], k - per_step)):
                    chosen = names[nodes(row, at)] if at > 0 else names[:0]
                    if len(chosen):
                        size = max(int(frontier(row, at).sum()), 1)
                        made[row, k - 1] += sign * vectors[chosen].sum(0) / np.sqrt(size)
        return torch.from_numpy(made.astype(np.float32))


def learn(subject: Subject) -> dict[Space, Sums]:
    """Learn both kinds of sums from what the model thinks about generated problems on other graphs.

    Raises:
        WorkbenchError: No such problems can be generated.
    """
    checkpoint, options = subject.checkpoint, subject.options
    problems = alike(subject.problems, options.fit, options.seed)
    thoughts = think_about(checkpoint, problems).double().cpu().numpy()
    subject.advance(len(problems))
    names, nodes = first_tokens(subject, problems), max(len(problem.names) for problem in problems)
    tokens, hops = np.full((len(problems), nodes), -1), np.full((len(problems), nodes), -2)
    for row, (own, problem) in enumerate(zip(names, problems, strict=True)):
        tokens[row, : len(own)], hops[row, : len(own)] = own, structure(problem).hops
    embedding = checkpoint.model.get_input_embeddings().weight.detach().double().cpu().numpy()  # type: ignore[union-attr]
    codes, sizes = [], []
    for k in range(1, thoughts.shape[1] + 1):
        # As if its hop were the first: several thoughts may stand for one.
        shifted = np.where(hops < 0, _NOWHERE, hops - hop_of(subject, k) + 1)
        codes.append(fit_node_dictionary(thoughts[:, k - 1 : k], tokens, shifted, len(embedding)))
        there = np.stack([_sum(embedding, own, row[: len(own)] == 1) for own, row in zip(names, shifted, strict=True)])
        off, about = there - there.mean(0), thoughts[:, k - 1] - thoughts[:, k - 1].mean(0)
        size = float((off * about).sum() / max(float((off**2).sum()), 1e-12))
        sizes.append((thoughts[:, k - 1].mean(0) - size * there.mean(0), size * embedding))
    nothing = np.zeros_like(embedding)
    return {
        "codes": Sums(
            np.stack([book.constant[0] for book in codes]), np.stack([book.now[0] for book in codes]),
            np.stack([book.before[0] for book in codes]),
        ),
        "embeddings": Sums(
            np.stack([constant for constant, _ in sizes]), np.stack([now for _, now in sizes]),
            np.stack([nothing for _ in sizes]),
        ),
    }  # fmt: skip


def first_tokens(subject: Subject, problems: Sequence[Problem]) -> list[Int[np.ndarray, " _"]]:
    """Return the token that each node's name begins with, for each problem."""
    return [np.array([word[0] for word in prompt.nodes]) for prompt in subject.checkpoint.format.prompts(problems)]


def hop_of(subject: Subject, k: int) -> int:
    """Return the hop that thought k stands for."""
    return hop_read(k, subject.checkpoint.thoughts_per_step)


def _sum(
    vectors: Float[np.ndarray, "vocab d"], tokens: Int[np.ndarray, " nodes"], nodes: Bool[np.ndarray, " nodes"]
) -> Float[np.ndarray, " d"]:
    chosen = tokens[nodes]
    return vectors[chosen].sum(0) / np.sqrt(max(len(chosen), 1))
