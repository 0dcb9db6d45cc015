"""A plan: interventions one after the other, in the loop or with the later thoughts frozen.

The affected region of a plan: which thoughts, and what is said after how many of them, can differ at all.

A pass sees only what stands before it. So all that comes before the first thought operated on keeps its last bit, and
what can differ is known from the plan alone, before anything is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from workbench.errors import WorkbenchError
from workbench.interventions.base import Intervention
from workbench.interventions.layers import LayerIntervention
from workbench.interventions.thoughts import Remove

MOST_INTERVENTIONS = 32


@dataclass(frozen=True)
class Plan:
    """What is changed in one run.

    Raises:
        WorkbenchError: There are too many interventions.
    """

    interventions: tuple[Intervention, ...] = ()
    """Made one after the other."""
    frozen: bool = False
    """Whether every thought is what it was without interventions before they act on it. In the loop, the default, the
    thoughts after a changed one change with it."""

    def __post_init__(self) -> None:
        """Refuse lists without end."""
        if len(self.interventions) > MOST_INTERVENTIONS:
            raise WorkbenchError(
                f"A surgery cannot have {len(self.interventions)} interventions.",
                f"It may have {MOST_INTERVENTIONS}.",
                "Leave some out.",
            )

    @property
    def fed(self) -> list[Intervention]:
        """The interventions that change what is fed."""
        return [one for one in self.interventions if not isinstance(one, Remove | LayerIntervention)]

    @property
    def inside(self) -> list[LayerIntervention]:
        """The interventions that act inside the layers."""
        return [one for one in self.interventions if isinstance(one, LayerIntervention)]

    def without(self, count: int) -> set[int]:
        """Return the numbers of the thoughts removed, of so many."""
        removing = [one for one in self.interventions if isinstance(one, Remove)]
        return {k for k in range(1, count + 1) for one in removing if one.acts_on(k)}


def as_plan(given: Plan | Sequence[Intervention]) -> Plan:
    """Return a list of interventions as a plan in the loop; a plan as it is."""
    return given if isinstance(given, Plan) else Plan(tuple(given))


@dataclass(frozen=True)
class AffectedRegion:
    """What can differ from the run without the plan, for thoughts 1..K and after 0..K of them."""

    operated: Bool[np.ndarray, " K"]
    """Whether an intervention acts at thought k."""
    thoughts: Bool[np.ndarray, " K"]
    """Whether thought k, as a trace holds it, can differ."""
    said: Bool[np.ndarray, " depths"]
    """Whether what is said after k thoughts can differ, the prompt's reading aside, which never does."""


def affected_region(plan: Plan, count: int, pause: bool = False) -> AffectedRegion:
    """Return the affected region of a plan.

    Args:
        plan: What is done.
        count: Number of thoughts, K.
        pause: Whether the model feeds a pause token in place of thoughts. A trace then holds the hidden states that
            would have been fed, which follow all that stands before them even where what is fed is frozen.
    """
    fed, column = np.zeros(count, bool), np.zeros(count, bool)
    spoken = False
    for one in plan.interventions:
        inside = isinstance(one, LayerIntervention)
        if inside and one.where == "answer":
            spoken = True
            continue
        spoken |= inside and one.where == "both"
        acts = np.array([one.acts_on(k) for k in range(1, count + 1)], bool)
        column |= acts
        # What is removed, or operated on inside the layers, is fed or would have been fed as it was.
        if not inside and not isinstance(one, Remove):
            fed |= acts
    after = np.concatenate([[False], np.logical_or.accumulate(column)])
    follows = after[:-1] & (pause or not plan.frozen)
    own = np.zeros(count, bool) if pause else fed
    return AffectedRegion(column, own | follows, after | spoken)
