"""The steps that a model says in words, edited as thoughts are: the comparison for battery 1 and 2.

The model says its chain once. The chain is then given back to it, edited, and the answer is forced after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from workbench.interventions.thoughts import exchanged
from workbench.model.prompts import Format, Ids, Prompt
from workbench.model.session import Batch, Branches
from workbench.problems.graph import structure
from workbench.problems.problem import Problem
from workbench.problems.shortcuts import floor, forced_choice
from workbench.studies.audit.base import Rows, Subject, where

Steps = list[Ids]
"""The tokens of each step, its opening not counted."""


@dataclass(frozen=True)
class Forced:
    """Answers forced after given steps."""

    right: Bool[np.ndarray, " n"]
    wrong_option: Bool[np.ndarray, " n"]
    choice: Float[np.ndarray, " n"]
    """The forced choice, as in `Outcome`."""
    texts: tuple[str, ...]


def speaks_steps(form: Format) -> bool:
    """Say whether steps of a chain can be told apart by one token, as in the edges format."""
    return form.value_is_answer


def steps_in_words(subject: Subject, rows: Rows) -> None:
    """Add what the answer is without the steps that the model says, and with others in their place."""
    problems = subject.graphs
    if not problems or not speaks_steps(subject.checkpoint.format):
        rows.not_measured("all steps in words", "steps of this format are not told apart")
        return
    seed = subject.options.seed
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
    most = max(structure(problem).length for problem in problems)
    for name, edited in edits.items():
        _add(rows, "all steps in words", name, None, after_steps(subject, problems, edited), kept, None, level)
        for k in range(1, most + 1) if name != "permute" else ():
            has = np.array([len(steps) >= k for steps in own])
            one = [_with(steps, k, edited[row]) for row, steps in enumerate(own)]
            _add(rows, "each step in words", name, k, after_steps(subject, problems, one), kept, has, level)
    for name in ("zero", "mean"):
        rows.not_applicable("all steps in words", f"words have no {name}", name)


def said_steps(subject: Subject, problems: Sequence[Problem]) -> list[Steps]:
    """Let the model say its chain, and return the steps before its answer."""
    form = subject.checkpoint.format

    def say(batch: Batch) -> list[Steps]:
        openings = [form.chain_opening(prompt) for prompt in batch.prompts]
        ends = Branches(batch.session(len(openings[0]) + form.continuation_limit), [0])
        told = ends.go_on(ends.say([[opening] for opening in openings]), form.continuation_limit, form.end)
        return [_split(form, prompt, ids) for prompt, (ids,) in zip(batch.prompts, told, strict=True)]

    return subject.in_batches(problems, say)


def after_steps(subject: Subject, problems: Sequence[Problem], steps: Sequence[Steps]) -> Forced:
    """Force the answer after given steps."""
    form = subject.checkpoint.format

    def answer(batch: Batch) -> list[tuple[str, float]]:
        said = [_joined(form, prompt, steps[row]) for prompt, row in zip(batch.prompts, batch.rows, strict=True)]
        ends = Branches(batch.session(max(map(len, said)) + form.answer_limit), [0])
        logits, graphs = ends.say([[one] for one in said]), [prompt.graph for prompt in batch.prompts]
        words = [
            [prompt.nodes[graph.target], prompt.nodes[graph.negative]]
            for prompt, graph in zip(batch.prompts, graphs, strict=True)
        ]
        choices = [float(forced_choice(*row[0].tolist())) for row in ends.spell_log(logits, words)]
        told = ends.go_on(logits, form.answer_limit, form.end)
        texts = [form.decode(prompt, ids) for prompt, (ids,) in zip(batch.prompts, told, strict=True)]
        return list(zip(texts, choices, strict=True))

    texts, choices = zip(*subject.in_batches(problems, answer), strict=True)
    right = np.array([form.right(problem, text) for problem, text in zip(problems, texts, strict=True)], dtype=bool)
    valid = np.array([form.valid(problem, text) for problem, text in zip(problems, texts, strict=True)], dtype=bool)
    return Forced(right, valid & ~right, np.array(choices), tuple(texts))


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
    """Return as many steps of names drawn from the problem."""
    names = [node[0] for node in prompt.nodes]
    return [tuple(rng.choice(names, len(step)).tolist()) for step in steps]


def _split(form: Format, prompt: Prompt, ids: Sequence[int]) -> Steps:
    """Return the tokens between the openings of steps, up to the answer's opening or the end."""
    bar, mark, steps = form.chain_opening(prompt)[-1], form.answer_opening(prompt)[-1], [[]]
    for token in ids:
        if token in (mark, form.end):
            break
        if token == bar:
            steps.append([])
        else:
            steps[-1].append(token)
    return [tuple(step) for step in steps if step]


def _joined(form: Format, prompt: Prompt, steps: Steps) -> Ids:
    opening, mark = form.chain_opening(prompt), form.answer_opening(prompt)[-1]
    *before, bar = opening
    return (*before, *(token for step in steps for token in (bar, *step)), mark)
