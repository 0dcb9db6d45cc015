"""Sets of nodes by name: which nodes of each problem are meant at thought k, and which others match them in value."""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from workbench.errors import unknown
from workbench.interventions.base import Context
from workbench.model.prompts import first_token_shares
from workbench.problems.graph import Structure, hop_read, structure
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap

SETS: dict[str, str] = {
    "frontier": "The nodes at hop k.",
    "within": "The nodes at hops 1 to k.",
    "optimal": "Those at hop k on a shortest path to the target, the target too.",
    "on_path": "The same without the target, whose name would be the answer.",
    "off_path": "As many other nodes at hop k, of values as near as can be to those on the path.",
    "others": "All nodes at hop k on no shortest path.",
    "leading": "Those at hop k that reach the target by any path, without the target.",
    "leading_and_target": "The same, the target too.",
    "all_on_path": "The optimal nodes of all hops, without root and target.",
    "all_off_path": "As many others at the same hops, each of the nearest value in the thought of its own hop.",
    "other_side": "Those at hop k on a shortest path from the twin's root to the negative, out of the root's reach and "
    "without the negative.",
    "strangers": "As many concepts as the other side has, out of the root's reach and leading to neither option.",
    "top": "The concept of the highest value in thought k.",
    "reachable": "The concepts that the root reaches.",
    "distractor": "The concepts that it does not reach, without the negative.",
    "concepts": "All concepts of the problem.",
    "root": "The root.",
    "target": "The target.",
    "negative": "The negative.",
}
"""What each name stands for, for thought k that stands for hop k (LM-head values of the run without interventions)."""

Mask = Bool[np.ndarray, " nodes"]
NodeSet = Callable[[int, int], Mask]
"""From the number of a problem and of a thought to the nodes that are meant."""


class NodeSets:
    """The sets of `SETS` of n problems. Thought k stands for hop `hop(k)`; the root is at hop 0.

    Args:
        problems: The problems.
        values: Returns the LM-head value of each node of a problem in thought k of the run without interventions, given
            the numbers of both; only asked where a set goes by values.
        per_step: Thoughts that stand for one hop.
        numbers: Number of each problem in a larger set, which draws go by; by default their places.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        values: Callable[[int, int], Float[np.ndarray, " nodes"]],
        per_step: int = 1,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.problems, self.per_step, self._values = problems, per_step, values
        self._numbers = range(len(problems)) if numbers is None else numbers
        self._held: dict[tuple[str, int, int], Mask] = {}

    @cached_property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Hops from root to target."""
        return np.array([structure(problem).length for problem in self.problems])

    def hop(self, k: int) -> int:
        """Return the hop that thought k stands for; 0 for 0."""
        return hop_read(k, self.per_step)

    def named(self, name: str) -> NodeSet:
        """Return a set by its name.

        Raises:
            WorkbenchError: There is none of that name.
        """
        if name not in SETS:
            raise unknown("set of nodes", name, SETS)

        def mask(row: int, k: int) -> Mask:
            if (name, row, k) not in self._held:
                self._held[name, row, k] = self._mask(name, row, k)
            return self._held[name, row, k]

        return mask

    def _mask(self, name: str, row: int, k: int) -> Mask:
        problem, about = self.problems[row], structure(self.problems[row])
        numbers, here = np.arange(len(about.hops)), about.hops == self.hop(k)
        root, target, negative = (numbers == one for one in (problem.root, problem.target, problem.negative))
        match name:
            case "off_path":
                return self.beside(self.named("on_path"), self.named("optimal"))(row, k)
            case "all_off_path":
                thoughts = [(hop - 1) * self.per_step + 1 for hop in range(1, about.length)]
                return np.logical_or.reduce([self.named("off_path")(row, k) for k in thoughts] or [np.zeros_like(here)])
            case "top":
                return numbers == int(np.where(about.concepts, self._ranked(row, k), -1).argmax())
            case "other_side":
                twin = _twin(problem)
                if twin is None:
                    return np.zeros_like(here)
                return twin.optimal & (twin.hops == self.hop(k)) & ~about.reachable & ~negative
            case "strangers":
                twin = _twin(problem)
                leads = about.reaches_target if twin is None else about.reaches_target | twin.reaches_target
                free = np.flatnonzero(about.concepts & ~about.reachable & ~leads)
                count = int(self.named("other_side")(row, k).sum())
                return np.isin(numbers, np.random.default_rng([self._numbers[row], k]).permutation(free)[:count])
        return {
            "frontier": here, "within": (about.hops >= 1) & (about.hops <= self.hop(k)),
            "optimal": here & about.optimal, "others": here & ~about.optimal,
            "on_path": here & about.optimal & ~root & ~target,
            "leading": here & about.reaches_target & ~target, "leading_and_target": here & about.reaches_target,
            "all_on_path": about.optimal & ~root & ~target, "reachable": about.concepts & about.reachable,
            "distractor": about.concepts & ~about.reachable & ~negative, "concepts": about.concepts,
            "root": root, "target": target, "negative": negative,
        }[name]  # fmt: skip

    def _ranked(self, row: int, k: int) -> Float[np.ndarray, " nodes"]:
        """Return values rounded, so that the last bits, which depend on the batch, decide nothing."""
        return self._values(row, k).round(6) if k > 0 else np.zeros(len(self.problems[row].names))

    def beside(self, chosen: NodeSet, avoided: NodeSet) -> NodeSet:
        """Return the set of as many nodes of the same frontier, each of the value nearest to one of a chosen set.

        Values are those of the first thought that stands for the hop.

        Args:
            chosen: The set that is matched, a part of the frontier.
            avoided: What cannot stand beside it, with the target.
        """
        held: dict[tuple[int, int], Mask] = {}

        def mask(row: int, k: int) -> Mask:
            if (row, k) not in held:
                here, on = self.named("frontier")(row, k), np.flatnonzero(chosen(row, k))
                off = np.flatnonzero(here & ~avoided(row, k) & ~self.named("target")(row, k))
                values = self._ranked(row, (self.hop(k) - 1) * self.per_step + 1)
                _, matched = linear_sum_assignment(np.abs(values[on][:, None] - values[off]))
                held[row, k] = np.isin(np.arange(len(here)), off[matched])
            return held[row, k]

        return mask

    def matched(self, chosen: NodeSet, beside: NodeSet, thoughts: Sequence[int]) -> Bool[np.ndarray, " n"]:
        """Say of which problems some thoughts before the target's hop all have as many nodes beside, and one has any.

        Args:
            chosen: A set.
            beside: What `beside` made of it.
            thoughts: Numbers of the thoughts.
        """
        found = []
        for row, length in enumerate(self.lengths):
            open_ = [k for k in thoughts if self.hop(k) < length]
            sizes = [(chosen(row, k).sum(), beside(row, k).sum()) for k in open_]
            found.append(bool(sizes) and all(a == b for a, b in sizes) and any(a > 0 for a, _ in sizes))
        return np.array(found, dtype=bool)

    def beyond(self, k: int | None) -> Bool[np.ndarray, " n"]:
        """Say of which problems the target lies beyond the hop of thought k; of all beyond hop 1 for None."""
        return self.lengths > self.hop(k or 1)


