"""Batteries 1 and 5: whether the thoughts are needed, and where in the model.

Battery 1. They are removed, mixed with noise, permuted and exchanged, one and all.

Battery 5. Where is the answer made? Parts of the model patched from the twin or ablated, attention cut.

A part carries what the answer follows if the twin's activation there brings the twin's answer with it; it is needed if
its mean over the set in its place loses right answers.
"""

from typing import Any

import numpy as np

from workbench.interventions.base import Intervention
from workbench.interventions.layers import Ablate, Knockout, LayerIntervention, Part, PatchLayer
from workbench.interventions.plan import Plan
from workbench.interventions.thoughts import Mean, Noise, Patch, Permute, Remove, Shuffle, Zero
from workbench.problems.shortcuts import floor
from workbench.problems.variants import entity_swap
from workbench.studies.audit.base import Rows, Subject, where
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
    elif subject.says_steps:
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


PARTS: tuple[Part, ...] = ("attention", "mlp", "residual")
SEEN_BY_THOUGHTS = ("edges", "path_edges", "other_edges", "options", "root", "thoughts")
SEEN_BY_ANSWER = ("prompt", *SEEN_BY_THOUGHTS)
"""Columns that attention is cut from, see `interventions.prompt_parts`; "path_edges" are on a shortest path."""
LAYERS_APART = 4
"""Of a model with more layers, parts are taken layer by layer but heads are not told apart."""


def localization(subject: Subject, rows: Rows) -> None:
    """Add which layers, heads, columns and thoughts bring the twin's answer, and which lose the right one."""
    if subject.says_steps:
        rows.not_applicable("attention cut at the answer", "the answer comes after words, not after thoughts")
        return
    _knockouts(subject, rows)
    if subject.thoughts:
        _ablations(subject, rows)
    if subject.thinks:
        _patches(subject, rows)
    else:
        rows.not_applicable("patched from the twin", subject.why_not)


def _knockouts(subject: Subject, rows: Rows) -> None:
    asked: list[tuple[str, str, int | None, LayerIntervention]] = [
        ("attention cut at the answer", to, None, Knockout(to=(to,), where="answer")) for to in SEEN_BY_ANSWER
    ]
    if subject.thoughts:
        asked += [("attention cut at all thoughts", to, None, Knockout(to=(to,))) for to in SEEN_BY_THOUGHTS]
        every = range(1, subject.thoughts + 1)
        asked += [
            ("attention cut at one thought", to, k, Knockout(to=(to,), at=(k,)))
            for to in ("path_edges", "other_edges") for k in every
        ]  # fmt: skip
    own, *found = subject.run([[], *([one] for *_, one in asked)])
    lost = {(question, to, k): ~one.right for (question, to, k, _), one in zip(asked, found, strict=True)}
    for question, to, k, _ in asked:
        beside = "other_edges" if to == "path_edges" else None
        rows.add(
            question, to, "lost", where(lost[question, to, k], own.right), thought=k,
            control="other_edges" if beside else "nothing cut",
            control_values=lost[question, beside, k] if beside else np.zeros(len(own.right)),
        )  # fmt: skip


def _ablations(subject: Subject, rows: Rows) -> None:
    asked = [(name, Ablate(part=part, layers=(layer,), heads=heads, to="mean")) for name, part, layer, heads in
             _components(subject)]  # fmt: skip
    own, *found = subject.run([[], *([one] for _, one in asked)])
    for (name, _), outcome in zip(asked, found, strict=True):
        rows.add(
            "ablated to the mean at all thoughts", name, "lost", where(~outcome.right, own.right),
            control="nothing ablated", control_values=np.zeros(len(own.right)),
        )  # fmt: skip


def _patches(subject: Subject, rows: Rows) -> None:
    pairs = [(row, twin) for row, problem in enumerate(subject.graphs) if (twin := entity_swap(problem))]
    if len(pairs) < 2:
        rows.not_applicable("patched from the twin", "hardly any problem has an entity-swapped twin")
        return
    problems, twins = [subject.graphs[row] for row, _ in pairs], [twin for _, twin in pairs]
    asked: list[tuple[str, int | None, PatchLayer]] = [
        (name, None, PatchLayer(part=part, layers=(layer,), heads=heads))
        for name, part, layer, heads in _components(subject)
    ]
    layers = subject.checkpoint.model.config.num_hidden_layers
    asked += [
        (_name(part, layer), k, PatchLayer(part=part, layers=(layer,), at=(k,)))
        for layer in range(layers) for part in PARTS for k in range(1, subject.thoughts + 1)
    ]  # fmt: skip
    (theirs,) = subject.run([[]], twins)
    own, *found = subject.run([[], *([one] for *_, one in asked)], problems, sources={"twin": twins})
    both = own.right & theirs.right
    for (name, k, _), outcome in zip(asked, found, strict=True):
        rows.add(
            "patched from the twin" if k is None else "patched from the twin at one thought", name, "follows",
            where(outcome.wrong_option, both), thought=k,
            control="nothing patched", control_values=own.wrong_option, problems=problems,
        )  # fmt: skip


def _components(subject: Subject) -> list[tuple[str, Part, int, tuple[int, ...]]]:
    """Return the parts of every layer, and the heads where there are few layers: name, part, layer, heads."""
    config = subject.checkpoint.model.config
    found: list[tuple[str, Part, int, tuple[int, ...]]] = []
    for layer in range(config.num_hidden_layers):
        for part in PARTS:
            found.append((_name(part, layer), part, layer, ()))
        for head in range(config.num_attention_heads) if config.num_hidden_layers <= LAYERS_APART else ():
            found.append((f"L{layer}H{head}", "heads", layer, (head,)))
    return found


def _name(part: str, layer: int) -> str:
    return f"L{layer} {'MLP' if part == 'mlp' else part}"
