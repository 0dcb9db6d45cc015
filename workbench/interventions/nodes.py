"""Sets of nodes by name: which nodes of each problem an intervention on thought k means."""

import difflib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.interventions.base import Context
from workbench.model.prompts import first_token_shares
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap

SETS: dict[str, str] = {
    "frontier": "The nodes at hop k.",
    "optimal": "Those of them on a shortest path to the target, the target too.",
    "on_path": "The same without the target, whose name would be the answer.",
    "off_path": "As many other nodes at hop k, of values as near as can be to those on the path.",
    "all_on_path": "The optimal nodes of all hops, without root and target.",
    "all_off_path": "As many others at the same hops, each of the nearest value in the thought of its own hop.",
    "other_side": "Those at hop k on a shortest path from the twin's root to the negative, out of the root's reach and "
    "without the negative.",
    "top": "The concept of the highest value in thought k.",
    "reachable": "The concepts that the root reaches.",
    "distractor": "The concepts that it does not reach, without the negative.",
    "concepts": "All concepts of the problem.",
    "root": "The root.",
    "target": "The target.",
    "negative": "The negative.",
}
"""What each name stands for, for thought k that stands for hop k (LM-head values of the run without interventions)."""


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
    problem, found = context.prompts[row].graph, set[int]()
    for name in nodes:
        if name in SETS:
            found |= set(_named(context, row, problem, k, name))
        elif name in problem.names:
            found.add(problem.names.index(name))
        elif name.isdecimal() and int(name) < len(problem.names):
            found.add(int(name))
        else:
            near = difflib.get_close_matches(name, [*SETS, *problem.names], n=1)
            raise WorkbenchError(
                f'Problem {problem.id} has no node "{name}".',
                f"Sets of nodes are {', '.join(SETS)}.",
                f'Did you mean "{near[0]}"?' if near else "Use one of these, a node's name, or its number.",
            )
    return torch.tensor(sorted(found), dtype=torch.long)


def node_name(problem: Problem, node: int) -> str:
    """Return what `members` knows a node by: its name, or its number where the name means something else."""
    name = problem.names[node]
    return str(node) if name in SETS else name


def node_values(context: Context, row: int, k: int) -> Float[np.ndarray, " nodes"]:
    """Return the LM-head value of each node in thought k without interventions; zeros beyond the last thought."""
    prompt = context.prompts[row]
    if k > context.values.shape[1]:
        return np.zeros(len(prompt.nodes))
    return first_token_shares(context.values[row, k - 1].double().cpu().numpy(), prompt)


def _ranked(context: Context, row: int, k: int) -> Float[np.ndarray, " nodes"]:
    """Return values rounded, so that the last bits, which depend on the batch, decide nothing."""
    return node_values(context, row, k).round(6)


def _named(context: Context, row: int, problem: Problem, k: int, name: str) -> list[int]:
    about, hop = structure(problem), context.hop(k)
    here = about.frontier(hop)
    if name == "off_path":
        return _beside(context, row, problem, hop)
    if name == "all_off_path":
        return [node for h in range(1, about.length) for node in _beside(context, row, problem, h)]
    if name == "top":
        return [int(np.where(about.concepts, _ranked(context, row, k), -1).argmax())]
    if name == "other_side":
        return _other_side(problem, hop)
    alone = {"root": problem.root, "target": problem.target, "negative": problem.negative}
    if name in alone:
        return [alone[name]]
    not_named = np.ones(len(here), dtype=bool)
    not_named[[problem.root, problem.target]] = False
    negative = np.arange(len(here)) == problem.negative
    chosen = {
        "frontier": here,
        "optimal": here & about.optimal,
        "on_path": here & about.optimal & not_named,
        "all_on_path": about.optimal & not_named,
        "reachable": about.concepts & about.reachable,
        "distractor": about.concepts & ~about.reachable & ~negative,
        "concepts": about.concepts,
    }[name]
    return np.flatnonzero(chosen).tolist()


def _beside(context: Context, row: int, problem: Problem, hop: int) -> list[int]:
    """Pair each optimal node at a hop, the target apart, with another node there of the nearest value."""
    about = structure(problem)
    here = about.frontier(hop)
    on = np.flatnonzero(here & about.optimal & (np.arange(len(here)) != problem.target))
    off = np.flatnonzero(here & ~about.optimal)
    # The first thought that stands for the hop.
    values = _ranked(context, row, (hop - 1) * context.checkpoint.thoughts_per_step + 1)
    _, chosen = linear_sum_assignment(np.abs(values[on][:, None] - values[off]))
    return off[chosen].tolist()


@lru_cache(maxsize=4096)
def _other_side(problem: Problem, hop: int) -> list[int]:
    twin = entity_swap(problem)
    if twin is None:
        return []
    about = structure(twin)
    chosen = about.optimal & about.frontier(hop) & ~structure(problem).reachable
    chosen[problem.negative] = False
    return np.flatnonzero(chosen).tolist()
