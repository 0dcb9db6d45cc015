"""Controls of a surgery on one problem: the same dose given to other nodes, or a step as long in a random direction."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from workbench.checkpoint import Checkpoint
from workbench.coconut import Edit
from workbench.graph import structure
from workbench.interventions.node_sets import members, node_name
from workbench.interventions.perturbing import Perturb
from workbench.interventions.running import run_intervened
from workbench.interventions.scene import Bank, Intervention, Scene
from workbench.interventions.surgery import Surgery
from workbench.interventions.theatre import Donors, Theatre
from workbench.problem import Problem

Control = Literal["other nodes", "random direction"]

_NODES = ("nodes", "to")
"""Fields that name nodes."""


def controls_of(surgery: Surgery) -> tuple[Control, ...]:
    """Return which controls there are for a surgery, the closer one first."""
    named = [one for one in surgery.fed if hasattr(one, "nodes")]
    return (*(("other nodes",) if named else ()), *(("random direction",) if surgery.fed else ()))


def controls(
    checkpoint: Checkpoint,
    problem: Problem,
    surgeries: Sequence[Surgery],
    thoughts: int,
    control: Control,
    draws: int = 8,
    *,
    donors: Donors | None = None,
    bank: Bank | None = None,
    seed: int = 0,
) -> list[list[Surgery]]:
    """Return the controls of each of several surgeries on one problem, each control with another draw.

    "other nodes": in place of each node that is named another one at the same hop, drawn at random: never root, target
    or negative, nor a node that the intervention names itself. Where a hop has no other left, any other concept.
    "random direction": in place of all changes to a thought one step as long as they together made it in the surgery,
    in a random direction, in every thought that it changed.
    Thoughts that are removed, and what is done inside the layers, stay.

    Args:
        checkpoint: What is operated on.
        problem: The problem.
        surgeries: The surgeries; the same draws serve all of them.
        thoughts: Number of thoughts, K.
        control: Which kind.
        draws: How many at most for each; other nodes may be fewer than that.
        donors: As for `run_intervened`.
        bank: As for `run_intervened`.
        seed: Of the draws: with another one all of them are others.

    Returns:
        For each surgery its controls, which all differ; none where it has no such control, or where it moves nothing.

    Raises:
        WorkbenchError: The surgery cannot be done on this problem.
    """
    if control == "random direction":
        found = step_lengths(checkpoint, problem, surgeries, thoughts, donors=donors, bank=bank)
        return [
            [stepping(surgery, lengths, seed * draws + draw) for draw in range(draws)] if lengths else []
            for surgery, lengths in zip(surgeries, found, strict=True)
        ]
    scene = _scene(checkpoint, problem, surgeries, thoughts)
    return [_all_with_other_nodes(surgery, scene, thoughts, draws, seed) for surgery in surgeries]


def step_lengths(
    checkpoint: Checkpoint,
    problem: Problem,
    surgeries: Sequence[Surgery],
    thoughts: int,
    *,
    donors: Donors | None = None,
    bank: Bank | None = None,
) -> list[dict[int, float]]:
    """Return for each surgery how far it moves each thought at the moment it acts, in lengths of that thought.

    Only thoughts that it moves are in the result.

    Raises:
        WorkbenchError: A surgery cannot be done on this problem.
    """
    watched = [(_Watch(), one, _Watch()) for one in surgeries]
    run_intervened(
        checkpoint, [problem],
        [Surgery((first, *one.interventions, last), one.frozen) for first, one, last in watched],
        thoughts, donors=donors, bank=bank,
    )  # fmt: skip
    found = []
    for first, _, last in watched:
        pairs = enumerate(zip(first.kept, last.kept, strict=True), 1)
        lengths = {k: float((new - old).norm() / old.norm()) for k, (old, new) in pairs}
        found.append({k: length for k, length in lengths.items() if length > 0})
    return found


def stepping(surgery: Surgery, lengths: dict[int, float], seed: int) -> Surgery:
    """Return a surgery with steps of these lengths in random directions in place of what changes what is fed."""
    # Lengths are given to six digits, so that thoughts moved alike share an intervention.
    by_length = groupby(sorted(lengths, key=lambda k: (round(lengths[k], 6), k)), lambda k: round(lengths[k], 6))
    steps = tuple(Perturb(length, seed, at=tuple(places)) for length, places in by_length)
    kept = tuple(one for one in surgery.interventions if one not in surgery.fed)
    return Surgery((*steps, *kept), surgery.frozen)


def _scene(checkpoint: Checkpoint, problem: Problem, surgeries: Sequence[Surgery], thoughts: int) -> Scene:
    fed = [Surgery(tuple(surgery.fed)) for surgery in surgeries]
    theatre, prompts = Theatre(checkpoint, fed, thoughts), checkpoint.format.prompts([problem])
    return theatre.scene(theatre.session(prompts, thoughts), prompts, [0])


def _all_with_other_nodes(surgery: Surgery, scene: Scene, thoughts: int, draws: int, seed: int) -> list[Surgery]:
    found: list[Surgery] = []
    if "other nodes" not in controls_of(surgery):
        return found
    for draw in range(4 * draws):
        drawn = _with_other_nodes(surgery, scene, thoughts, np.random.default_rng([seed, draw]))
        if drawn not in [*found, surgery] and len(found) < draws:
            found.append(drawn)
    return found


def _with_other_nodes(surgery: Surgery, scene: Scene, thoughts: int, random: np.random.Generator) -> Surgery:
    made: list[Intervention] = []
    for one in surgery.interventions:
        if one not in surgery.fed or not hasattr(one, "nodes"):
            made.append(one)
            continue
        drawn: dict[int, int] = {}
        acted = [(k, _others(one, scene, k, drawn, random)) for k in range(1, thoughts + 1) if one.acts_on(k)]
        for named, places in groupby(acted, lambda pair: pair[1]):
            if named:  # none where the intervention does nothing at that thought
                made.append(replace(one, at=tuple(k for k, _ in places), **named))
    return Surgery(tuple(made), surgery.frozen)


def _others(
    one: Intervention, scene: Scene, k: int, drawn: dict[int, int], random: np.random.Generator
) -> dict[str, Any]:
    """Return the fields of an intervention at thought k with other nodes; `drawn` keeps who stands for whom."""
    problem = scene.prompts[0].graph
    about, names = structure(problem), [one_field.name for one_field in fields(one) if one_field.name in _NODES]
    meant = {name: members(scene, 0, k, getattr(one, name)).tolist() for name in names}
    if not all(meant.values()):
        return {}
    taken = {problem.root, *problem.options, *(node for nodes in meant.values() for node in nodes)}
    found: dict[str, Any] = {}
    for name, nodes in meant.items():
        chosen = []
        for node in nodes:
            if drawn.get(node, node) in taken:
                free = [other for other in np.flatnonzero(about.concepts).tolist() if other not in taken]
                near = [other for other in free if about.hops[other] == about.hops[node]]
                if not free:
                    continue
                drawn[node] = int(random.choice(near or free))
            taken.add(drawn[node])
            chosen.append(drawn[node])
        found[name] = tuple(node_name(problem, other) for other in sorted(chosen))
    return found


@dataclass(frozen=True)
class _Watch(Intervention):
    """Keeps what passes by and changes nothing."""

    kind: ClassVar[str] = "watch"
    kept: list[Float[Tensor, " d"]] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        """Hold what no file could: nothing to check."""

    def change(self, scene: Scene) -> Edit:
        def edit(k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
            self.kept.append(vectors[0].double().clone())
            return vectors

        return edit
