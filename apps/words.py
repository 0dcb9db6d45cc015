"""What the model says, in sentences with their category: formatting only."""

from typing import Literal

from workbench.measure.behaviour import Behaviour, classify, parse_continuation
from workbench.measure.trace import Trace
from workbench.problems.english import is_a
from workbench.problems.graph import structure
from workbench.problems.problem import Problem

Colour = Literal["green", "blue", "orange", "red", "gray"]
COLOURS: dict[Behaviour, Colour] = {
    Behaviour.CORRECT_PATH: "green",
    Behaviour.LONGER_PATH: "blue",
    Behaviour.CORRECT_LABEL: "green",
    Behaviour.WRONG_TARGET: "orange",
    Behaviour.INCORRECT_LABEL: "orange",
    Behaviour.HALLUCINATION: "red",
    Behaviour.INVALID_FORMAT: "gray",
}
MEANINGS = {
    Behaviour.CORRECT_PATH: "A shortest path to the target, or the rest of one, and the right answer.",
    Behaviour.LONGER_PATH: "A valid path to the target that is not a shortest one, and the right answer.",
    Behaviour.CORRECT_LABEL: "An answer alone, without steps: the right one.",
    Behaviour.WRONG_TARGET: "A valid path, but it or the answer after it ends somewhere other than the target.",
    Behaviour.INCORRECT_LABEL: "An answer alone, without steps: a wrong one.",
    Behaviour.HALLUCINATION: "A step that is no edge, steps that do not join, or a beginning that no path reaches.",
    Behaviour.INVALID_FORMAT: "Neither steps nor an answer of the right form.",
}
"""Coconut (arXiv 2412.06769, v3), section 4; shown as help."""


def behaviour(trace: Trace, depth: int) -> Behaviour:
    """Return the category of the continuation after `depth` thoughts."""
    return classify(trace.problem, trace.continuations[depth], trace.hop(depth))


def sentences(trace: Trace, depth: int) -> list[tuple[str, bool]]:
    """Return the continuation after `depth` thoughts as sentences, each with whether it is right.

    A step is right if it is an edge, the answer if it is the target.
    The answer is the last one; a continuation of another form is one sentence as the model wrote it.
    """
    problem, text = trace.problem, trace.continuations[depth]
    said = parse_continuation(text, problem)
    if not said.well_formed or said.answer is None:
        return [(text or "(nothing)", False)]
    edges = {(problem.names[source], problem.names[target]) for source, target in problem.edges}
    entities = _entities(problem)
    steps = [(is_a(*step, step[0] in entities), step in edges) for step in said.steps]
    root, answer = said.answer
    return [*steps, (f"So {is_a(root, answer, True)}", answer == problem.names[problem.target])]


def answer(trace: Trace, depth: int) -> str:
    """Return the greedy answer after `depth` thoughts, as written."""
    return trace.answer_texts[depth].strip() or "(nothing)"


def plural(count: int, word: str) -> str:
    """Return "1 thought", "2 thoughts"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def plain(text: str) -> str:
    """Return a text so that markdown shows it as it is: a link, a question or the model may have put anything there."""
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>()|$#!:~" else mark for mark in text)


def _entities(problem: Problem) -> set[str]:
    return {name for name, concept in zip(problem.names, structure(problem).concepts, strict=True) if not concept}
