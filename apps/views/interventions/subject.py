"""What comes of a plan on one problem or on many: run once and kept, keyed by content as in `cache`."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from apps import cache
from apps.state import Run
from workbench.api import plan_inputs
from workbench.interventions.base import Control
from workbench.interventions.controls import answered, strength_curve, without_effect
from workbench.interventions.plan import Plan, affected_region
from workbench.interventions.text import to_address
from workbench.measure.effects import downstream, on_each
from workbench.measure.trace import Trace
from workbench.measure.trace import run as run_plan
from workbench.problems.problem import Problem
from workbench.readings.node_vectors import codes_of, decomposition

DRAWS, DRAWS_BY_STRENGTH = 8, 4
"""Draws of the control: of a plan, and at each strength of a curve."""
STEPS = 8
"""Strengths above none on the curve."""


@dataclass(frozen=True)
class Subject:
    """A run on one problem, and the set that the problem is of."""

    run: Run
    problem: Problem
    set: Path | None
    """None where it is of no file: pasted, uploaded, drawn."""

    @property
    def others(self) -> tuple[Problem, ...]:
        """The other problems of the set, in its order."""
        return tuple(one for one in self.items if one.id != self.problem.id)

    @property
    def items(self) -> tuple[Problem, ...]:
        """The problems of the set, none where there is no set."""
        return cache.problems(self.set) if self.set else ()

    def key(self, plan: Plan) -> tuple[Hashable, ...]:
        """Return what a plan on the problem is known by."""
        return (*cache.run_key(self.run, self.problem), cache.set_key(self.items), to_address(plan))

    def traces(self, plan: Plan) -> tuple[Trace, Trace, pl.DataFrame]:
        """Return the runs without and with a plan, and what changed from the one to the other.

        Raises:
            WorkbenchError: The plan cannot be made on this problem.
        """
        before, after = self._trace(without_effect(plan)), self._trace(plan)
        around = affected_region(plan, self.run.thoughts, self.run.checkpoint.pause is not None)
        return before, after, downstream(before, after, around)

    def answers(self, plan: Plan, control: Control | None) -> pl.DataFrame:
        """Return the answers without and with a plan and under its controls, as `controls.answered` does."""
        return cache.kept(
            "control answers", (*self.key(plan), control),
            lambda: answered(
                self.run.checkpoint, self.problem, plan, self.run.thoughts, control, DRAWS, **self._given(plan)
            ),
            "The model and its controls are answering ...",
        )  # fmt: skip

    def by_strength(self, plan: Plan, place: int, most: float, control: Control | None) -> pl.DataFrame:
        """Return the answers at strengths from none to the most of one intervention, as `strength_curve` does."""
        strengths = [most * step / STEPS for step in range(STEPS + 1)]
        return cache.kept(
            "by strength", (*self.key(plan), place, most, control),
            lambda: strength_curve(
                self.run.checkpoint, self.problem, plan, place, strengths, self.run.thoughts, control,
                DRAWS_BY_STRENGTH, **self._given(plan),
            ),
            "Answering at every strength ...",
        )  # fmt: skip

    def as_sum(self, plan: Plan) -> tuple[Any, Any, Any]:
        """Return the thoughts under a plan as sums of node codes, as `node_vectors.decomposition` does.

        Raises:
            WorkbenchError: The plan cannot be made, or no problems can be generated to learn codes from.
        """

        def make() -> tuple[Any, Any, Any]:
            run, about = self.run, self.items or (self.problem,)
            fed = self._trace(plan).as_fed
            return decomposition(run.checkpoint, self.problem, fed, codes_of(run.checkpoint, about, run.thoughts))

        return cache.kept("as a sum", self.key(plan), make, "Learning one vector per node ...")

    def known_on_set(self, plan: Plan, control: Control | None, count: int) -> bool:
        """Return whether the plan has been made on so many problems already."""
        return cache.known("over a set", self._set_key(plan, control, count)) is not None

    def on_set(
        self, plan: Plan, control: Control | None, count: int, on_progress: Callable[[int], None]
    ) -> pl.DataFrame:
        """Return what a plan does on the first problems of the set, as `effects.on_each` does.

        Raises:
            WorkbenchError: It can be made on none of them.
        """
        return cache.kept("over a set", self._set_key(plan, control, count), lambda: on_each(
            self.run.checkpoint, self.items[:count], plan, self.run.thoughts, control,
            sources_of=lambda problem: Subject(self.run, problem, self.set)._given(plan)["sources"],
            on_progress=on_progress,
        ))  # fmt: skip

    def _trace(self, plan: Plan) -> Trace:
        return cache.kept(
            "intervened", self.key(plan),
            lambda: next(run_plan(
                self.run.checkpoint, [self.problem], self.run.thoughts, interventions=plan, **self._given(plan)
            )),
            "The model is thinking ...",
        )  # fmt: skip

    def _set_key(self, plan: Plan, control: Control | None, count: int) -> tuple[Hashable, ...]:
        content = cache.fingerprint(self.run.path), cache.set_key(self.items), self.run.thoughts
        return (*content, to_address(plan), control, count)

    def _given(self, plan: Plan) -> dict[str, Any]:
        """Return the sources, the thoughts of the set and the codes that a plan asks for."""
        with st.spinner("Preparing what the plan names ..."):
            return plan_inputs(self.run.checkpoint, self.problem, plan, self.run.thoughts, self.others)
