"""What can be done to a thought on the page *Plan*: each operation with its boxes and its words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.interventions.base import Intervention
from workbench.interventions.layers import Ablate, Knockout, LayerIntervention, Patch
from workbench.interventions.thoughts import (
    Add,
    Interpolate,
    Mean,
    Move,
    Noise,
    Permute,
    Perturb,
    Project,
    Remove,
    Shuffle,
    Superpose,
    Transplant,
    Zero,
)

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
    if thought or chosen["dose"] == 1:
        return Transplant(donor, thought, at=chosen["at"])
    return Interpolate(donor, chosen["dose"], "line", at=chosen["at"])


def _directions(chosen: Chosen) -> dict[str, Any]:
    return {name: chosen[name] for name in ("nodes", "space", "dose", "at")}


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

UNITS: dict[str, str] = {
    "project": "share of the component taken out (2 turns it round)",
    "add": "length added, in lengths of the thought",
    "move": "share of the component moved",
    "superpose": "share of the superposition",
    "transplant": "share of the donor's thought",
    "interpolate": "share of the donor's thought",
    "noise": "share of noise",
    "perturb": "length of the step, in lengths of the thought",
    "zero": "share of the thought taken away (2 turns it round)",
    "mean": "share of the mean",
    "knockout": "share of the attention cut",
    "ablate": "share ablated",
    "patch": "share patched in",
}
"""What a dose is, by kind."""


def said(one: Intervention, thoughts: int) -> str:
    """Return an intervention in a few words, for a run of so many thoughts."""
    return f"{_deed(one)} {_where(one, thoughts)}{_dose(one)}"


def _deed(one: Intervention) -> str:
    match one:
        case Project():
            return f"remove {_named(one.nodes)}{_space(one.space)}"
        case Add():
            return f"add {_named(one.nodes)}{_space(one.space)}"
        case Move():
            return f"move {_named(one.nodes)} to {_named(one.to)}{_space(one.space)}"
        case Superpose():
            how = ", ".join([one.weights, *(["the rest kept"] if one.rest else [])])
            return f"superposition of {_named(one.nodes)}{_space(one.space)} ({how})"
        case Transplant(thought=0):
            return f"the thought of {_who(one.donor)}"
        case Transplant():
            return f"thought {one.thought} of {_who(one.donor)}"
        case Interpolate():
            return f"a step towards the thought of {_who(one.donor)}"
        case Noise():
            return f"noise (seed {one.seed})"
        case Remove():
            return "leave out"
        case Zero():
            return "nothing"
        case Mean():
            return "the mean over the set"
        case Permute():
            return "another thought of its own"
        case Shuffle():
            return "the thought of another problem"
        case Perturb():
            return f"a step in a random direction (seed {one.seed})"
        case Ablate():
            return f"{one.part} set to {one.to}{_layers(one)}"
        case Patch():
            return f"{one.part} of {_who(one.donor)}{_layers(one)}"
        case Knockout():
            return f"no attention to {', '.join(one.to)}{_layers(one)}"
        case _:
            return one.kind


def _where(one: Intervention, thoughts: int) -> str:
    if isinstance(one, LayerIntervention) and one.where == "answer":
        return "while it answers"
    also = " and while it answers" if isinstance(one, LayerIntervention) and one.where == "both" else ""
    inside = _preposition(one)
    places = [k for k in range(1, thoughts + 1) if one.acts_on(k)]
    if len(places) == thoughts:
        return f"{inside}every thought{also}"
    if len(places) > 2 and places == list(range(places[0], places[-1] + 1)):
        return f"{inside}thoughts {places[0]} to {places[-1]}{also}"
    if not places:
        return f"in thought {', '.join(map(str, one.at))}, which this run does not think"
    return f"{inside}thought{'s' if len(places) > 1 else ''} {' and '.join(map(str, places))}{also}"


def _preposition(one: Intervention) -> str:
    match one:
        case Project():
            return "out of "
        case Remove():
            return ""
        case Transplant() | Superpose() | Mean() | Permute() | Shuffle() | Zero():
            return "in place of "
        case _:
            return "in "


def _named(nodes: tuple[str, ...]) -> str:
    return " + ".join(nodes) or "nothing"


def _layers(one: LayerIntervention) -> str:
    return f" in layer {', '.join(map(str, one.layers))}" if one.layers else ""


def _who(donor: str) -> str:
    return {"twin": "the twin", "own": "its own run"}.get(donor, donor)


def _space(space: str) -> str:
    return "" if space == "embedding" else f" ({space})"


def _dose(one: Intervention) -> str:
    dose = getattr(one, "dose", 1.0)
    return "" if dose == 1 else f", dose {dose:g}"
