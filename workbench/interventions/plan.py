"""A plan: interventions made one after the other, and what they can change at all.

A pass sees only what stands before it. So all that comes before the first changed thought keeps its last bit, and what
can differ is known from the plan alone, before anything is run: the affected region.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool

from workbench.errors import WorkbenchError
from workbench.interventions.base import Control, Intervention
from workbench.interventions.layers import Knockout, LayerIntervention

MOST_INTERVENTIONS = 32


@dataclass(frozen=True)
class Plan:
    """What is changed in one run.

    Raises:
        WorkbenchError: There are too many interventions.

    Examples:
        >>> plan = wb.Plan((wb.Zero(at=(1,)), wb.Noise(at=(2,))), freeze=True)
        >>> wb.load("reference_asked").answer(wb.load_problems("balanced", 4), plan)
        4 answers, accuracy 1.000 [0.015, 1.000]
    """

    interventions: tuple[Intervention, ...] = ()
    """Made one after the other."""
    freeze: bool = False
    """Whether every thought is put back to what it was without interventions before they act on it. By default changes
    propagate: the thoughts after a changed one change with it."""

    def __post_init__(self) -> None:
        """Refuse lists without end."""
        if len(self.interventions) > MOST_INTERVENTIONS:
            raise WorkbenchError(
                f"A plan cannot have {len(self.interventions)} interventions.",
                f"It may have {MOST_INTERVENTIONS}.",
                "Leave some out.",
            )

    @property
    def fed(self) -> list[Intervention]:
        """The interventions that change what is fed."""
        return [one for one in self.interventions if one.changes == "fed"]

    @property
    def inside(self) -> list[LayerIntervention]:
        """The interventions that act inside the layers."""
        return [one for one in self.interventions if isinstance(one, LayerIntervention)]

    def without(self, count: int) -> set[int]:
        """Return the numbers of the thoughts removed, of so many."""
        removing = [one for one in self.interventions if one.changes == "columns"]
        return {k for k in range(1, count + 1) for one in removing if one.acts_on(k)}

    @property
    def needs_set(self) -> bool:
        """Whether an intervention needs what was thought about the whole set."""
        return any(one.needs_set for one in self.interventions)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the runs that thoughts or activations are taken from, sorted; "own" needs none."""
        return tuple(sorted({name for one in self.interventions for name in one.sources}))

    @property
    def controls(self) -> tuple[Control, ...]:
        """Which controls there are, the closer one first."""
        had = {name for one in self.interventions for name in one.controls}
        return tuple(name for name in get_args(Control) if name in had)


def as_plan(given: Plan | Sequence[Intervention]) -> Plan:
    """Return a list of interventions as a plan that propagates; a plan as it is."""
    return given if isinstance(given, Plan) else Plan(tuple(given))


@dataclass(frozen=True)
class AffectedRegion:
    """What can differ from the run without the plan, for thoughts 1..K and after 0..K of them."""

    intervened: Bool[np.ndarray, " K"]
    """Whether an intervention acts at thought k."""
    thoughts: Bool[np.ndarray, " K"]
    """Whether thought k, as a trace holds it, can differ."""
    said: Bool[np.ndarray, " depths"]
    """Whether what is said after k thoughts can differ."""


def affected_region(plan: Plan, count: int, pause: bool = False) -> AffectedRegion:
    """Return the affected region of a plan.

    Args:
        plan: What is done.
        count: Number of thoughts, K.
        pause: Whether the model feeds a pause token in place of thoughts. A trace then holds the hidden states that
            would have been fed, which follow all that stands before them even where what is fed is frozen.
    """
    fed, begins = np.zeros(count, bool), np.zeros(count + 1, bool)
    intervened, spoken = np.zeros(count, bool), False
    for one in plan.interventions:
        where = one.where if isinstance(one, LayerIntervention) else "thoughts"
        spoken |= where != "thoughts"
        if where == "answer":
            continue
        acts = np.array([one.acts_on(k) for k in range(1, count + 1)], bool)
        intervened |= acts
        # Column k holds thought k, column 0 the end of the prompt; column k - 1 makes thought k.
        making = isinstance(one, Knockout) and one.making
        begins |= np.append(acts, False) if making else np.insert(acts, 0, False)
        # What is removed, or acted on inside the layers, is fed or would have been fed as it was.
        if one.changes == "fed":
            fed |= acts
    after = np.logical_or.accumulate(begins)
    follows = after[:-1] & (pause or not plan.freeze)
    own = np.zeros(count, bool) if pause else fed
    return AffectedRegion(intervened, own | follows, after | spoken)
