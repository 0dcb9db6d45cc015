"""What stands before a thought, by name: the columns that attention can be cut from."""

import difflib
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.graph import structure
from workbench.interventions.scene import Scene
from workbench.places import Places, Span, places
from workbench.problem import Problem
from workbench.prompts import Format, Prompt
from workbench.session import Session

PARTS: dict[str, str] = {
    "prompt": "All tokens of the prompt.",
    "thoughts": "The thoughts fed so far, the column itself not counted.",
    "edges": "The sentences of all edges.",
    "path_edges": "Those on a shortest path from root to target.",
    "other_edges": "Those on none.",
    "frontier_edges": "Those that leave a node at hop k, which thought k is to follow; none at what is said.",
    "options": "The two options in the question.",
    "root": "The root in the question.",
}
"""What each name stands for, at thought k that stands for hop k, or at what is said after the thoughts."""


def columns_of(scene: Scene, session: Session, names: Sequence[str], width: int) -> Bool[Tensor, "batch width"]:
    """Return which columns are meant at the pass under way, of as many as it can see.

    Args:
        scene: The batch.
        session: What runs it.
        names: Of `PARTS`, or "edge-NUMBER".
        width: Number of columns, those of the pass itself included.

    Raises:
        WorkbenchError: There is no such part or edge.
    """
    meant = torch.zeros(len(scene.prompts), width, dtype=torch.bool)
    fed = width - 1 if session.feeding else session.end
    for row, prompt in enumerate(scene.prompts):
        pad = session.begin - len(prompt.ids)
        for name in names:
            if name == "prompt":
                meant[row, pad : session.begin] = True
            elif name == "thoughts":
                meant[row, session.begin : fed] = True
            else:
                for start, end in _spans(scene, prompt, session.feeding, name):
                    meant[row, pad + start : pad + end] = True
    return meant.to(session.mask.device)


def _spans(scene: Scene, prompt: Prompt, k: int, name: str) -> list[Span]:
    stands, problem = _places(scene.checkpoint.format, prompt), prompt.graph
    if name == "options":
        return list(stands.options)
    if name == "root":
        return [stands.root]
    return [stands.edges[edge] for edge in _edges(problem, scene.hop(k), name)]


def _edges(problem: Problem, hop: int, name: str) -> list[int]:
    """Return the numbers of the edges that a name stands for."""
    about, count = structure(problem), range(len(problem.edges))
    on_path = [
        bool(about.optimal[source] and about.optimal[target] and about.hops[target] == about.hops[source] + 1)
        for source, target in problem.edges
    ]
    kind, _, number = name.partition("-")
    if kind == "edge" and number.isdecimal() and int(number) in count:
        return [int(number)]
    if name == "edges":
        return list(count)
    if name in ("path_edges", "other_edges"):
        return [edge for edge in count if on_path[edge] == (name == "path_edges")]
    if name == "frontier_edges":
        return [edge for edge in count if hop > 0 and about.hops[problem.edges[edge][0]] == hop]
    near = difflib.get_close_matches(name, PARTS, n=1)
    raise WorkbenchError(
        f'Problem {problem.id} has no part "{name}".',
        f"Parts are {', '.join(PARTS)}, and edge-0 to edge-{len(problem.edges) - 1}.",
        f'Did you mean "{near[0]}"?' if near else "Choose one of these.",
    )


@lru_cache(maxsize=4096)
def _places(form: Format, prompt: Prompt) -> Places:
    return places(form, prompt)
