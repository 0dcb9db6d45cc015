"""What comes of a plan: run once and kept, keyed by content as in `caches`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from apps import caches
from apps.view import Run
from workbench import catalog
from workbench.errors import WorkbenchError
from workbench.interventions.base import Control, Intervention
from workbench.interventions.controls import answered, strength_curve, unoperated
from workbench.interventions.plan import Plan, affected_region
from workbench.interventions.run import think_about
from workbench.interventions.text import from_address, to_address
from workbench.measure.effects import downstream, on_each
from workbench.measure.trace import Trace, run
from workbench.problems.problem import Problem
from workbench.problems.variants import entity_swap

TWIN = "twin"
OTHERS = 100
"""Problems that means and shuffles are taken over, this one included."""
DRAWS, DRAWS_BY_DOSE = 8, 4
MOST_SETS = 64
"""Tables of many problems that are kept."""
STEPS = 8
"""Doses above none on the curve."""


@dataclass(frozen=True)
class Patient:
    """A run on one problem, and the set that the problem is of."""

    run: Run
    problem: Problem
    set: Path | None
    """None where it is of no file: pasted, uploaded, drawn."""

    @property
    def others(self) -> tuple[Problem, ...]:
        """The other problems of the set, in its order."""
        return tuple(one for one in caches.problems(self.set) if one.id != self.problem.id) if self.set else ()


def patient(run: Run, problem: Problem) -> Patient:
    """Return the run and problem chosen, with the set that the box of sets shows."""
    return Patient(run, problem, catalog.problem_sets().get(str(st.session_state.get("set"))))


def pair(who: Patient, plan: Plan) -> tuple[Trace, Trace, pl.DataFrame]:
    """Return the runs without and under a plan, and what changed from the one to the other.

    Raises:
        WorkbenchError: The plan cannot be done on this problem.
    """
    before, after = (_trace(*_key(who, one), who) for one in (unoperated(plan), plan))
    around = affected_region(plan, who.run.thoughts, who.run.checkpoint.pause is not None)
    return before, after, downstream(before, after, around)


def answers(who: Patient, plan: Plan, control: Control | None) -> pl.DataFrame:
    """Return the answers without and under a plan and under its controls, as `dosing.answered` does."""
    return _answers(*_key(who, plan), control, who)


def by_dose(who: Patient, plan: Plan, place: int, most: float, control: Control | None) -> pl.DataFrame:
    """Return the answers at doses from none to the most of one intervention, as `dosing.dose_curve` does."""
    return _by_dose(*_key(who, plan), place, most, control, who)


def most(one: Intervention) -> float:
    """Return where a curve of an intervention's doses ends."""
    return one.most


def known_of_set(who: Patient, plan: Plan, control: Control | None, count: int) -> pl.DataFrame | None:
    """Return the table of many problems if it has been made already."""
    return _sets().get((*_of_many(who, plan, control), count))


def of_set(
    who: Patient, plan: Plan, control: Control | None, count: int, on_progress: Callable[[int], None]
) -> pl.DataFrame:
    """Return what a plan does on the first problems of the set, as `how_often.on_each` does.

    Raises:
        WorkbenchError: It can be done on none of them.
    """
    known, key = _sets(), (*_of_many(who, plan, control), count)
    if key not in known:
        while len(known) >= MOST_SETS:
            known.pop(next(iter(known)))
        known[key] = on_each(
            who.run.checkpoint, caches.problems(who.set)[:count] if who.set else (), plan, who.run.thoughts, control,
            sources_of=lambda problem: _given(Patient(who.run, problem, who.set), plan)["sources"],
            on_progress=on_progress,
        )  # fmt: skip
    return known[key]


def _of_many(who: Patient, plan: Plan, control: Control | None) -> tuple[object, ...]:
    content, key, thoughts, address = _key(who, plan)
    return content, key[-1], thoughts, address, control


@st.cache_resource(show_spinner=False)
def _sets() -> dict[tuple[object, ...], pl.DataFrame]:
    return {}


def _key(who: Patient, plan: Plan) -> tuple[str, tuple[str, ...], int, str]:
    return caches.fingerprint(who.run.path), _of_set(who), who.run.thoughts, to_address(plan)


def _of_set(who: Patient) -> tuple[str, ...]:
    return (*caches.problem_key(who.problem), caches.set_key(caches.problems(who.set)) if who.set else "")


@st.cache_data(max_entries=256, show_spinner="The model is thinking ...")
def _trace(content: str, key: tuple[str, ...], thoughts: int, address: str, _who: Patient) -> Trace:
    plan = from_address(address)
    return next(run(_who.run.checkpoint, [_who.problem], thoughts, interventions=plan, **_given(_who, plan)))


@st.cache_data(max_entries=256, show_spinner="The model and its controls are answering ...")
def _answers(
    content: str, key: tuple[str, ...], thoughts: int, address: str, control: Control | None, _who: Patient
) -> pl.DataFrame:
    plan = from_address(address)
    return answered(
        _who.run.checkpoint, _who.problem, plan, thoughts, control, DRAWS, **_given(_who, plan)
    )  # fmt: skip


@st.cache_data(max_entries=64, show_spinner="Answering at every dose ...")
def _by_dose(
    content: str,
    key: tuple[str, ...],
    thoughts: int,
    address: str,
    place: int,
    most: float,
    control: Control | None,
    _who: Patient,
) -> pl.DataFrame:
    plan = from_address(address)
    doses = [most * step / STEPS for step in range(STEPS + 1)]
    return strength_curve(
        _who.run.checkpoint, _who.problem, plan, place, doses, thoughts, control, DRAWS_BY_DOSE,
        **_given(_who, plan),
    )  # fmt: skip


def _given(who: Patient, plan: Plan) -> dict[str, Any]:
    """Return the donors and the bank that a plan asks for."""
    given: dict[str, Any] = {"sources": {name: [_donor(who, name)] for name in plan.sources}}
    if plan.needs_set and who.others:
        several = [who.problem, *who.others[: OTHERS - 1]]
        given["set_thoughts"] = think_about(who.run.checkpoint, several, who.run.thoughts)
    return given


def _donor(who: Patient, name: str) -> Problem:
    """Return the problem that a donor thinks about: the twin, or one of the set by its id.

    Raises:
        WorkbenchError: There is none.
    """
    if name == TWIN:
        twin = entity_swap(who.problem)
        if twin is None:
            raise WorkbenchError(
                f"Problem {who.problem.id} has no entity-swapped twin.",
                "Nobody in it reaches the negative without reaching the target.",
                "Swap in the thought of another problem, or choose another problem.",
            )
        return twin
    found = next((one for one in who.others if one.id == name), None)
    if found is None:
        raise WorkbenchError(
            f'There is no donor "{name}" here.',
            "Donors are the twin, and the other problems of the set that is open, by their ids.",
            "Take this intervention back, or open the set that the donor is of.",
        )
    return found
