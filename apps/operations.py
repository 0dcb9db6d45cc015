"""What can be done to a thought on the page *Plan*: each operation with its boxes and its words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.interventions.base import Intervention
from workbench.interventions.thoughts import Add, Move, Noise, Patch, Project, Remove, Superpose, Zero

Chosen = Mapping[str, Any]
"""What the boxes hold, by field."""


@dataclass(frozen=True)
class Operation:
    """An operation as the page offers it."""

    title: str
    button: str
    """What the button that does it says."""
    what: str
    fields: tuple[str, ...]
    """Its boxes, of "nodes", "to", "donor", "weights", "rest", "space", "seed", "dose"."""
    make: Callable[[Chosen], Intervention]
    most: float = 1.0
    """Largest dose of the slider."""


def _swap(chosen: Chosen) -> Intervention:
    donor, thought = chosen["donor"]
    return Patch(donor, thought, 1.0 if thought else chosen["dose"], at=chosen["at"])


def _directions(chosen: Chosen) -> dict[str, Any]:
    return {name: chosen[name] for name in ("nodes", "space", "at")} | {"strength": chosen["dose"]}


OPERATIONS: dict[str, Operation] = {
    one.title: one
    for one in (
        Operation(
            "Remove node", "Remove", "The direction of the node is projected out of the thought: what is left is "
            "orthogonal to it. Of several, their span.",
            ("nodes", "space", "dose"), lambda chosen: Project(**_directions(chosen)), 2.0,
        ),
        Operation(
            "Add node", "Add", "The direction of the node is added to the thought.",
            ("nodes", "space", "dose"), lambda chosen: Add(**_directions(chosen)), 2.0,
        ),
        Operation(
            "Move value", "Move", "The component along one node is taken out and put along another.",
            ("nodes", "to", "space", "dose"), lambda chosen: Move(to=chosen["to"], **_directions(chosen)), 2.0,
        ),
        Operation(
            "Superpose", "Superpose", "The sum of the directions of a set of nodes and nothing else, as long as the "
            "thought: what theory says a thought is (arXiv 2505.12514).",
            ("nodes", "weights", "rest", "space", "dose"),
            lambda chosen: Superpose(weights=chosen["weights"], rest=chosen["rest"], **_directions(chosen)),
        ),
        Operation(
            "Swap in", "Swap in", "The thought of another run: of the entity-swapped twin, whose question asks about "
            "another entity so that the other option is right; of another problem of the set; or another thought of "
            "this one.",
            ("donor", "dose"), _swap,
        ),
        Operation(
            "Noise", "Add noise", "The thought moved towards a random direction, its length kept.",
            ("seed", "dose"), lambda chosen: Noise(chosen["dose"], chosen["seed"], at=chosen["at"]),
        ),
        Operation(
            "Zero", "Zero", "The thought scaled down: at dose 1 the zero vector is fed.",
            ("dose",), lambda chosen: Zero(chosen["dose"], at=chosen["at"]), 2.0,
        ),
        Operation(
            "Leave out", "Leave out", "The thought is not fed at all, and positions close up.",
            (), lambda chosen: Remove(at=chosen["at"]),
        ),
    )
}  # fmt: skip
"""By title, in order."""
