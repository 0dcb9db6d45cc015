"""A ProsQA problem: a graph and a question about it.

An item: a problem that is words alone, without a graph of nodes that could be read from thoughts.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool


@dataclass(frozen=True)
class Problem:
    """One question over one directed acyclic graph (Coconut, arXiv 2412.06769, appendix A.2).

    Nodes are 0..N-1. `oracle.check` says whether a problem is sound; every loader and generator calls it.
    """

    id: str
    """Unique within its file; keeps its meaning when the file is filtered."""
    question: str
    """The text asked: one sentence per edge, then "Is Tom a lempus or scrompus?"."""
    answer: str
    """The sentence that answers it: "Tom is a lempus."."""
    steps: tuple[str, ...]
    """One shortest path from root to target, a sentence per edge."""
    names: tuple[str, ...]
    """Name of each node (entity or concept), N of them, all different."""
    edges: tuple[tuple[int, int], ...]
    """(source, target) node pairs, in the order of the sentences in the question."""
    root: int
    """The entity asked about."""
    target: int
    """The option that can be reached from the root."""
    negative: int
    """The option that cannot."""
    options: tuple[int, int]
    """Target and negative in the order in which the question lists them."""

    @cached_property
    def adjacency(self) -> Bool[np.ndarray, "nodes nodes"]:
        """Whether there is an edge from row node to column node."""
        matrix = np.zeros((len(self.names), len(self.names)), dtype=bool)
        for source, target in self.edges:
            matrix[source, target] = True
        return matrix


@dataclass(frozen=True)
class Item:
    """One question with the chain of steps that answers it; its first four fields are those of a `Problem`."""

    id: str
    """Unique within its file; keeps its meaning when the file is filtered."""
    question: str
    """The text asked."""
    answer: str
    """What answers it: "True", or a number."""
    steps: tuple[str, ...]
    """The chain, a step each; may be empty in files of others."""
    task: str
    """Where it comes from: "prontoqa" and "arithmetic" are ours or checked like ours, "gsm8k" and "math" are not."""
    values: tuple[str, ...] = ()
    """What each step newly says (arithmetic: its result), so that it can be looked for in a thought; as many as steps,
    or none."""
    options: tuple[str, ...] = ()
    """What a valid answer may be; none: any number (task "math": anything)."""
