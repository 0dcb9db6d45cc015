"""Battery 2 for arithmetic: is the answer that of the numbers in the thoughts, or of the numbers in the prompt?

The twin of a story has other numbers in the same text (`problems.variants`): the same shape of chain, every result
another. There is no other option that an answer could turn to, so "follows" means exactly the answer of the source.
"""

from collections.abc import Sequence

import numpy as np

from workbench.interventions.run import Outcome
from workbench.interventions.thoughts import Patch, exchanged
from workbench.problems.problem import Item
from workbench.problems.shortcuts import best_rule, floor, item_rules, rule_scores
from workbench.problems.variants import number_rewrite, number_twin, renamed_story
from workbench.studies.audit.base import Answered, Rows, Subject, where
from workbench.studies.audit.text_steps import Forced, interchange_of_steps

TWIN, PAIR, SINGLE = "twin of other numbers", "both of a pair, other numbers", "single number"
RENAMED = "same answer: renamed"
THOUGHTS = "the answer follows the thoughts about a number"
NO_TWIN = (
    "hardly any problem has a twin of other numbers: a step is no operation on two whole numbers, or it is not known "
    "which number of the question each step uses"
)
NO_NAMES = "which words are names is known of generated stories alone"
OTHER_STORY, OTHER_NAMES = "thoughts of another problem of the set", "the same story with other names"


def numbers(subject: Subject, rows: Rows, own: Answered) -> None:
    """Add how often the answer is the twin's with the twin's thoughts, and that of one number that was changed.

    Chance is the best rule that does not reason (`shortcuts.floor`) on the problems whose answer would be given. The
    controls are thoughts of another problem of the set, and the same story about other people and things.

    Args:
        subject: What is audited.
        rows: Filled in.
        own: Its answers to all of the problems.
    """
    items = [problem for problem in subject.problems if isinstance(problem, Item)]
    _twins(subject, rows, own, items)
    _rewrites(subject, rows, own, items)


def _twins(subject: Subject, rows: Rows, own: Answered, items: Sequence[Item]) -> None:
    pairs = [(row, made) for row, item in enumerate(items) if (made := number_twin(item))]
    if len(pairs) < 2:
        rows.not_measured("twin", NO_TWIN, PAIR, "right")
        if subject.thinks:
            rows.not_measured("interchange", NO_TWIN, TWIN, "follows")
        return
    kept, twins = [row for row, _ in pairs], [made for _, made in pairs]
    problems = [items[row] for row in kept]
    theirs = subject.answered(twins)
    both = own.right[kept] & theirs.right
    scores = np.array([rule_scores(one) for one in problems]) * np.array([rule_scores(one) for one in twins])
    best, floors = best_rule(scores, list(item_rules(items[0].task)))
    note = f"chance: the best rule that does not reason, on both ({best})"
    rows.add("twin", PAIR, "right", both, chance=float(floors.mean()), note=note, problems=problems)
    if subject.says_steps:
        interchange_of_steps(subject, rows, problems, twins, both, TWIN, lambda found: said(subject, found, twins))
    if not subject.thinks:
        return
    assert own.thoughts is not None
    assert theirs.thoughts is not None
    thoughts, places = own.thoughts[kept], [None, *range(1, subject.thoughts + 1)]
    sources = {"twin": theirs.thoughts, "other": thoughts[exchanged(len(kept), subject.options.seed)]}
    same = [renamed_story(one, subject.options.seed) for one in problems]
    named = subject.answered([one or problem for one, problem in zip(same, problems, strict=True)])
    assert named.thoughts is not None
    sources["renamed"] = named.thoughts
    asked = [(source, k) for source in ("twin", "other") for k in places] + [("renamed", None)]
    plans = [[Patch(source=source, at=() if k is None else (k,))] for source, k in asked]
    found = dict(zip(asked, subject.run(plans, problems, sources=sources), strict=True))
    for k in places:
        rows.add(
            "interchange", TWIN, "follows", where(said(subject, found["twin", k], twins), both),
            thought=k, chance=float(floor(twins)[1].mean()), control=OTHER_STORY,
            control_values=where(said(subject, found["other", k], twins), both), problems=problems,
        )  # fmt: skip
    counts = own.right[kept] & named.right & np.array([one is not None for one in same])
    if any(one is not None for one in same):
        rows.add(
            "interchange", RENAMED, "lost", where(~found["renamed", None].right, counts), problems=problems,
            control=OTHER_STORY, control_values=where(~found["other", None].right, counts), note=OTHER_NAMES,
        )  # fmt: skip
    else:
        rows.not_measured("interchange", NO_NAMES, RENAMED, "lost")


def said(subject: Subject, outcome: Outcome | Forced, items: Sequence[Item]) -> np.ndarray:
    """Return whether each answer is that of an item, which need not be the one that was asked."""
    right = subject.checkpoint.format.right
    return np.array([right(item, text) for item, text in zip(items, outcome.texts, strict=True)], dtype=bool)


def _rewrites(subject: Subject, rows: Rows, own: Answered, items: Sequence[Item]) -> None:
    pairs = [(row, made) for row, item in enumerate(items) if (made := number_rewrite(item, subject.options.seed))]
    if len(pairs) < 2:
        rows.not_measured("rewrite in both", NO_TWIN, SINGLE, "follows")
        if subject.thinks:
            rows.not_measured("thoughts against prompt", NO_TWIN, THOUGHTS, "follows")
        return
    kept, rewrites = [row for row, _ in pairs], [made for _, made in pairs]
    problems, right = [items[row] for row in kept], own.right[kept]
    edited = subject.answered(rewrites)
    chance = float(floor(rewrites)[1].mean())
    same = [renamed_story(one, subject.options.seed) for one in problems]
    has = np.array([one is not None for one in same])
    calm = subject.answered([one or problem for one, problem in zip(same, problems, strict=True)])
    control = "the answer becomes another with other names"
    rows.add(
        "rewrite in both", SINGLE, "follows", where(edited.right, right), chance=chance,
        control=control, control_values=where(~calm.right, has), problems=problems,
    )  # fmt: skip
    if not subject.thinks or own.thoughts is None or edited.thoughts is None:
        return
    other = edited.thoughts[exchanged(len(kept), subject.options.seed)]
    both = right & edited.right
    sources = {"rewrite": edited.thoughts, "other": other}
    moved, strange = subject.run([[Patch(source=source)] for source in sources], problems, sources=sources)
    (stayed,) = subject.run([[Patch(source="original")]], rewrites, sources={"original": own.thoughts[kept]})
    (lost,) = subject.run([[Patch(source="other")]], rewrites, sources={"other": other})
    follows, kept_to = where(said(subject, moved, rewrites), both), where(stayed.right, both)
    rows.add(
        "rewrite in the thoughts alone", SINGLE, "follows", follows, chance=chance, control=OTHER_STORY,
        control_values=where(said(subject, strange, rewrites), both), problems=problems,
    )  # fmt: skip
    rows.add(
        "rewrite in the prompt alone", SINGLE, "follows", kept_to, chance=chance, control=OTHER_STORY,
        control_values=where(lost.right, both), problems=problems,
    )  # fmt: skip
    rows.add(
        "thoughts against prompt", THOUGHTS, "follows", follows, chance=chance,
        control="the answer follows the prompt", control_values=kept_to, problems=problems,
    )  # fmt: skip
