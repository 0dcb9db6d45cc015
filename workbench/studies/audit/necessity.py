"""Battery 1. Are the thoughts needed? They are removed, mixed with noise, permuted and exchanged, one and all."""

from typing import Any

import numpy as np

from workbench.interventions.base import Intervention
from workbench.interventions.plan import Plan
from workbench.interventions.thoughts import Mean, Noise, Patch, Permute, Remove, Shuffle, Zero
from workbench.problems.shortcuts import floor
from workbench.studies.audit.base import Rows, Subject
from workbench.studies.audit.text_steps import steps_in_words

STRENGTHS = (0.25, 0.5, 0.75)
"""Shares of noise on the way to noise alone."""

FLOOR = "chance: the best rule on these problems that does not read who is asked about, or does not reason"
"""Note of a forced choice."""

KINDS: dict[str, type[Intervention]] = {
    "remove": Remove, "zero": Zero, "mean": Mean, "noise": Noise, "permute": Permute, "swap": Shuffle,
}  # fmt: skip
"""What is done to thoughts, by the name of the condition; "swap" feeds the same thought of another problem."""


def necessity(subject: Subject, rows: Rows) -> None:
    """Add accuracy, and the share of changed answers, without the thoughts and with others in their place.

    The control is the model's own thoughts fed back, which changes nothing. A single thought that is removed leaves
    the later ones as they were (frozen); all other interventions act in the loop. A model that says its steps in words
    has those edited in the same ways (`text_steps`).
    """
    if subject.thoughts:
        _thoughts(subject, rows)
    elif subject.checkpoint.says == "chain":
        steps_in_words(subject, rows)
    else:
        right = subject.answered(subject.problems).right
        rows.add("all thoughts", "none", "right", right, note=subject.why_not)
        rows.not_applicable("each thought", subject.why_not)


def _thoughts(subject: Subject, rows: Rows) -> None:
    count, seed = subject.thoughts, subject.options.seed
    asked: list[tuple[str, int | None, float | None, Plan]] = []
    for name, kind in KINDS.items():
        if name == "permute" and count < 2:
            continue
        more: dict[str, Any] = {"seed": seed} if kind in (Noise, Permute, Shuffle) else {}
        if kind is Noise:
            asked += [(name, None, strength, Plan((Noise(strength=strength, seed=seed),))) for strength in STRENGTHS]
        asked.append((name, None, 1.0 if kind is Noise else None, Plan((kind(**more),))))
        for k in range(1, count + 1):
            alone = Plan((kind(at=(k,), **more),), freeze=kind is Remove)
            asked.append((name, k, 1.0 if kind is Noise else None, alone))
    same = Plan((Patch(source="own"),))
    own, fed_back, *outcomes = subject.run([[], same, *(plan for *_, plan in asked)])
    texts = np.array(own.texts, dtype=object)
    unchanged = np.array(fed_back.texts, dtype=object) != texts
    _, level = floor(subject.problems)
    rows.add("all thoughts", "own", "right", own.right)
    rows.add("all thoughts", "own", "chosen", own.choice, chance=float(level.mean()), note=FLOOR)
    rows.add("all thoughts", "own, fed back", "changed", unchanged)
    for (name, k, strength, _), outcome in zip(asked, outcomes, strict=True):
        question = "all thoughts" if k is None else "each thought"
        rows.add(
            question, name, "right", outcome.right,
            thought=k, strength=strength, control="own thoughts", control_values=own.right,
        )  # fmt: skip
        rows.add(
            question, name, "chosen", outcome.choice, thought=k, strength=strength, chance=float(level.mean()),
            control="own thoughts", control_values=own.choice, note=FLOOR,
        )  # fmt: skip
        if k is None:
            rows.add(
                question,
                name,
                "valid",
                outcome.valid,
                strength=strength,
                control="own thoughts",
                control_values=own.valid,
            )
        rows.add(
            question, name, "changed", np.array(outcome.texts, dtype=object) != texts,
            thought=k, strength=strength, control="own thoughts, fed back", control_values=unchanged,
        )  # fmt: skip
