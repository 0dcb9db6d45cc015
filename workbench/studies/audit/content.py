"""Battery 2. Is what the thoughts hold what the answer follows? Thoughts of other problems, prompts of other problems.

The question is changed by one word (the entity-swapped twin), by one edge (a rewrite), or in the numbers of a story
(`numbers`), and the change is made in the thoughts alone, in the prompt alone, or in both.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.interventions.thoughts import Patch, exchanged
from workbench.problems.files import graphs_of
from workbench.problems.problem import Item, Problem
from workbench.problems.variants import (
    calculates,
    drawn_rewrite,
    harmless_rewrite,
    in_names_of,
    other_root,
    reordered,
    twin,
)
from workbench.studies.audit.base import NO_GRAPH, TWO_GUESSES, Answered, Rows, Subject, where
from workbench.studies.audit.numbers import numbers
from workbench.studies.audit.text_steps import interchange_of_steps

NO_CALCULATION = "no problem has a twin: no step is a calculation <<...>>, and the task is not ProntoQA"
SAME_ANSWER: dict[str, str] = {
    "reordered": "same question, sentences in another order",
    "renamed": "another graph in the names of this one",
    "other root": "another entity of the same answer",
}
"""Sources whose answer is the problem's own: controls of those whose answer is the other option."""


def content(subject: Subject, rows: Rows) -> None:
    """Add how often the answer follows the source of its thoughts, or an edit in thoughts or prompt.

    "follows": the answer is exactly the source's, over the pairs of which the model answers both right without
    interventions. Its chance is guessing between the options. Controls are sources with the same answer
    (`SAME_ANSWER`), and rewrites of one edge that leave the answer.
    """
    own = subject.answered(subject.problems)
    if any(calculates(problem) for problem in subject.problems):
        numbers(subject, rows, own)
    else:
        _twins(subject, rows, own)
        _rewrites(subject, rows, own)
    if not subject.thinks:
        for question in ("interchange", "rewrite in the thoughts alone", "rewrite in the prompt alone"):
            rows.not_applicable(question, subject.why_not)


def _twins(subject: Subject, rows: Rows, own: Answered) -> None:
    pairs = [(row, swap) for row, problem in enumerate(subject.problems) if (swap := twin(problem))]
    if len(pairs) < 2:
        words = all(isinstance(problem, Item) and problem.task != "prontoqa" for problem in subject.problems)
        rows.not_applicable("twin", NO_CALCULATION if words else "hardly any problem has an entity-swapped twin")
        return
    kept, twins = [row for row, _ in pairs], [swap for _, swap in pairs]
    theirs = subject.answered(twins)
    both, problems = own.right[kept] & theirs.right, [subject.problems[row] for row in kept]
    note = "guessing twice; query-blind rules: 0"
    rows.add("twin", "both of a pair", "right", both, chance=TWO_GUESSES, note=note, problems=problems)
    if subject.thinks:
        _interchange(subject, rows, problems, own, kept, theirs, both)
    elif subject.says_steps:
        interchange_of_steps(subject, rows, problems, twins, both, "twin", lambda found: found.wrong_option)


