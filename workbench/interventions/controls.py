"""Controls of a plan on one problem: the same done to other nodes, or a step as long in a random direction.

`answered` puts one problem's answers under a plan beside those without it and under its controls; `strength_curve` does
so at several strengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Unpack

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.interventions.base import Context, Control, Intervention
from workbench.interventions.nodes import members, node_name
from workbench.interventions.plan import Plan
from workbench.interventions.run import Given, InterventionRunner, run_intervened
from workbench.interventions.thoughts import Perturb
from workbench.model.checkpoint import Checkpoint
from workbench.problems.graph import structure
from workbench.problems.problem import Problem


def controls(
    checkpoint: Checkpoint,
    problem: Problem,
    plans: Sequence[Plan],
    thoughts: int,
    control: Control | None,
    draws: int = 8,
    *,
    seed: int = 0,
    **given: Unpack[Given],
) -> list[list[Plan]]:
    """Return the controls of each of several plans on one problem, each control with another draw.

    "other nodes": in place of each node that is named another one at the same hop, drawn at random: never root, target
    or negative, nor a node that the intervention names itself. Where a hop has no other left, any other concept.
    "random direction": in place of all changes to a thought one step as long as they together made it in the plan,
    in a random direction, in every thought that it changed.
    Thoughts that are removed, and what is done inside the layers, stay.

    Args:
        checkpoint: What runs.
        problem: The problem.
        plans: The plans; the same draws serve all of them.
        thoughts: Number of thoughts, K.
        control: Which kind; None for none.
        draws: How many at most for each; other nodes may be fewer than that.
        seed: Of the draws: with another one all of them are others.
        given: As for `run_intervened`.

    Returns:
        For each plan its controls, which all differ; none where it has no such control, or where it moves nothing.

    Raises:
        WorkbenchError: The plan cannot be done on this problem.
    """
    if control is None:
        return [[] for _ in plans]
    if control == "random direction":
        found = step_lengths(checkpoint, problem, plans, thoughts, **given)
        return [
            [stepping(plan, lengths, seed * draws + draw) for draw in range(draws)] if lengths else []
            for plan, lengths in zip(plans, found, strict=True)
        ]
    context = _context(checkpoint, problem, plans, thoughts)
    return [_all_with_other_nodes(plan, context, thoughts, draws, seed) for plan in plans]


def step_lengths(
    checkpoint: Checkpoint,
    problem: Problem,
    plans: Sequence[Plan],
    thoughts: int,
    **given: Unpack[Given],
) -> list[dict[int, float]]:
    """Return for each plan how far it moves each thought at the moment it acts, in lengths of that thought.

    Only thoughts that it moves are in the result.

    Raises:
        WorkbenchError: A plan cannot be done on this problem.
    """
    watched = [(_Watch(), one, _Watch()) for one in plans]
    between = [Plan((first, *one.interventions, last), one.freeze) for first, one, last in watched]
    run_intervened(checkpoint, [problem], between, thoughts, **given)
    found = []
    for first, _, last in watched:
        pairs = enumerate(zip(first.kept, last.kept, strict=True), 1)
        lengths = {k: float((new - old).norm() / old.norm()) for k, (old, new) in pairs}
        found.append({k: length for k, length in lengths.items() if length > 0})
    return found


def stepping(plan: Plan, lengths: dict[int, float], seed: int) -> Plan:
    """Return a plan with steps of these lengths in random directions in place of what changes what is fed."""
    # Lengths are given to six digits, so that thoughts moved alike share an intervention.
    by_length = groupby(sorted(lengths, key=lambda k: (round(lengths[k], 6), k)), lambda k: round(lengths[k], 6))
    steps = tuple(Perturb(length, seed, at=tuple(places)) for length, places in by_length)
    kept = tuple(one for one in plan.interventions if one not in plan.fed)
    return Plan((*steps, *kept), plan.freeze)


@torch.inference_mode()
def _context(checkpoint: Checkpoint, problem: Problem, plans: Sequence[Plan], thoughts: int) -> Context:
    fed = [Plan(tuple(plan.fed)) for plan in plans]
    runner, prompts = InterventionRunner(checkpoint, fed, thoughts), checkpoint.format.prompts([problem])
    return runner.context(runner.session(prompts, thoughts), prompts, [0])


def _all_with_other_nodes(plan: Plan, context: Context, thoughts: int, draws: int, seed: int) -> list[Plan]:
    """Return plans with other nodes, which all differ, also from the plan."""
    if "other nodes" not in plan.controls:
        return []
    randoms = (np.random.default_rng([seed, draw]) for draw in range(4 * draws))
    drawn = dict.fromkeys(_with_other_nodes(plan, context, thoughts, random) for random in randoms)
    return [one for one in drawn if one != plan][:draws]


def _with_other_nodes(plan: Plan, context: Context, thoughts: int, random: np.random.Generator) -> Plan:
    made: list[Intervention] = []
    for one in plan.interventions:
        if "other nodes" not in one.controls:
            made.append(one)
            continue
        drawn: dict[int, int] = {}
        acted = [(k, _others(one, context, k, drawn, random)) for k in range(1, thoughts + 1) if one.acts_on(k)]
        for named, places in groupby(acted, lambda pair: pair[1]):
            if named:  # none where the intervention does nothing at that thought
                made.append(replace(one, at=tuple(k for k, _ in places), **named))
    return Plan(tuple(made), plan.freeze)


def _others(
    one: Intervention, context: Context, k: int, drawn: dict[int, int], random: np.random.Generator
) -> dict[str, Any]:
    """Return the fields of an intervention at thought k with other nodes; `drawn` keeps who stands for whom."""
    problem = context.prompts[0].graph
    about = structure(problem)
    meant = {name: members(context, 0, k, getattr(one, name)).tolist() for name in one.node_fields}
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
class _Watch(Intervention, kind="watch"):
    """Keeps what passes by and changes nothing."""

    kept: list[Float[Tensor, " d"]] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        """Hold what no file could: nothing to check."""

    def change(self, context: Context, k: int, vectors: Float[Tensor, "batch d"]) -> Float[Tensor, "batch d"]:
        self.kept.append(vectors[0].double().clone())
        return vectors


BEFORE, INTERVENED, CONTROL = "without", "intervened", "control"
"""Series of the tables."""


def without_effect(plan: Plan) -> Plan:
    """Return a plan that changes nothing and runs on the same model as another.

    What acts inside the layers runs under TransformerLens, whose last bits differ from those of the live model.
    """
    return Plan(tuple(one.at_strength(0.0) for one in plan.inside))


def answered(
    checkpoint: Checkpoint,
    problem: Problem,
    plan: Plan,
    thoughts: int,
    control: Control | None = None,
    draws: int = 8,
    *,
    seed: int = 0,
    **given: Unpack[Given],
) -> pl.DataFrame:
    """Answer one problem without a plan, under it, and under its controls.

    Args:
        checkpoint: What runs.
        problem: The problem.
        plan: The plan.
        thoughts: Number of thoughts, K.
        control: Which kind of control; none for none.
        draws: Of the control, at most.
        seed: Of the control's draws.
        given: As for `run_intervened`.

    Returns:
        A row per series ("without", "intervened", "control") and draw: answer, right, valid, target, negative (the raw
        probabilities of the two options as the answer).

    Raises:
        WorkbenchError: The plan cannot be done on this problem.
    """
    (beside,) = controls(checkpoint, problem, [plan], thoughts, control, draws, seed=seed, **given)
    asked = [(BEFORE, without_effect(plan)), (INTERVENED, plan), *((CONTROL, one) for one in beside)]
    rows = [({"series": series, "draw": max(number - 2, 0)}, one) for number, (series, one) in enumerate(asked)]
    return _answers(checkpoint, problem, rows, thoughts, **given)


def with_strength(plan: Plan) -> list[int]:
    """Return the places of the interventions that have a strength."""
    return [place for place, one in enumerate(plan.interventions) if hasattr(one, "strength")]


def at_strength(plan: Plan, place: int, strength: float) -> Plan:
    """Return a plan with another strength of one intervention.

    Raises:
        WorkbenchError: That intervention has no strength.
    """
    other = plan.interventions[place].at_strength(strength)
    return Plan((*plan.interventions[:place], other, *plan.interventions[place + 1 :]), plan.freeze)


def strength_curve(
    checkpoint: Checkpoint,
    problem: Problem,
    plan: Plan,
    place: int,
    strengths: Sequence[float],
    thoughts: int,
    control: Control | None = None,
    draws: int = 4,
    **given: Unpack[Given],
) -> pl.DataFrame:
    """Answer one problem under a plan at several strengths of one of its interventions, and under controls at each.

    Args:
        checkpoint: What runs.
        problem: The problem.
        plan: The plan.
        place: Which intervention, from 0.
        strengths: The strengths.
        thoughts: Number of thoughts, K.
        control: Which kind of control; none for none. Each draw is the same at every strength.
        draws: Of the control, at most.
        given: As for `run_intervened`.

    Returns:
        A row per series ("intervened", "control"), strength and draw, with the columns of `answered`.

    Raises:
        WorkbenchError: The plan cannot be done on this problem, or the intervention has no strength.
    """
    each = [at_strength(plan, place, strength) for strength in strengths]
    beside = controls(checkpoint, problem, each, thoughts, control, draws, **given)
    rows = [
        ({"series": CONTROL if number else INTERVENED, "strength": float(strength), "draw": max(number - 1, 0)}, one)
        for strength, here, others in zip(strengths, each, beside, strict=True)
        for number, one in enumerate([here, *others])
    ]
    return _answers(checkpoint, problem, rows, thoughts, **given)


def _answers(
    checkpoint: Checkpoint, problem: Problem, rows: Sequence[tuple[dict[str, Any], Plan]], thoughts: int,
    **given: Unpack[Given],
) -> pl.DataFrame:  # fmt: skip
    """Return a row for each plan: what is given for it, and the answer."""
    outcomes = run_intervened(checkpoint, [problem], [plan for _, plan in rows], thoughts, **given)
    table = [
        about
        | {"answer": outcome.texts[0], "right": bool(outcome.right[0]), "valid": bool(outcome.valid[0])}
        | {"target": float(np.exp(outcome.target[0])), "negative": float(np.exp(outcome.negative[0]))}
        for (about, _), outcome in zip(rows, outcomes, strict=True)
    ]
    return pl.DataFrame(table, infer_schema_length=None)
