"""A ProsQA problem: a graph and a question about it."""

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