def _interchange(
    subject: Subject,
    rows: Rows,
    problems: Sequence[Problem | Item],
    own: Answered,
    kept: list[int],
    theirs: Answered,
    both: np.ndarray,
) -> None:
    assert own.thoughts is not None
    assert theirs.thoughts is not None
    seed, places = subject.options.seed, [None, *range(1, subject.thoughts + 1)]
    asked: list[Any] = [*problems]  # each of its own kind
    same, has = {"reordered": subject.answered([reordered(problem, seed) for problem in asked])}, np.array(True)
    if subject.graphs:
        graphs = graphs_of(problems)
        others = [other_root(problem) for problem in graphs]
        # Where there is none, the problem itself stands in, and does not count.
        stand_in = [problem if other is None else other for problem, other in zip(graphs, others, strict=True)]
        same |= {"renamed": subject.answered(renamed(graphs, seed)), "other root": subject.answered(stand_in)}
        has = np.array([other is not None for other in others])
    sources = {"twin": theirs.thoughts} | {name: one.thoughts for name, one in same.items() if one.thoughts is not None}
    places_of = [(source, k) for source in ("twin", "reordered") for k in places]
    places_of += [(source, None) for source in same if source != "reordered"]
    plans = [[Patch(source=source, at=() if k is None else (k,))] for source, k in places_of]
    found = subject.run(plans, problems, sources=sources)
    follows = {one: outcome.wrong_option for one, outcome in zip(places_of, found, strict=True)}
    for k in places:
        rows.add(
            "interchange", "twin", "follows", where(follows["twin", k], both),
            thought=k, control=SAME_ANSWER["reordered"],
            control_values=where(follows["reordered", k], same["reordered"].right), problems=problems,
        )  # fmt: skip
    for source, what in ((name, SAME_ANSWER[name]) for name in same):
        counts = own.right[kept] & same[source].right & (has | (source != "other root"))
        note = f"{what}; the answer becomes the other option"
        rows.add(
            "interchange", f"same answer: {source}", "follows", where(follows[source, None], counts),
            note=note, problems=problems,
        )  # fmt: skip


def renamed(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """Return for each problem another of the set in its names: other graph, same answer."""
    sources = exchanged(len(problems), seed)
    return [in_names_of(problems[source], problem, seed) for source, problem in zip(sources, problems, strict=True)]


def _rewrites(subject: Subject, rows: Rows, own: Answered) -> None:
    seed, graphs = subject.options.seed, subject.graphs
    pairs = [(row, one) for row, problem in enumerate(graphs) if (one := drawn_rewrite(problem, seed))]
    if not pairs:
        rows.not_applicable("rewrite", "no single edge turns an answer round" if graphs else NO_GRAPH)
        return
    kept, rewrites = [row for row, _ in pairs], [one for _, one in pairs]
    problems = [graphs[row] for row in kept]
    found = [harmless_rewrite(problem, seed) for problem in problems]
    has = np.array([one is not None for one in found])
    # Where there is none, the problem itself stands in, and does not count.
    calm = [problem if one is None else one for problem, one in zip(problems, found, strict=True)]
    edited, control = (subject.answered(rewrites), subject.answered(calm)), "a rewrite that leaves the answer"
    right = own.right[kept]
    rows.add(
        "rewrite in both", "single edge", "follows", where(edited[0].right, right),
        control=control, control_values=where(edited[1].wrong_option, has), problems=problems,
    )  # fmt: skip
    if not subject.thinks or own.thoughts is None or edited[0].thoughts is None or edited[1].thoughts is None:
        return
    both, calm_both = right & edited[0].right, has & right & edited[1].right
    sources = {"rewrite": edited[0].thoughts, "harmless": edited[1].thoughts}
    moved, calm_moved = subject.run([[Patch(source=source)] for source in sources], problems, sources=sources)
    original = {"original": own.thoughts[kept]}
    (stayed,) = subject.run([[Patch(source="original")]], rewrites, sources=original)
    (calm_stayed,) = subject.run([[Patch(source="original")]], calm, sources=original)
    rows.add(
        "rewrite in the thoughts alone", "single edge", "follows", where(moved.wrong_option, both),
        control=control, control_values=where(calm_moved.wrong_option, calm_both), problems=problems,
    )  # fmt: skip
    rows.add(
        "rewrite in the prompt alone", "single edge", "follows", where(stayed.right, both),
        control=control, control_values=where(calm_stayed.wrong_option, calm_both), problems=problems,
    )  # fmt: skip
    rows.add(
        "thoughts against prompt", "the answer follows the thoughts", "follows", where(moved.wrong_option, both),
        control="the answer follows the prompt", control_values=where(stayed.right, both), problems=problems,
    )  # fmt: skip
