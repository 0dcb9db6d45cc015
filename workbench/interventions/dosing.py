"""One problem under a surgery, beside none and beside its controls; and the answer against the dose."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from workbench.checkpoint import Checkpoint
from workbench.errors import WorkbenchError
from workbench.interventions.matching import Control, controls
from workbench.interventions.running import Outcome, run_intervened
from workbench.interventions.scene import Bank, Intervention
from workbench.interventions.surgery import Surgery
from workbench.interventions.theatre import Donors
from workbench.interventions.transplanting import Interpolate, Transplant
from workbench.problem import Problem

BEFORE, OPERATED, CONTROL = "without", "surgery", "control"
"""Series of the tables."""


def unoperated(surgery: Surgery) -> Surgery:
    """Return a surgery that changes nothing and runs on the same model as another.

    What acts inside the layers runs under TransformerLens, whose last bits differ from those of the live model.
    """
    idle: list[Any] = [replace(one, dose=0.0) for one in surgery.inside]  # type: ignore[call-arg]
    return Surgery(tuple(idle))


def answered(
    checkpoint: Checkpoint,
    problem: Problem,
    surgery: Surgery,
    thoughts: int,
    control: Control | None = None,
    draws: int = 8,
    *,
    donors: Donors | None = None,
    bank: Bank | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Answer one problem without a surgery, under it, and under its controls.

    Args:
        checkpoint: What is operated on.
        problem: The problem.
        surgery: The surgery.
        thoughts: Number of thoughts, K.
        control: Which kind of control; none for none.
        draws: Of the control, at most.
        donors: As for `run_intervened`.
        bank: As for `run_intervened`.
        seed: Of the control's draws.

    Returns:
        A row per series ("without", "surgery", "control") and draw: answer, right, valid, target, negative (the raw
        probabilities of the two options as the answer).

    Raises:
        WorkbenchError: The surgery cannot be done on this problem.
    """
    given: dict[str, Any] = {"donors": donors, "bank": bank}
    beside: list[Surgery] = []
    if control is not None:
        (beside,) = controls(checkpoint, problem, [surgery], thoughts, control, draws, **given, seed=seed)
    asked = [unoperated(surgery), surgery, *beside]
    outcomes = run_intervened(checkpoint, [problem], asked, thoughts, **given)
    series = [BEFORE, OPERATED, *[CONTROL] * len(beside)]
    return _frame(
        [
            {"series": name, "draw": max(number - 2, 0)} | _row(outcome)
            for number, (name, outcome) in enumerate(zip(series, outcomes, strict=True))
        ]
    )


def dosed(surgery: Surgery) -> list[int]:
    """Return the places of the interventions that have a dose, or can be given one."""
    return [
        place
        for place, one in enumerate(surgery.interventions)
        if hasattr(one, "dose") or (isinstance(one, Transplant) and one.thought == 0)
    ]


def at_dose(surgery: Surgery, place: int, dose: float) -> Surgery:
    """Return a surgery with another dose of one intervention; a transplant in part is a step along the line.

    Raises:
        WorkbenchError: That intervention has no dose.
    """
    if place not in dosed(surgery):
        raise WorkbenchError(
            "This intervention has no dose.",
            f"Of the {len(surgery.interventions)} in this surgery, these have one (from 0): {dosed(surgery)}.",
            "Choose one of them.",
        )
    one: Intervention = surgery.interventions[place]
    if isinstance(one, Transplant):
        other: Intervention = one if dose == 1 else Interpolate(one.donor, dose, "line", at=one.at)
    else:
        other = replace(one, dose=dose)  # type: ignore[call-arg]
    return Surgery((*surgery.interventions[:place], other, *surgery.interventions[place + 1 :]), surgery.frozen)


def dose_curve(
    checkpoint: Checkpoint,
    problem: Problem,
    surgery: Surgery,
    place: int,
    doses: Sequence[float],
    thoughts: int,
    control: Control | None = None,
    draws: int = 4,
    *,
    donors: Donors | None = None,
    bank: Bank | None = None,
) -> pl.DataFrame:
    """Answer one problem under a surgery at several doses of one of its interventions, and under controls at each.

    Args:
        checkpoint: What is operated on.
        problem: The problem.
        surgery: The surgery.
        place: Which intervention, from 0.
        doses: The doses.
        thoughts: Number of thoughts, K.
        control: Which kind of control; none for none. Each draw is the same at every dose.
        draws: Of the control, at most.
        donors: As for `run_intervened`.
        bank: As for `run_intervened`.

    Returns:
        A row per series ("surgery", "control"), dose and draw, with the columns of `answered`.

    Raises:
        WorkbenchError: The surgery cannot be done on this problem, or the intervention has no dose.
    """
    given: dict[str, Any] = {"donors": donors, "bank": bank}
    each = [at_dose(surgery, place, dose) for dose in doses]
    beside = [[]] * len(each)
    if control is not None:
        beside = controls(checkpoint, problem, each, thoughts, control, draws, **given)
    asked = [
        (dose, number, one)
        for dose, here, others in zip(doses, each, beside, strict=True)
        for number, one in enumerate([here, *others])
    ]
    outcomes = run_intervened(checkpoint, [problem], [one for *_, one in asked], thoughts, **given)
    return _frame(
        [
            {"series": CONTROL if number else OPERATED, "dose": float(dose), "draw": max(number - 1, 0)} | _row(outcome)
            for (dose, number, _), outcome in zip(asked, outcomes, strict=True)
        ]
    )


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "answer": outcome.texts[0],
        "right": bool(outcome.right[0]),
        "valid": bool(outcome.valid[0]),
        "target": float(np.exp(outcome.target[0])),
        "negative": float(np.exp(outcome.negative[0])),
    }


def _frame(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)
