"""The steps that a model says in words, edited as thoughts are: the comparison for battery 1 and 2.

The model says its chain once. The chain is then given back to it, edited, and the answer is forced after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from workbench.interventions.thoughts import exchanged
from workbench.measure.chains import before_answer, spans
from workbench.model.prompts import Format, Ids, Prompt
from workbench.model.session import Batch, Branches, positions_left
from workbench.problems.problem import Item, Problem
from workbench.problems.shortcuts import floor, forced_choice
from workbench.studies.audit.base import Rows, Subject, where

Steps = list[Ids]
"""The tokens of each step: in the edges format without the bar before it, in others with the end of its line."""


@dataclass(frozen=True)
class Forced:
    """Answers forced after given steps."""

    right: Bool[np.ndarray, " n"]
    wrong_option: Bool[np.ndarray, " n"]
    choice: Float[np.ndarray, " n"]
    """The forced choice, as in `Outcome`."""
    texts: tuple[str, ...]


def steps_in_words(subject: Subject, rows: Rows) -> None:
    """Add what the answer is without the steps that the model says, and with others in their place."""
    problems, seed = subject.problems, subject.options.seed
    own = said_steps(subject, problems)
    other = exchanged(len(problems), seed)
    rng = np.random.default_rng(seed)
    noise = [
        _drawn_like(steps, prompt, rng)
        for steps, prompt in zip(own, subject.checkpoint.format.prompts(problems), strict=True)
    ]
    edits = {
        "remove": [[] for _ in own],
        "noise": noise,
        "swap": [own[source] for source in other],
        "permute": [steps[1:] + steps[:1] for steps in own],
    }
    kept = after_steps(subject, problems, own)
    level = float(floor(problems)[1].mean())
    rows.add("all steps in words", "own", "right", kept.right)
    rows.add("all steps in words", "own", "chosen", kept.choice, chance=level)
    most = max(len(problem.steps) for problem in problems) or max(map(len, own))
    for name, edited in edits.items():
        _add(rows, "all steps in words", name, None, after_steps(subject, problems, edited), kept, None, level)
        for k in range(1, most + 1) if name != "permute" else ():
            has = np.array([len(steps) >= k for steps in own])
            one = [_with(steps, k, edited[row]) for row, steps in enumerate(own)]
            _add(rows, "each step in words", name, k, after_steps(subject, problems, one), kept, has, level)
    for name in ("zero", "mean"):
        rows.not_applicable("all steps in words", f"words have no {name}", name)


def interchange_of_steps(
    subject: Subject,
    rows: Rows,
    problems: Sequence[Problem | Item],
    twins: Sequence[Problem | Item],
    both: Bool[np.ndarray, " n"],
    condition: str,
    follows: Callable[[Forced], np.ndarray],
) -> None:
    """Add how often the answer is the twin's after the steps that the model says about the twin: all, or one of them.

    Args:
        subject: What is audited.
        rows: Filled in.
        problems: What is asked.
        twins: Where the other steps come from, one for each.
        both: Whether both were answered right; others do not count.
        condition: Name of the rows.
        follows: Whether each answer is the twin's.
    """
    own, theirs = said_steps(subject, problems), said_steps(subject, twins)
    kept = follows(after_steps(subject, problems, own))
    least = [min(len(a), len(b)) for a, b in zip(own, theirs, strict=True)]
    for k in (None, *range(1, max(least, default=0) + 1)):
        mixed = [b if k is None else [*a[: k - 1], *b[k - 1 : k], *a[k:]] for a, b in zip(own, theirs, strict=True)]
        has = np.array([k is None or count >= k for count in least])
        found = follows(after_steps(subject, problems, mixed))
        rows.add(
            "interchange of steps in words", condition, "follows", where(found, both & has),
            thought=k, control="own steps", control_values=kept, problems=problems,
        )  # fmt: skip


def said_steps(subject: Subject, problems: Sequence[Problem | Item]) -> list[Steps]:
    """Let the model say its chain, and return the steps before its answer."""
    form, model = subject.checkpoint.format, subject.checkpoint.model
    prompts = form.prompts(problems)
    room = len(form.chain_opening(prompts[0])) + form.answer_limit
    # Steps of one problem must fit after the longest question of the set.
    limit = max(1, min(form.continuation_limit, positions_left(model, prompts, room)))

    def say(batch: Batch) -> list[Steps]:
        openings = [form.chain_opening(prompt) for prompt in batch.prompts]
        ends = Branches(batch.session(len(openings[0]) + limit), [0])
        told = ends.go_on(ends.say([[opening] for opening in openings]), limit, form.end)
        return [_split(form, prompt, ids) for prompt, (ids,) in zip(batch.prompts, told, strict=True)]

    return subject.in_batches(problems, say)


def after_steps(subject: Subject, problems: Sequence[Problem | Item], steps: Sequence[Steps]) -> Forced:
    """Force the answer after given steps."""
    form = subject.checkpoint.format

    def answer(batch: Batch) -> list[tuple[str, float]]:
        said = [_joined(form, prompt, steps[row]) for prompt, row in zip(batch.prompts, batch.rows, strict=True)]
        more = [form.value_opening(one)[len(form.answer_opening(one)) :] for one in batch.prompts]
        words = [form.choices(prompt) for prompt in batch.prompts]
        longest = max((len(word) for row in words for word in row), default=0) + max(map(len, more))
        session = batch.session(max(map(len, said)) + max(form.answer_limit, longest))
        ends = Branches(session, [0])
        logits = ends.say([[one] for one in said])
        spelt = ends.spell_log(logits, words) if form.value_is_answer else []
        told = ends.go_on(logits, form.answer_limit, form.end)
        if not form.value_is_answer:
            session.rewind(session.end)
            ends = Branches(session, [0])
            spelt = ends.spell_log(ends.say([[(*a, *b)] for a, b in zip(said, more, strict=True)]), words)
        choices = [_choice(row[0].tolist()) for row in spelt]
        texts = [form.decode(prompt, ids) for prompt, (ids,) in zip(batch.prompts, told, strict=True)]
        return list(zip(texts, choices, strict=True))

    texts, choices = zip(*subject.in_batches(problems, answer), strict=True)
    right = np.array([form.right(problem, text) for problem, text in zip(problems, texts, strict=True)], dtype=bool)
    valid = np.array([form.valid(problem, text) for problem, text in zip(problems, texts, strict=True)], dtype=bool)
    return Forced(right, valid & ~right, np.array(choices), tuple(texts))


def _choice(shares: Sequence[float]) -> float:
    """Return the forced choice between the right option and the likeliest other one; nan where there are none."""
    return float(forced_choice(shares[0], max(shares[1:]))) if len(shares) > 1 else float("nan")


def _add(
    rows: Rows,
    question: str,
    name: str,
    k: int | None,
    found: Forced,
    kept: Forced,
    has: np.ndarray | None,
    level: float,
) -> None:
    counts = np.ones(len(found.right), bool) if has is None else has
    changed = np.array(found.texts, dtype=object) != np.array(kept.texts, dtype=object)
    rows.add(
        question, name, "right", where(found.right, counts),
        thought=k, control="own steps", control_values=kept.right,
    )  # fmt: skip
    rows.add(
        question, name, "chosen", where(found.choice, counts), thought=k, chance=level,
        control="own steps", control_values=kept.choice,
    )  # fmt: skip
    rows.add(
        question, name, "changed", where(changed, counts),
        thought=k, control="own steps", control_values=np.zeros(len(counts)),
    )  # fmt: skip


def _with(steps: Steps, k: int, edited: Steps) -> Steps:
    """Return the steps with step k as in the edited ones; without it where those have no such step."""
    return [*steps[: k - 1], *(edited[k - 1 : k] if len(steps) >= k else []), *steps[k:]]


def _drawn_like(steps: Steps, prompt: Prompt, rng: np.random.Generator) -> Steps:
    """Return as many tokens in each step, drawn from the names of the problem; where it has none, from its question."""
    names = [node[0] for node in prompt.nodes] or list(prompt.ids)
    return [tuple(rng.choice(names, len(step)).tolist()) for step in steps]


def _split(form: Format, prompt: Prompt, ids: Sequence[int]) -> Steps:
    """Return the tokens of each step, up to the answer's opening or the end."""
    ids = list(ids[: ids.index(form.end)] if form.end in ids else ids)
    if form.name != "edges":
        return [tuple(ids[first:last]) for first, last in spans(form, prompt.problem.steps, ids)]
    bar, mark, steps = form.chain_opening(prompt)[-1], form.answer_opening(prompt)[-1], [[]]
    for token in ids[: ids.index(mark)] if mark in ids else ids:
        if token == bar:
            steps.append([])
        else:
            steps[-1].append(token)
    return [tuple(step) for step in steps if step]


def _joined(form: Format, prompt: Prompt, steps: Steps) -> Ids:
    if form.name != "edges":
        return before_answer(form, prompt, [token for step in steps for token in step])
    *before, bar = form.chain_opening(prompt)
    return (*before, *(token for step in steps for token in (bar, *step)), form.answer_opening(prompt)[-1])