@lru_cache(maxsize=4096)
def _twin(problem: Problem) -> Structure | None:
    twin = entity_swap(problem)
    return None if twin is None else structure(twin)


def members(context: Context, row: int, k: int, nodes: Sequence[str]) -> Int[Tensor, " m"]:
    """Return the nodes of one problem that are meant at thought k, in order and each once.

    Args:
        context: The batch.
        row: Row of the batch.
        k: Number of the thought.
        nodes: Names of `SETS`, names of nodes, or numbers of nodes in digits.

    Raises:
        WorkbenchError: The problem has no such node.
    """
    problems = [prompt.graph for prompt in context.prompts]
    sets = NodeSets(problems, partial(node_values, context), context.checkpoint.thoughts_per_step, context.rows)
    problem, found = problems[row], set[int]()
    for name in nodes:
        if name in SETS:
            found |= set(np.flatnonzero(sets.named(name)(row, k)).tolist())
        elif name in problem.names:
            found.add(problem.names.index(name))
        elif name.isdecimal() and int(name) < len(problem.names):
            found.add(int(name))
        else:
            raise unknown("node", name, [*SETS, *problem.names], f"Use a set, or a node of {problem.id} or its number.")
    return torch.tensor(sorted(found), dtype=torch.long)


def node_name(problem: Problem, node: int) -> str:
    """Return what `members` knows a node by: its name, or its number where the name means something else."""
    name = problem.names[node]
    return str(node) if name in SETS else name


def set_of(problem: Problem, node: int, hop: int) -> str | None:
    """Return the name of the set that a node stands for in a thought about a hop, None where there is none of its kind.

    The same change can then be made on many problems, in which its name stands for another node.
    """
    about = structure(problem)
    for role in ("root", "target", "negative"):
        if node == getattr(problem, role):
            return role
    if about.hops[node] == hop:
        return "on_path" if about.optimal[node] else "off_path"
    twin = _twin(problem)
    if about.reachable[node] or not about.concepts[node]:
        return None
    on_twins_path = twin is not None and bool(twin.optimal[node]) and twin.hops[node] == hop
    return "other_side" if on_twins_path else "strangers"


def node_values(context: Context, row: int, k: int) -> Float[np.ndarray, " nodes"]:
    """Return the LM-head value of each node in thought k without interventions; zeros beyond the last thought."""
    prompt = context.prompts[row]
    if not 1 <= k <= context.values.shape[1]:
        return np.zeros(len(prompt.nodes))
    return first_token_shares(context.values[row, k - 1].double().cpu().numpy(), prompt)
