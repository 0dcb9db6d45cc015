"""The three dataclasses of this package: a problem with a graph, a problem in words alone, and a fault of either."""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool

NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Problem:
    """One ProsQA question over one directed acyclic graph (Coconut, arXiv 2412.06769, appendix A.2).

    Nodes are 0..N-1. `validator.check` says whether a problem is sound; every loader and generator calls it.

    Examples:
        >>> problem = wb.load_problems("released")[0]
        >>> problem.names[problem.root] in problem.question, len(problem.options)
        (True, 2)
    """

    id: str
    """Unique within its file; stays the same when the file is filtered."""
    question: str
    """The text asked: one sentence per edge, then "Is Tom a lempus or scrompus?"."""
    answer: str
    """The sentence that answers it: "Tom is a lempus."."""
    steps: tuple[str, ...]
    """One shortest path from root to target, a sentence per edge."""
    names: tuple[str, ...]
    """Name of each node (entity or concept), N of them, all different."""
    edges: tuple[tuple[int, int], ...]
    """(source, destination) node pairs, in the order of the sentences in the question."""
    root: int
    """The entity asked about."""
    target: int
    """The option that can be reached from the root."""
    negative: int
    """The option that cannot."""
    options: tuple[int, int]
    """Target and negative in the order in which the question lists them."""
    entities: tuple[int, ...] = field(repr=False)  # digests of problem sets are made of what is printed
    """The nodes with sentences of the form "Tom is a ...", in ascending order; all other nodes are concepts."""

    @cached_property
    def adjacency(self) -> Bool[np.ndarray, "nodes nodes"]:
        """Whether there is an edge from row node to column node."""
        matrix = np.zeros((len(self.names), len(self.names)), dtype=bool)
        for source, destination in self.edges:
            matrix[source, destination] = True
        return matrix

    @cached_property
    def graph(self) -> str:
        """Name of the graph asked about: a short digest of the names that edges leave, each as often as one does.

        What asks about one graph is not independent, and intervals keep it together. The order of the sentences, the
        question and where an edge ends do not count: so an entity-swapped twin and a single-edge rewrite
        (`problems.variants`), which move with their original, have its name. Other graphs have it by chance alone.
        """
        sources = sorted(self.names[source] for source, _ in self.edges)
        return hashlib.sha256("\n".join(sources).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Item:
    """One question without a graph, and the chain of steps that answers it. Its first four fields are a `Problem`'s."""

    id: str
    """Unique within its file; stays the same when the file is filtered."""
    question: str
    """The text asked."""
    answer: str
    """The answer: "True", or a number."""
    steps: tuple[str, ...]
    """The chain, a step each; may be empty in files of others."""
    task: str
    """Where it comes from: "prontoqa" and "arithmetic" are ours or checked like ours, "gsm8k" and "math" are not; "own"
    is nobody's known task."""
    values: tuple[str, ...] = ()
    """What each step adds (arithmetic: its result), to be looked for in a thought; one per step, or none."""
    options: tuple[str, ...] = ()
    """The valid answers; none: any number where the answer is one (task "math": anything)."""

    @property
    def graph(self) -> str:
        """The id: an item has no graph that others could share."""
        return self.id

    @property
    def numeric(self) -> bool:
        """Whether any number is a valid answer."""
        return not self.options and self.task != "math" and NUMBER.fullmatch(self.answer.replace(",", "")) is not None


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a problem or an item."""

    field: str
    """The field at fault."""
    reason: str
    """What is wrong with it, naming nodes and sentences."""
